from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from medilink.logs import catch_last_words


class MedilinkConfig(AppConfig):
    name = "medilink"

    def ready(self) -> None:
        # Tasks are declared apart from the application; without it they would be queued nowhere.
        import_module("medilink.celery")
        if not settings.EMBEDDED:
            catch_last_words()

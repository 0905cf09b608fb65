from importlib import import_module

from django.apps import AppConfig


class MedilinkConfig(AppConfig):
    name = "medilink"

    def ready(self) -> None:
        # Tasks are declared apart from the application; without it they would be queued nowhere.
        import_module("medilink.celery")
        import_module("medilink.browsers")  # a log-in begins wherever Django says so
        import_module("medilink.default_accounts")

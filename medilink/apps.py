from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate

from medilink.logs import catch_last_words


class MedilinkConfig(AppConfig):
    name = "medilink"

    def ready(self) -> None:
        # Tasks are declared apart from the application; without it they would be queued nowhere.
        import_module("medilink.celery")
        import_module("medilink.browsers")  # a log-in begins wherever Django says so
        for checks in ("medilink.default_accounts", "medilink.server_log"):
            import_module(checks)
        if not settings.EMBEDDED:
            catch_last_words()
        import_module("medilink.monitoring.set_up")
        post_migrate.connect(_prepare_web_role, sender=self)


def _prepare_web_role(**_: Any) -> None:
    import_module("medilink.web_role").prepare()

from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ClinicalConfig(AppConfig):
    name = "clinical"

    def ready(self) -> None:
        from clinical import keyed, rotation  # noqa: F401  its check is registered

        post_migrate.connect(keyed.make_key, sender=self)
        import_module("clinical.audit.accounts")  # notes log-ins, roles and tokens

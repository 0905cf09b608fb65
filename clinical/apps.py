from importlib import import_module

from django.apps import AppConfig


class ClinicalConfig(AppConfig):
    name = "clinical"

    def ready(self) -> None:
        import_module("clinical.audit.accounts")  # notes log-ins, roles and tokens

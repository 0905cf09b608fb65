from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ClinicalConfig(AppConfig):
    name = "clinical"

    def ready(self) -> None:
        from clinical import keyed

        post_migrate.connect(keyed.make_key, sender=self)

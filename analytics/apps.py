from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AnalyticsConfig(AppConfig):
    name = "analytics"

    def ready(self) -> None:
        post_migrate.connect(_name_owners, sender=self)


def _name_owners(**_: Any) -> None:
    """The owners that the data checks name; what people have written about them stays."""
    from django.db import connection  # none of these can be had before the apps are ready

    from analytics.checks.check import ABOUT
    from analytics.history import DataOwner

    if DataOwner._meta.db_table in connection.introspection.table_names():  # not migrated to an earlier state
        owners = [DataOwner(name=owner, about=about) for owner, about in ABOUT.items()]
        DataOwner.objects.bulk_create(owners, ignore_conflicts=True)

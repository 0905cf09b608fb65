"""How many rows of patients a user is shown: told to whoever counts them, so that nobody reads a whole country's."""

from functools import cache
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

OF_PATIENTS = frozenset({"patients", "records", "visits", "analytics_records"})


@cache
def _counter() -> Any:
    return import_string(settings.PATIENTS_COUNTER)


def shown(user: Any, resource: str, rows: int) -> None:
    """Raises rest_framework's Throttled where these rows are too many within the minute."""
    if rows and resource in OF_PATIENTS:
        _counter()(user.pk, rows)

"""By which rules rows came in: one note per line and rule, beside the rows themselves."""

from typing import Any

from django.db import connection
from django.db.models import F, Func, QuerySet, Value

from ingestion.load.context import Load
from ingestion.models import RuleUse
from ingestion.staging import Place
from ingestion.upsert import upsert

# Told as the database tells of a conflict, so that whoever retries those retries this (ingestion/outages.py).
BEGIN_ANEW = """
DO $$ BEGIN
    RAISE EXCEPTION 'A rule was ended while it was being applied.' USING ERRCODE = 'serialization_failure';
END $$
"""


def note(load: Load) -> None:
    """Of the rows that go in. Raises OperationalError, to begin anew, where one of their rules was ended meanwhile."""
    if load.delivery.rulebook:
        _note(load, load.good.filter(rules__isnull=False), Func(F("rules"), function="unnest"))
    if load.dataset.stage and Place.objects.filter(rule_id__isnull=False).exists():
        by_place = load.good.filter(place__rule_id__isnull=False, given_facility_id=None)
        if load.dataset.is_event:
            by_place = by_place.filter(given_patient_id=None)
        _note(load, by_place, F("place__rule_id"))


def _note(load: Load, rows: "QuerySet[Any, Any]", rule: object) -> None:
    columns = {"rule_id": rule, "batch_id": Value(load.batch.pk), "line": "line", "row_id": "known__row_id"}
    if not upsert(RuleUse, rows, columns):
        return
    with connection.cursor() as cursor:  # whoever takes the rule back waits for us, and finds what we have noted
        cursor.execute(
            "SELECT ended_at FROM rules WHERE id IN (SELECT rule_id FROM rule_uses WHERE batch_id = %s) FOR SHARE",
            [load.batch.pk],
        )
        if any(ended_at for (ended_at,) in cursor.fetchall()):
            cursor.execute(BEGIN_ANEW)

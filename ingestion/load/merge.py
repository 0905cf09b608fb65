"""How a delivered row changes a stored one: column by column, people first, older never over newer.

Rows that change nothing are not written; that a delivery contained them is kept as a sighting.
"""

from functools import reduce
from operator import add, or_
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection
from django.db.models import Case, F, Func, IntegerField, JSONField, Q, QuerySet, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, JSONObject
from django.db.models.lookups import Exact

from ingestion import staging
from ingestion.load.context import IsDistinct, Load
from ingestion.models import IngestBatch, Sighting, Status
from ingestion.upsert import upsert

IDS_PER_SIGHTING = 10_000  # neighbouring ids share an array, which compresses well


class JSONMinus(Func):
    """Left without the key named right; an empty name takes nothing away."""

    arg_joiner = " - "
    template = "(%(expressions)s)"
    output_field = JSONField()


class JSONPlus(Func):
    arg_joiner = " || "
    template = "(%(expressions)s)"
    output_field = JSONField()


def protect_newer(load: Load) -> None:
    """Notes which columns of which rows newer deliveries have filled, where there are any."""
    newer = IngestBatch.objects.filter(dataset=load.dataset).newer_than(load.batch)
    batches = {
        *newer.loaded().values_list("pk", flat=True),
        *newer.filter(status=Status.DUPLICATE).values_list("duplicate_of_id", flat=True),
    }
    load.is_older = bool(batches)
    if not batches:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO staged_protections (row_id, columns) SELECT id, bit_or(columns) FROM"
            " (SELECT unnest(ids) AS id, columns FROM ingest_sightings WHERE batch_id = ANY(%s)) seen GROUP BY id",
            [sorted(batches)],
        )
    staging.analyze(staging.Protection)


def unprotected(load: Load, bit: int) -> Q:
    """That no newer delivery has filled the column."""
    if not load.is_older:
        return Q()
    filled = Cast(F("known__protection__columns").bitand(1 << bit), IntegerField())
    return Q(Exact(Coalesce(filled, 0), 0))


def update_edited(load: Load, target: str, model: Any, identity: tuple[str, ...]) -> int:
    """Brings the facilities or patients that the rows meet up to date; returns how many changed."""
    old = f"known__{target}__"
    rows = load.good.filter(**{f"{old}id__isnull": False, f"{old}deleted_at": None})
    says = {column: _says(load, model, old, column) for column in model.UPDATABLE}
    written: dict[str, Any] = {"id": "known__row_id"} | {name: f"{old}{name}" for name in identity}
    written |= {c: Case(When(says[c], then=_delivered(model, c)), default=F(old + c)) for c in says}
    fields = [*says]
    if rows.exclude(**{f"{old}delivered": {}}).exists():
        written |= _what_people_set(old, says)
        fields += ["delivered", "overridden"]
    changed = rows.filter(reduce(or_, says.values()))
    return upsert(model, changed, written, update_conflicts=True, unique_fields=["id"], update_fields=fields)


def _says(load: Load, model: Any, old: str, column: str) -> Q:
    """That the row delivers for the column something else than its source delivered last, and may."""
    kept = Cast(KeyTextTransform(column, f"{old}delivered"), model._meta.get_field(column))
    last = Case(When(**{f"{old}delivered__has_key": column}, then=kept), default=F(old + column))
    says = Q(IsDistinct(_delivered(model, column), last)) & Q(**{f"{column}__isnull": False})
    if column == "sex":  # once known, only a person changes it
        says &= ~Q(sex="Unknown") & Q(**{f"{old}sex": "Unknown"})
    return says & unprotected(load, model.UPDATABLE.index(column))


def _delivered(model: Any, column: str) -> Any:
    return Cast(F(column), model._meta.get_field(column))


def _what_people_set(old: str, says: dict[str, Q]) -> dict[str, Any]:
    """The source's last word moves on; what a person had set instead is kept for stewards to see both."""
    delivered: Any = F(f"{old}delivered")
    overridden: Any = F(f"{old}overridden")
    for column, is_said in says.items():
        meets = is_said & Q(**{f"{old}delivered__has_key": column})
        delivered = JSONMinus(delivered, Case(When(meets, then=Value(column)), default=Value("")))
        mine = Case(When(meets, then=JSONObject(**{column: F(old + column)})), default=Value({}, JSONField()))
        overridden = JSONPlus(overridden, mine)
    return {"delivered": delivered, "overridden": overridden}


def remember_sightings(load: Load, rows: "QuerySet[Any, Any]", columns: tuple[Any, ...]) -> None:
    """Keeps which stored rows the delivery contained and which columns it filled: a Q for each, in their order."""
    each = [Case(When(filled, then=Value(1 << n)), default=Value(0)) for n, filled in enumerate(columns)]
    bits = reduce(add, each[1:], each[0])
    seen = (
        rows.filter(known__row_id__isnull=False)
        .annotate(bits=bits, block=F("known__row_id") / IDS_PER_SIGHTING)
        .values("bits", "block")
        .annotate(found=ArrayAgg("known__row_id"))
    )
    upsert(Sighting, seen, {"batch_id": Value(load.batch.pk), "columns": "bits", "ids": "found"})

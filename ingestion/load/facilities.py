"""Facilities: (name, state, LGA), with what a list without LGAs may still say."""

from collections.abc import Sequence
from typing import Any

from django.db.models import (
    Aggregate,
    Avg,
    Count,
    Exists,
    FloatField,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    Window,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, Cos, Power, Radians, Sqrt
from django.db.models.lookups import GreaterThan

from clinical.models import Facility, FacilityAlias
from ingestion.load import merge
from ingestion.load.context import Load, collapse, insert, is_known, lock_dataset, meet

IDENTITY = ("name_key", "state", "lga_key")
KM_PER_DEGREE = 111.2  # of latitude
INSERTED = ("name", "state", "lga", "lga_name", "line", *Facility.UPDATABLE)


def resolve(load: Load) -> None:
    lock_dataset(load)
    _without_lga(load)
    with_lga = load.good.exclude(lga_name="")
    meet(load, with_lga.filter(identity__merged_into=None), "identity__id")
    meet(load, load.good, "alias__facility_id")
    collapse(load, load.good, IDENTITY, {"is_apart": _is_apart(IDENTITY)})
    collapse(load, load.good.filter(is_known()), ["known__row_id"], {"is_apart": _is_apart(["known__row_id"])})


def publish(load: Load) -> None:
    merge.protect_newer(load)
    load.counts["updated"] = merge.update_edited(load, "facility", Facility, ("name", "state", "lga", "lga_name"))
    values = {column: column for column in INSERTED} | {"batch_id": Value(load.batch.pk)}
    load.counts["inserted"] = insert(load, Facility, load.good.filter(~is_known()).order_by("line"), values)
    meet(load, load.good.filter(identity__merged_into=None), "identity__id")
    filled = tuple(Q(**{f"{column}__isnull": False}) for column in Facility.UPDATABLE)
    merge.remember_sightings(load, load.good, filled)
    load.warn("DELETED_BY_STEWARD", load.good.filter(known__facility__deleted_at__isnull=False).count())


def _without_lga(load: Load) -> None:
    """A row without LGA is the one facility of that name in its state, stored or new; where there are several, none."""
    rows = load.good.filter(lga_name="")
    if not rows.exists():
        return
    in_file = load.rows.filter(name_key=OuterRef("name_key"), state=OuterRef("state")).exclude(lga_name="")
    same = {"name_key": OuterRef("name_key"), "state": OuterRef("state")}
    now_so_called = Facility.objects.filter(**same, merged_into=None)
    once_so_called = FacilityAlias.objects.filter(**same).exclude(facility__in=now_so_called.values("id"))
    namesakes = _count(now_so_called, "id") + _count(once_so_called, "facility_id")
    load.stop(rows.annotate(n=namesakes).filter(Q(Exists(in_file)) | Q(n__gt=1)), "REQUIRED_MISSING:lga")
    load.warn("LGA_MISSING", rows.count())
    meet(load, load.good.filter(lga_name="", namesake__merged_into=None), "namesake__id")
    meet(load, load.good.filter(lga_name=""), "former_namesake__facility_id")


def _count(named: "QuerySet[Any, Any]", column: str) -> Coalesce:
    return Coalesce(
        Subquery(named.order_by().values("name_key").annotate(n=Count(column, distinct=True)).values("n")), 0
    )


def _is_apart(partition: Sequence[str]) -> Combinable:
    """True where the box around the partition's points is over 2 km across: for two points, their distance."""

    def over(aggregate: type[Aggregate], column: str) -> Window:
        return Window(aggregate(Cast(column, FloatField())), partition_by=[*partition])

    north = over(Max, "lat") - over(Min, "lat")
    east = (over(Max, "lon") - over(Min, "lon")) * Cos(Radians(over(Avg, "lat")))
    return GreaterThan(Sqrt(Power(north, 2) + Power(east, 2)) * KM_PER_DEGREE, 2.0)

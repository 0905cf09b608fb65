"""Which facility the cells of a child row mean: by name, narrowed by state, LGA, folder and stewards' decisions."""

from collections.abc import Callable
from typing import Any

from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    Exists,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact

from clinical.access import Scope
from clinical.models import Facility, FacilityAlias, FacilityName, PatientAlias
from ingestion import staging
from ingestion.datasets import Dataset
from ingestion.load.context import MOST_LOCKS, Load, lock_facilities
from ingestion.models import Rule
from ingestion.staging import Place
from ingestion.upsert import upsert


def resolve(load: Load) -> None:
    """Fills `staged_places` and refuses the rows whose facility is unknown or uncertain."""
    cells = ("facility_key", "facility_state", "lga_key")
    upsert(Place, load.rows.distinct(), {cell: cell for cell in cells})
    staging.analyze(Place)
    candidates = _consistent(load, FacilityName.objects.filter(name_key=OuterRef("facility_key")))
    grouped = candidates.order_by().values("name_key")
    by_own_name = Count("facility_id", filter=Q(of=None))
    former = grouped.annotate(former=Case(When(Exact(by_own_name, 0), then=Min("of_id")))).values("former")
    Place.objects.update(
        candidates=Coalesce(Subquery(grouped.annotate(n=Count("facility_id", distinct=True)).values("n")), 0),
        facility_id=Subquery(grouped.annotate(id=Min("facility_id")).values("id")),
        arrived_as_id=Subquery(former),
    )
    _apply_rules(load)
    lock_facilities(load, _spoken_of(load))
    if _follow_merges():
        lock_facilities(load, _spoken_of(load))
    named = load.rows.exclude(facility_name="").filter(given_facility_id=None)
    if load.dataset.is_event:
        named = named.filter(given_patient_id=None)  # who has one facility
    load.stop(named.filter(place__candidates=0), "FACILITY_NOT_FOUND")
    load.stop(named.filter(place__candidates__gt=1), "FACILITY_AMBIGUOUS")
    if load.is_replay:
        _refuse_unknown_given(load)


def _follow_merges() -> int:
    """While this load waited for its locks, a facility may have been merged into another; returns how many places."""
    merged = Facility.objects.filter(pk=OuterRef("facility_id"), merged_into__isnull=False)
    return Place.objects.filter(Exists(merged)).update(
        arrived_as_id=F("facility_id"), facility_id=Subquery(merged.values("merged_into")[:1])
    )


def _spoken_of(load: Load) -> set[int]:
    """The facilities of the rows, by their cells and by what stewards have put."""
    found = {*Place.objects.filter(facility_id__isnull=False).values_list("facility_id", flat=True)}
    if load.is_replay:
        found |= {*load.rows.exclude(given_facility_id=None).values_list("given_facility_id", flat=True)}
        if load.dataset.is_event:
            homes = load.rows.exclude(given_patient__facility_id=None)
            found |= {*homes.values_list("given_patient__facility_id", flat=True)}
    if len(found) <= MOST_LOCKS:  # and where those live now who were registered there once
        moved = PatientAlias.objects.filter(facility_id__in=found)
        found |= {*moved.values_list("patient__facility_id", flat=True).distinct()}
    return found


def facility_of_row() -> Coalesce:
    """The facility of a child row: the one a steward has put, else what its cells mean."""
    return Coalesce("given_facility_id", "place__facility_id")


def landing_outside(load: Load, scope: Scope) -> "QuerySet[Any]":
    """The rows that would be written at a facility, or would make one, that is not in the scope; not of the nation."""
    if load.dataset == Dataset.FACILITIES:
        return load.good.exclude(scope.of_places("state", "lga_key", "known__row_id"))
    inside = [*Facility.objects.inside(scope).order_by().values_list("pk", flat=True)]
    if load.dataset.is_event:
        return load.good.exclude(belonging__facility_id__in=inside)
    return load.good.annotate(at=facility_of_row()).exclude(at__in=inside)


def _consistent(
    load: Load, names: "QuerySet[FacilityName]", of_place: Callable[[str], Any] = OuterRef
) -> "QuerySet[FacilityName]":
    """Those that agree with the place's state and LGA, where given, and with the folder's state."""
    names = names.filter(
        Q(state=of_place("facility_state")) | Q(Exact(of_place("facility_state"), Value("", TextField()))),
        Q(lga_key=of_place("lga_key")) | Q(Exact(of_place("lga_key"), Value("", TextField()))),
    )
    return names.filter(state=load.folder_state) if load.folder_state else names


def _apply_rules(load: Load) -> None:
    """A steward's rule fills what the cells leave open; it never overrides a state or an LGA that a row states."""
    rules = Rule.objects.active().for_source(load.batch.source).filter(about=Rule.About.FACILITY)
    if not rules.exists():
        return
    reach = Q(state="") | Q(state=OuterRef("facility_state")) | Q(state=load.folder_state or "")
    rules = rules.filter(reach, text_key=OuterRef("facility_key"))
    # Where the facility was merged since, its former identity leads to the one that stands for it, however often.
    stands = FacilityAlias.objects.filter(of=OuterRef("facility_id")).values("facility_id")[:1]
    rules = rules.annotate(means=Coalesce(Subquery(stands), "facility_id", output_field=BigIntegerField()))
    rules = rules.annotate(
        former=Case(When(~Q(means=F("facility_id")), then="facility_id"), output_field=BigIntegerField())
    )
    meant = FacilityName.objects.filter(facility_id=OuterRef("means"))
    deciding = rules.filter(Exists(_consistent(load, meant, lambda name: OuterRef(OuterRef(name)))))
    open_places = Place.objects.exclude(candidates=1).filter(Exists(deciding))
    open_places.update(
        facility_id=Subquery(deciding.values("means")[:1]),
        rule_id=Subquery(deciding.values("pk")[:1]),
        arrived_as_id=Subquery(deciding.values("former")[:1]),
        candidates=1,
    )


def _refuse_unknown_given(load: Load) -> None:
    facilities = Facility.objects.filter(pk=OuterRef("given_facility_id"), deleted_at=None)
    given = load.rows.filter(given_facility_id__isnull=False)
    load.stop(given.filter(~Exists(facilities)), "FACILITY_NOT_FOUND")


def is_certain() -> Q:
    """Of an event: that its facility is known, or the patient is, who has one."""
    return Q(given_patient_id__isnull=False) | Q(given_facility_id__isnull=False) | Q(place__candidates=1)

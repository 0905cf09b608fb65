"""Records and visits: whose they are, which are known already, and what is new."""

from datetime import datetime, time
from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Case, Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, TextField, Value, When, Window
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, JSONObject, RowNumber

from clinical.models import LagosDate, MedicalRecord, Patient, TriageVisit
from ingestion import staging
from ingestion.datasets import Dataset
from ingestion.load import erased, merge, places
from ingestion.load.context import IsDistinct, Load, collapse, is_known, meet
from ingestion.models import RejectedRow
from ingestion.objects import LAGOS
from ingestion.rows import FINGERPRINT_VERSION
from ingestion.staging import Belonging, Keyed, Place, Repeated
from ingestion.upsert import upsert

MODELS: dict[Dataset, Any] = {Dataset.MEDICAL_RECORDS: MedicalRecord, Dataset.TRIAGE_VISITS: TriageVisit}
EXTERNAL_ID = {Dataset.MEDICAL_RECORDS: "record_id", Dataset.TRIAGE_VISITS: "visit_id"}
INSTANT = {Dataset.MEDICAL_RECORDS: "recorded_at", Dataset.TRIAGE_VISITS: "visited_at"}
PERSON = ("first_name_key", "last_name_key")
CELLS = ("facility_key", "facility_state", "lga_key", *PERSON, "patient_dob", "patient_phone")
# What a later version of an event with an id may change, besides its instant.
CONTENT: dict[Dataset, tuple[str, ...]] = {
    Dataset.MEDICAL_RECORDS: ("record_type",),
    Dataset.TRIAGE_VISITS: (
        *("triage_level", "chief_complaint", "vital_signs", "conditions", "recommendations", "language", "provider"),
    ),
}
IN_DATA: dict[Dataset, tuple[str, ...]] = {
    Dataset.MEDICAL_RECORDS: MedicalRecord.CONTENT,  # the keys of `data`
    Dataset.TRIAGE_VISITS: (),
}
LISTS = ("conditions", "recommendations")
SAMPLE, SAMPLE_AT_LEAST, OVERLAP = 1000, 20, 0.8


class Overlap(NamedTuple):
    """Of so many events looked at, so many were brought by this batch already."""

    looked_at: int = 0
    stored: int = 0
    by_batch: int | None = None

    @property
    def share(self) -> float:
        return self.stored / self.looked_at if self.looked_at else 0.0


def resolve(load: Load) -> None:
    places.resolve(load)
    erased.leave_out(load)
    _number_repetitions(load)
    _find_patients(load)
    _refuse_before_birth(load)
    if _with_id(load).exists():
        _resolve_ids(load)
    _meet_by_content(load)


# --- Whose it is


def _number_repetitions(load: Load) -> None:
    """The second, third… of rows that are equal in facility, patient and content."""
    if load.is_replay:
        return  # fixed when the file was read: load/refused.py
    twice = load.rows.values("fingerprint").annotate(n=Count("line")).filter(n__gt=1)
    load.has_repetitions = twice.exists()
    if load.has_repetitions:
        nth = Window(RowNumber(), partition_by=["fingerprint", *CELLS], order_by="line")
        rows = load.rows.filter(fingerprint__in=twice.values("fingerprint")).annotate(nth=nth)
        upsert(Repeated, rows.filter(nth__gt=1), {"line": "line", "ordinal": "nth"})
        staging.analyze(Repeated)


def ordinal() -> Coalesce:
    return Coalesce("repeated__ordinal", 1)


def _find_patients(load: Load) -> None:
    """The one patient whom name, facility and (where given) date of birth mean, or a refusal. Never the first match."""
    certain = load.rows.filter(places.is_certain())
    named = certain.filter(given_patient_id=None, named__facility_id=places.facility_of_row())
    named = named.filter(Q(patient_dob=None) | Q(patient_dob=F("named__dob")))
    same_phone = Q(named__phone=F("patient_phone"))
    found = named.values("line", at=places.facility_of_row()).annotate(
        first=Min("named__patient_id"),
        last=Max("named__patient_id"),
        home=Min("named__home_id"),
        first_by_phone=Min("named__patient_id", filter=same_phone),
        last_by_phone=Max("named__patient_id", filter=same_phone),
        home_by_phone=Min("named__home_id", filter=same_phone),
    )
    is_one, is_one_by_phone = Q(first=F("last")), Q(first_by_phone=F("last_by_phone"))
    one = Case(When(is_one, then="first"), When(is_one_by_phone, then="first_by_phone"))
    home = Case(When(is_one, then="home"), When(is_one_by_phone, then="home_by_phone"), default="at")
    columns: dict[str, Any] = {"line": "line", "facility_id": home, "patient_id": one}
    if Patient.objects.filter(merged_into__isnull=False).exists():
        own = {"own": Count("line", filter=Q(named__of=None)), "former": Min("named__of_id")}
        found = found.annotate(**own)
        columns["arrived_as_id"] = Case(When(own=0, then="former"))
    upsert(Belonging, found, columns)
    if load.is_replay:
        given = load.rows.filter(given_patient__deleted_at=None, given_patient__facility_id__isnull=False)
        given = given.filter(Q(given_facility_id=None) | Q(given_facility_id=F("given_patient__facility_id")))
        columns = {"line": "line", "facility_id": "given_patient__facility_id", "patient_id": "given_patient_id"}
        upsert(Belonging, given, columns)
    staging.analyze(Belonging)
    _note_merged_places(load)
    belongs = Exists(Belonging.objects.filter(line=OuterRef("line")))
    asked = certain.annotate(at=places.facility_of_row()).exclude(patient_first_name="").exclude(patient_last_name="")
    load.stop(asked.filter(~belongs), "PATIENT_NOT_FOUND")
    several = Q(belonging__facility_id__isnull=False, belonging__patient_id=None)
    load.stop(asked.filter(several | _is_doubtful(load)), "PATIENT_AMBIGUOUS")


def _note_merged_places(load: Load) -> None:
    """By the name of a merged facility a file may speak of a patient of it who was merged too."""
    if Place.objects.filter(arrived_as_id__isnull=False).exists():
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE staged_belongings b SET arrived_as_id = m.id"  # noqa: S608  a table of ours
                f" FROM {load.stage._meta.db_table} r JOIN staged_places p"
                " USING (facility_key, facility_state, lga_key) JOIN patients m ON m.facility_id = p.arrived_as_id"
                " WHERE r.line = b.line AND m.merged_into_id = b.patient_id AND b.arrived_as_id IS NULL"
            )


def _is_doubtful(load: Load) -> Q:
    """A name that an open refused patient row carries at that facility may be that other person's."""
    open_rows = RejectedRow.objects.filter(dataset=Dataset.PATIENTS, state=RejectedRow.State.OPEN)
    if not open_rows.exists():
        return Q(pk__in=[])
    load.hashes  # noqa: B018  now the database can make them
    same_name = open_rows.filter(**{key: Keyed(OuterRef(key)) for key in PERSON})
    same_place = Q(facility_id=OuterRef("at")) | Q(facility_id=None, facility_key=Keyed(OuterRef("facility_key")))
    is_name_only = Q(patient_dob=None, given_patient_id=None, belonging__patient_id__isnull=False)
    return is_name_only & Q(Exists(same_name.filter(same_place)))


def _refuse_before_birth(load: Load) -> None:
    instant = INSTANT[load.dataset]
    dated = load.good.filter(**{f"{instant}__isnull": False})
    if dated.exists():
        born_later = dated.annotate(day=LagosDate(instant)).filter(day__lt=F("belonging__patient__dob"))
        load.stop(born_later, f"RANGE:{instant}")


# --- What is known already


def _with_id(load: Load) -> "QuerySet[Any, Any]":
    return load.good.filter(**{f"{EXTERNAL_ID[load.dataset]}__isnull": False})


def _resolve_ids(load: Load) -> None:
    """Events with ids are (facility, id): within the file, against the table, and against events that had none yet."""
    key = EXTERNAL_ID[load.dataset]
    partition = ["at", key]
    first, last = (Window(of("belonging__patient_id"), partition_by=partition) for of in (Min, Max))
    rows = _with_id(load).annotate(at=F("belonging__facility_id"))
    collapse(load, rows, partition, {"is_torn": IsDistinct(first, last)})
    same = _with_id(load).filter(same_id__facility_id=F("belonging__facility_id"))
    load.stop(same.exclude(same_id__patient_id=F("belonging__patient_id")), "IDENTITY_CONFLICT:patient")
    meet(load, _with_id(load).filter(same_id__facility_id=F("belonging__facility_id")), "same_id__id")
    content = _same_content(load, _with_id(load).filter(~is_known())).filter(**{f"same_content__{key}": None})
    first = Window(Min("line"), partition_by=["same_content__id"])  # an event takes one id
    content = content.filter(same_content__event_on=event_on(load)).annotate(first=first)
    meet(load, content.filter(line=F("first")), "same_content__id")


def _meet_by_content(load: Load) -> None:
    """Rows without ids whose event has one, or is deleted; as a snapshot, whose event is stored under any day.

    The rest is left to the unique constraint, which answers while it inserts.
    """
    model, key = MODELS[load.dataset], EXTERNAL_ID[load.dataset]
    rows = _same_content(load, load.good.filter(**{key: None}))
    if load.is_snapshot:
        first = rows.values("line").annotate(earliest=Min("same_content__id"))
        meet(load, first, "earliest")
        return
    rows = rows.filter(same_content__event_on=event_on(load))
    if model.objects.filter(**{f"{key}__isnull": False}).exists():
        with_id = rows.filter(**{f"same_content__{key}__isnull": False})
        meet(load, with_id.values("line").annotate(earliest=Min("same_content__id")), "earliest")
    if model.objects.filter(deleted_at__isnull=False).exists():
        meet(
            load,
            rows.filter(same_content__deleted_at__isnull=False, **{f"same_content__{key}": None}),
            "same_content__id",
        )


def meet_stored(load: Load) -> None:
    """Notes, of each row that is stored by now, as which one: of what went in, and of what was collapsed, too."""
    with_id = load.rows.filter(**{f"{EXTERNAL_ID[load.dataset]}__isnull": False})
    meet(load, with_id.filter(same_id__facility_id=F("belonging__facility_id")), "same_id__id")
    meet(load, _same_content(load, load.rows).filter(same_content__event_on=event_on(load)), "same_content__id")


def _same_content(load: Load, rows: "QuerySet[Any, Any]") -> "QuerySet[Any, Any]":
    # Not equality with `ordinal()`: Django would join the repetitions as if every row were one.
    nth = Q(repeated__ordinal=None, same_content__ordinal=1) | Q(same_content__ordinal=F("repeated__ordinal"))
    return rows.filter(nth, same_content__patient_id=F("belonging__patient_id"))


def _midnight(load: Load) -> Value:
    return Value(datetime.combine(load.batch.business_date, time(), LAGOS))


def event_on(load: Load, instant: Any = None) -> LagosDate:
    return LagosDate(Coalesce(instant or INSTANT[load.dataset], _midnight(load)))


def overlap(load: Load) -> Overlap:
    """How much of a sample is stored for the same patients under an earlier day, all from one earlier batch."""
    model = MODELS[load.dataset]
    rows = load.good.filter(**{EXTERNAL_ID[load.dataset]: None})
    sample = [*rows.order_by("fingerprint", "line").values_list("line", flat=True)[:SAMPLE]]
    if len(sample) < SAMPLE_AT_LEAST or not model.objects.exists():
        return Overlap()
    earlier = (
        _same_content(load, rows.filter(line__in=sample))
        .filter(same_content__event_on__lt=event_on(load))
        .exclude(same_content__batch_id=load.batch.pk)
        .values("same_content__batch_id")
        .annotate(n=Count("line", distinct=True))
        .order_by("-n")
        .first()
    )
    return Overlap(len(sample), earlier["n"], earlier["same_content__batch_id"]) if earlier else Overlap(len(sample))


# --- Into the table


def publish(load: Load) -> None:
    model, new = MODELS[load.dataset], load.good.filter(~is_known())
    has_ids = _with_id(load).exists()
    if has_ids:
        merge.protect_newer(load)
        load.counts["updated"] = _update(load)
    load.counts["inserted"] = _insert(load, model, new)
    staging.analyze_grown(model, load.counts["inserted"])
    load.counts["collapsed"] = _count_said_twice(load, new)
    if has_ids:
        meet(load, _with_id(load).filter(same_id__facility_id=F("belonging__facility_id")), "same_id__id")
        merge.remember_sightings(load, _with_id(load), tuple(_filled(load).values()))
    if load.is_replay:
        meet(load, _same_content(load, load.good).filter(same_content__event_on=event_on(load)), "same_content__id")
    load.warn("DELETED_BY_STEWARD", load.good.filter(**{f"{_old(load)}deleted_at__isnull": False}).count())


def _insert(load: Load, model: Any, new: "QuerySet[Any, Any]") -> int:
    """Writes what is not stored yet.

    Where no content occurs twice in the file, the only row that the identity's constraint could still refuse is one
    that a person writes at this very moment; then the attempt begins anew. Asking first costs half of what it costs to
    let the constraint answer for each row.
    """
    # By patient: neighbours in the indexes and in the foreign key's check are then written one after another.
    new = new.order_by("belonging__patient_id", "line")
    if load.has_repetitions:
        return upsert(model, new, _columns(load), ignore_conflicts=True)
    stored = model.objects.filter(
        patient_id=OuterRef("belonging__patient_id"),
        event_on=event_on(load, OuterRef(INSTANT[load.dataset])),
        fingerprint=OuterRef("fingerprint"),
        ordinal=1,
        **{f"{EXTERNAL_ID[load.dataset]}__isnull": True},
    )
    without_id = Q(**{EXTERNAL_ID[load.dataset]: None})
    return upsert(model, new.exclude(without_id & Exists(stored)), _columns(load))


def _old(load: Load) -> str:
    return "known__medical_record__" if load.dataset == Dataset.MEDICAL_RECORDS else "known__triage_visit__"


def _columns(load: Load) -> dict[str, Any]:
    return {
        "patient_id": "belonging__patient_id",
        "facility_id": "belonging__facility_id",
        "arrived_as_id": "belonging__arrived_as_id",
        "ordinal": ordinal(),
        "batch_id": Value(load.batch.pk),
        "line": "line",
    } | said(load)


def said(load: Load) -> dict[str, Any]:
    """What a new event's columns take from its row's own cells."""
    instant, key = INSTANT[load.dataset], EXTERNAL_ID[load.dataset]
    columns: dict[str, Any] = {
        "time_is_estimated": Case(When(**{instant: None}, then=Value(True)), default=Value(False)),
        instant: Coalesce(instant, _midnight(load)),
        key: key,
        "fingerprint": "fingerprint",
        "fingerprint_version": Value(FINGERPRINT_VERSION),
    } | {column: column for column in CONTENT[load.dataset]}
    if in_data := IN_DATA[load.dataset]:
        columns["data"] = JSONObject(**{name: F(name) for name in in_data})
    return columns


def _filled(load: Load) -> dict[str, Q]:
    """Per column that a later version may change: that the row says something about it."""
    names = (*CONTENT[load.dataset], *IN_DATA[load.dataset], INSTANT[load.dataset])
    return {name: ~Q(**{name: []}) if name in LISTS else Q(**{f"{name}__isnull": False}) for name in names}


def _update(load: Load) -> int:
    """Brings the events that rows with an id meet up to date; an event without an id gets it."""
    model, old = MODELS[load.dataset], _old(load)
    instant, key = INSTANT[load.dataset], EXTERNAL_ID[load.dataset]
    in_data = IN_DATA[load.dataset]
    stored = {
        name: KeyTextTransform(name, f"{old}data") if name in in_data else F(old + name) for name in _filled(load)
    }
    says = {
        name: filled & Q(IsDistinct(F(name), stored[name])) & merge.unprotected(load, bit)
        for bit, (name, filled) in enumerate(_filled(load).items())
    }
    kind = {name: TextField() if name in in_data else model._meta.get_field(name) for name in says}
    value = {n: Case(When(says[n], then=F(n)), default=stored[n], output_field=kind[n]) for n in says}
    columns: dict[str, Any] = {"id": "known__row_id"}
    columns |= {name: old + name for name in ("patient_id", "facility_id", "ordinal")}
    columns |= {name: value[name] for name in (*CONTENT[load.dataset], instant)}
    if in_data:
        columns["data"] = JSONObject(**{name: value[name] for name in in_data})
    is_estimated = Case(When(says[instant], then=Value(False)), default=F(f"{old}time_is_estimated"))
    columns |= {"time_is_estimated": is_estimated, key: key, "fingerprint": "fingerprint"}
    columns["fingerprint_version"] = Value(FINGERPRINT_VERSION)
    gives_id = Q(**{f"{old}{key}": None})
    changed = _with_id(load).filter(**{f"{old}deleted_at": None, f"{old}id__isnull": False})
    changed = changed.filter(reduce(or_, says.values()) | gives_id)
    fields = [name for name in columns if name not in ("id", "patient_id", "facility_id", "ordinal")]
    return upsert(model, changed, columns, update_conflicts=True, unique_fields=["id"], update_fields=fields)


def said_before(load: Load) -> dict[int, int]:
    """Of the lines without ids that an earlier line has said already in other cells: that line."""
    if not load.has_repetitions:
        return {}
    rows = load.good.filter(~is_known(), **{EXTERNAL_ID[load.dataset]: None})
    rows = rows.annotate(day=event_on(load), nth=ordinal())
    first = Window(Min("line"), partition_by=["belonging__patient_id", "day", "fingerprint", "nth"])
    return dict(rows.annotate(first=first).filter(first__lt=F("line")).values_list("line", "first"))


def _count_said_twice(load: Load, new: "QuerySet[Any, Any]") -> int:
    """Rows without ids that differ in their cells and yet are one event, so that only one of them went in."""
    if not load.has_repetitions:
        return 0
    rows = new.filter(**{EXTERNAL_ID[load.dataset]: None})
    count = rows.count()
    if load.counts["inserted"] >= count:
        return 0
    events = rows.annotate(day=event_on(load), nth=ordinal())
    return count - events.values("belonging__patient_id", "day", "fingerprint", "nth").distinct().count()

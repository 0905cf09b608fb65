"""Rows as awkward as they may be: every optional column filled and empty, names of all kinds, merged and deleted."""

import random
from datetime import UTC, date, datetime, timedelta

from clinical import vital_readings
from clinical.merging import merge_facilities, merge_patients
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit, User
from tests.rows import _event

NAMES = ("Ọlábísí", "O'Neill", 'Ada "Ada"', "Nneka-Chidi", "X", "Ở", "李", "<b>Musa</b>", "A & B", "N" * 100, "é́")
TEXTS = (
    "Malaria",
    "? typhoid; malaria",
    "<script>",
    "two\nlines",
    "tab\there",
    "Ọgbẹ́ — “fever”",
    "x" * 3000,
    "\U0001d518",
    "a|b,c\\d",
)
PLACES = (
    ("LAGOS", "Ikeja"),
    ("KANO", "Dala"),
    ("FCT", ""),
    ("KADUNA", "Jema'a"),
    ("BORNO", "Nowhere"),
    ("KEBBI", "Argungu"),
)
VITALS = (
    "BP: 120/80, HR: 80, Temp 98.6F SpO2 97% on air",
    "nil",
    "BP 300/10; GCS 15; AVPU: V; RBS 5.4mmol/l pain 4/10",
    "wt 3200g",
)


def make_odd(rows: int, seed: int = 1) -> None:
    """About so many rows of all kinds."""
    chance = random.Random(seed)
    facilities = Facility.objects.bulk_create(_facility(chance, n) for n in range(max(20, rows // 40)))
    people = Patient.objects.bulk_create(_patient(chance, chance.choice(facilities), n) for n in range(rows // 3))
    MedicalRecord.objects.bulk_create(_record(chance, chance.choice(people), n) for n in range(rows // 3))
    TriageVisit.objects.bulk_create(_visit(chance, chance.choice(people), n) for n in range(rows // 3))
    vital_readings.read_due()
    steward, _ = User.objects.get_or_create(username="steward-of-odd-rows", defaults={"is_superuser": True})
    at_one = [one for one in people if one.facility_id == people[0].facility_id]
    if len(at_one) > 1:
        merge_patients(at_one[0], at_one[1], by=steward)
    merge_facilities(facilities[0], facilities[1], by=steward)
    for model in (MedicalRecord, TriageVisit):
        ids = model.objects.order_by("-pk").values("pk")[: rows // 60]
        model.objects.filter(pk__in=[one["pk"] for one in ids]).update(deleted_at=datetime(2026, 1, 2, tzinfo=UTC))


def _maybe(chance: random.Random, value: object) -> object:
    return value if chance.random() < 0.6 else None


def _from_file(chance: random.Random) -> dict:
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=chance.randrange(2000))
    of_file = {"batch_id": 7, "line": _maybe(chance, chance.randrange(2, 90))} if chance.random() < 0.5 else {}
    return of_file | {"created_at": at, "updated_at": at + timedelta(days=chance.randrange(3))}


def _facility(chance: random.Random, n: int) -> Facility:
    state, lga = PLACES[n % len(PLACES)]
    point = {"lat": "6.5123456", "lon": "3.35"} if n % 2 else {}
    more = {name: _maybe(chance, chance.choice(TEXTS[:3])) for name in ("type", "ownership", "level")}
    return Facility(
        name=f"{chance.choice(NAMES)} {n}"[:255],
        state=state,
        lga=lga,
        lga_name=lga,
        hfr_code=_maybe(chance, f"HFR/{n}"),
        **point,
        **more,
        **_from_file(chance),
    )


def _patient(chance: random.Random, at: Facility, n: int) -> Patient:
    return Patient(
        facility=at,
        first_name=chance.choice(NAMES)[:100],
        last_name=f"{n} {chance.choice(NAMES)}"[:100],
        sex=chance.choice(Patient.Sex.values),
        dob=date(1900, 1, 1) + timedelta(days=chance.randrange(46_000)),
        dob_is_estimated=chance.random() < 0.3,
        phone=_maybe(chance, f"+234803{n:07}"),
        patient_number=_maybe(chance, f"№ {n}/{chance.choice(NAMES)[:50]}"),
        **_from_file(chance),
    )


def _at(chance: random.Random, name: str, n: int) -> dict:
    at = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(200_000_000), microseconds=n)
    return {name: at, "time_is_estimated": chance.random() < 0.3}


def _record(chance: random.Random, who: Patient, n: int) -> MedicalRecord:
    return MedicalRecord(
        record_type=_maybe(chance, chance.choice(("Lab", "Consultation", *TEXTS[:3]))),
        data={name: chance.choice((None, "", *TEXTS)) for name in MedicalRecord.CONTENT},
        record_id=_maybe(chance, f"R {n}"),
        **_at(chance, "recorded_at", n),
        **_event(who),
        **_from_file(chance),
    )


def _visit(chance: random.Random, who: Patient, n: int) -> TriageVisit:
    words = {name: _maybe(chance, chance.choice(TEXTS)) for name in ("chief_complaint", "language", "provider")}
    return TriageVisit(
        triage_level=chance.randint(1, 5),
        vital_signs=_maybe(chance, chance.choice(VITALS)),
        conditions=chance.choices(TEXTS, k=chance.randrange(4)),
        recommendations=chance.choices(TEXTS, k=chance.randrange(3)),
        visit_id=_maybe(chance, f"V-{n}"),
        **words,
        **_at(chance, "visited_at", n),
        **_event(who),
        **_from_file(chance),
    )

"""Clinical rows without a load, the day that tests stand at, and the marts made of them."""

import itertools
import random
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta

from django.db import connection, transaction

from analytics.relations import MARTS
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from clinical.terms import counting
from clinical.values import LAGOS

NUMBERS = itertools.count(1)
NOTHING = dict.fromkeys(MedicalRecord.CONTENT)


def stand_at(day: date) -> None:
    """Makes `day` today, for this transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('medilink.today', %s, true)", [day.isoformat()])


def refresh_all() -> None:
    """Every mart from the rows of this transaction, and what their words mean."""
    counting.bring_up()
    with connection.cursor() as cursor:
        for mart in MARTS:
            cursor.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {mart.table}")


def lagos(day: date, hour: int = 9, minute: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute), LAGOS)


# --- One row each; what a test does not say is plain and unlike any other row


def facility(**changed) -> Facility:
    known = {"name": f"Clinic {next(NUMBERS)}", "state": "LAGOS", "lga": "Ikeja", "lga_name": "Ikeja", "type": "Clinic"}
    return Facility.objects.create(**known | changed)


def patient(at: Facility | None = None, **changed) -> Patient:
    known = {"first_name": "Ngozi", "last_name": f"Okafor {next(NUMBERS)}", "sex": "F", "dob": date(1990, 1, 1)}
    return Patient.objects.create(**known | {"facility": at or facility()} | changed)


def record(whose: Patient, day: date, **changed) -> MedicalRecord:
    """`diagnosis` and the other keys of `data` may be given like columns."""
    changed["data"] = NOTHING | {key: changed.pop(key) for key in MedicalRecord.CONTENT if key in changed}
    return MedicalRecord.objects.create(**_event(whose) | {"recorded_at": lagos(day)} | changed)


def visit(whose: Patient, day: date, level: int = 3, **changed) -> TriageVisit:
    return TriageVisit.objects.create(**_event(whose) | {"visited_at": lagos(day), "triage_level": level} | changed)


def visits(whose: Patient, day: date, levels: Iterable[int], **changed) -> None:
    """One for each level, without a statement for each."""
    known = {"visited_at": lagos(day)} | changed
    TriageVisit.objects.bulk_create(TriageVisit(triage_level=n, **_event(whose), **known) for n in levels)


def _event(whose: Patient) -> dict:
    return {"patient": whose, "facility_id": whose.facility_id, "fingerprint": uuid.UUID(int=next(NUMBERS))}


# --- Many rows, as awkward as they may be

PATIENTS_OF_FACILITIES = (101, 100, 50, 49, 12, 1, 0, 7)
TYPES = ("HOSPITAL clinic", "Patent Medicine Store", "Clinic", "Primary health centre", None, "phc", "Spa", "CHEMIST")
PLACES = (("LAGOS", "Ikeja"), ("LAGOS", "Agege"), ("KANO", "Dala"), ("FCT", ""), ("OYO", "Iseyin"), ("EDO", "Oredo"))
CONDITIONS = ("Malaria", "MALARIA", "malaria", "Typhoid", "typhoid", "Ọgbẹ́", "ỌGBẸ́", "Fever; high", "Ulcer")
RECORD_TYPES = ("Consultation", "Lab", "lab", "Admission", None)
DIAGNOSES = ("Malaria", "malaria", "Ọgbẹ́", "", None)


def make_many(seed: int, today: date) -> None:
    """Facilities of every size and kind, events on both sides of each window's ends, people born on 29 February."""
    chance = random.Random(seed)
    facilities = Facility.objects.bulk_create(_facility(chance, n, today) for n in range(len(PATIENTS_OF_FACILITIES)))
    patients = Patient.objects.bulk_create(
        _patient(chance, at, n, today)
        for at, size in zip(facilities, PATIENTS_OF_FACILITIES, strict=True)
        for n in range(size)
    )
    # The first facility's events are of this month only, the second's began three months ago; some patients have none.
    days = {facilities[0].pk: _days_since(today.replace(day=1), today), facilities[1].pk: _days_since(today, today, 90)}
    others = _edges(today)
    busy = chance.sample(patients, 120)
    events = [(who, chance.choice(days.get(who.facility_id, others))) for who in chance.choices(busy, k=900)]
    MedicalRecord.objects.bulk_create(_record(chance, who, day) for who, day in events[:400])
    TriageVisit.objects.bulk_create(_visit(chance, who, day) for who, day in events[400:])


def _days_since(first: date, today: date, before: int = 0) -> list[date]:
    first -= timedelta(days=before)
    return [first + timedelta(days=n) for n in range((today - first).days + 1)]


def _edges(today: date) -> list[date]:
    """Tomorrow and today, and the days at which a window of days, of months or of a year begins or has just ended."""
    month = today.replace(day=1)
    offsets = (-1, 0, 1, 6, 7, 8, 28, 29, 30, 31, 88, 89, 90, 91, 363, 364, 365, 366, 367, 800)
    months = (month, month.replace(year=month.year - 1), (month - timedelta(days=1)).replace(day=1))
    near_months = [day + timedelta(days=n) for day in months for n in (-1, 0, 1)]
    return [today - timedelta(days=n) for n in offsets] + [day for day in near_months if day <= today]


def _deleted(chance: random.Random) -> dict:
    return {"deleted_at": datetime(2026, 1, 2, tzinfo=UTC)} if chance.random() < 0.1 else {}


def _created(chance: random.Random, today: date) -> dict:
    """Stored on a day, at an hour at which Lagos and UTC may be at different days."""
    instant = datetime.combine(today - timedelta(days=chance.randrange(40)), time(23, 30), UTC)
    return {"created_at": instant, "updated_at": instant + timedelta(seconds=chance.randrange(2))}


def _facility(chance: random.Random, n: int, today: date) -> Facility:
    state, lga = PLACES[n % len(PLACES)]
    point = {"lat": "6.5", "lon": "3.35"} if n % 2 else {}
    # Where anybody lives, a facility cannot be deleted.
    mark = {"deleted_at": datetime(2026, 1, 2, tzinfo=UTC)} if PATIENTS_OF_FACILITIES[n] == 0 else {}
    names = {"name": f"Facility {n}", "state": state, "lga": lga.upper(), "lga_name": lga, "type": TYPES[n]}
    return Facility(**names, **point, **mark, **_created(chance, today))


def _patient(chance: random.Random, at: Facility, n: int, today: date) -> Patient:
    birthday = min(today.day, 28)
    dob = chance.choice(
        [
            date(2000, 2, 29),
            date(2008, 2, 29),
            *(date(today.year - age, today.month, birthday) for age in (0, 1, 12, 13, 17, 18, 64, 65)),
            *(today - timedelta(days=days) for days in (0, 364, 365, 366, 4748, 6574, 23741)),
        ]
    )
    known = {"phone": f"+234803{n:07}" if chance.random() < 0.5 else None, "sex": chance.choice(Patient.Sex.values)}
    names = {"first_name": "Ngozi", "last_name": f"Okafor {n}"}
    return Patient(facility=at, dob=dob, **names, **known, **_created(chance, today))


def _record(chance: random.Random, who: Patient, day: date) -> MedicalRecord:
    data = {"diagnosis": chance.choice(DIAGNOSES), "treatment": "Rest", "medications": None, "notes": "n"}
    at = {"recorded_at": lagos(day, chance.choice((0, 23)), 30), "record_type": chance.choice(RECORD_TYPES)}
    return MedicalRecord(data=data, **at, **_event(who), **_deleted(chance), **_created(chance, day))


def _visit(chance: random.Random, who: Patient, day: date) -> TriageVisit:
    is_estimated = chance.random() < 0.2
    at = lagos(day) if is_estimated else lagos(day, chance.randrange(24), 59)
    return TriageVisit(
        triage_level=chance.randint(1, 5),
        conditions=chance.choices(CONDITIONS, k=chance.randrange(4)),
        recommendations=["Rest"] * chance.randrange(3),
        language=chance.choice(("en", None)),
        visited_at=lagos(day, 0) if is_estimated else at,
        time_is_estimated=is_estimated,
        **_event(who),
        **_deleted(chance),
        **_created(chance, day),
    )


@contextmanager
def past_all_triggers() -> Iterator[None]:
    """As somebody who owns the machine, and so can do what the database refuses."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")

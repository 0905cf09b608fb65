"""What the web app delivers in one night, written from an invented country: for the demo and for tests.

Most rows are good; under a tenth of each file is bad in the ways that real files are, and one file is refused whole.
Phones come from a range without subscribers. It writes files and knows no table.
"""

import csv
import gzip
import io
import random
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta

from django.conf import settings

from ingestion import sources
from ingestion.datasets import COLUMNS, Dataset
from medilink.country import CENSUS, ILLNESSES, NEWCOMER_DAYS, PEOPLES, Country, Event, Person, Place, chance, people_of

SEED = 1
BAD = 0.03  # of the events' rows
TYPO_DAYS = 3  # how long a clerk needs to correct the row of a new patient
UNTIL_NEW_NUMBER = 400  # days

RECORD_TYPES = ("Consultation", "Lab result", "Admission", "Prescription")
NOTES = ("", "Review in two weeks", 'Says: "no better"', "Advised, counselled\nand reassured", "Took agbo at home")
# From level 5 up to level 1.
ADVICE = ("Discharge;Take medicines", "Review in 3 days", "See a doctor today", "Admit to ward", "Resuscitate|Refer")

Row = dict[str, str]

# What any event's row may be refused for. Some of it names a parent that may still come.
AMBIGUOUS_PLACE = {"facility_name": "General Hospital", "facility_state": "", "facility_lga": ""}
BAD_EVENTS: tuple[Row, ...] = (
    AMBIGUOUS_PLACE,
    {"facility_name": "Mobile outreach team"},
    {"patient_last_name": "Not-Registered"},
    {"patient_first_name": ""},
    {"patient_dob": "03/04/1988"},
)
BAD_VISITS: tuple[Row, ...] = (
    *BAD_EVENTS,
    *({"triage_level": level} for level in ("9", "0", "urgent", "2.5", "")),
    *({"visited_at": instant} for instant in ("2091-05-01T08:00", "yesterday")),
)
BAD_RECORDS: tuple[Row, ...] = (
    *BAD_EVENTS,
    {"record_type": "C" * 101},
    *({"recorded_at": instant} for instant in ("2091-05-01", "05/11/2025")),
)
BAD_PATIENTS: tuple[Row, ...] = (
    AMBIGUOUS_PLACE,
    {"facility_name": "Mobile outreach team"},
    {"sex": "X"},
    {"last_name": ""},
    *({"dob": dob} for dob in ("13/02/1990", "01.02.1990", "32874", "1990-02-30", "2091-03-14", "1871-01-01", "")),
)
BAD_FACILITIES: tuple[Row, ...] = ({"state": "Lagoss"}, {"name": ""}, {"state": ""}, {"type": "C" * 101})


# --- How things are written


def _phone(person: Person, night: date, seed: int) -> str:
    """People change their number about once a year; clerks write it as they like, and a few write nonsense."""
    offset = chance(seed, "number", person.number).randrange(UNTIL_NEW_NUMBER)
    draw = chance(seed, "phone", person.number, (night.toordinal() + offset) // UNTIL_NEW_NUMBER)
    last = f"{draw.randrange(10_000):04}"
    usual = [f"{start}{last}" for start in ("+234702100", "0702 100 ", "0702100", "0702-100-", "234702100", "702100")]
    odd = ["", f"+234 (0)702 100 {last}", f"7.02100{last}E+09", f"0702100{last}/07021000000", "no phone"]
    return draw.choice(usual if draw.random() > 0.1 else odd)


def _name(name: str, draw: random.Random) -> str:
    """Mostly as it is, at times in another spelling of an equal name."""
    others = [name.upper(), name.upper(), f" {name}  ", unicodedata.normalize("NFD", name)]
    return name if draw.random() > 0.12 else draw.choice(others)


def _place_cells(place: Place, draw: random.Random) -> Row:
    state = place.state.title() if place.state != "FCT" else "Abuja"
    return {
        "facility_name": _name(place.name, draw),
        "facility_state": draw.choice([place.state, state, f"{state} State", state.replace(" ", "-")]),
        "facility_lga": place.lga if draw.random() > 0.1 else f"{place.lga} LGA",
    }


def _vital_signs(event: Event, level: int, age: int) -> str:
    draw, strain = event.draw, max(4 - level, 0)
    high = 25 if event.illness.diagnosis in ("Hypertension", "Pre-eclampsia") else 0
    pressure = f"{draw.randint(105, 135) + high - 4 * strain}/{draw.randint(65, 85) + high // 2 - 2 * strain}"
    pulse = draw.randint(68, 90) + 9 * strain + (30 if age < 5 else 0)
    breaths = draw.randint(14, 19) + 3 * strain + (10 if age < 5 else 0)
    warmth, oxygen = draw.uniform(36.3, 37.2) + event.illness.fever, draw.randint(97, 100) - 2 * strain
    return f"BP: {pressure}, HR: {pulse}, RR: {breaths}, Temp: {warmth:.1f}, SpO2: {oxygen}"


def _instant(day: date, draw: random.Random) -> str:
    hour = draw.choices(range(24), [1] * 7 + [5] * 10 + [3] * 4 + [1] * 3)[0]
    moment = datetime.combine(day, time(hour, draw.randrange(60), draw.randrange(60)))
    return f"{moment.isoformat(sep=draw.choice(' T'))}{draw.choice(['', '', '+01:00'])}"


# --- Rows


def _facility_rows(country: Country) -> Iterable[Row]:
    for index, place in enumerate(country.places):
        draw = chance(country.seed, "facility row", index)
        row = {name.removeprefix("facility_"): cell for name, cell in _place_cells(place, draw).items()}
        row |= {"type": place.type, "ownership": place.ownership, "level": place.level, "hfr_code": f"HFR{index:06}"}
        lat, lon = str(place.lat), str(place.lon)
        if draw.random() < 0.04:  # no point, or none in Nigeria
            lat, lon = draw.choice([("", ""), (lon, lat), ("0", "0"), (lat, ""), ("6,5244", "3,3792")])
        yield row | {"lat": lat, "lon": lon}
    unknown_lga = {"name": "Unity Clinic", "state": "Lagos", "lga": "Unity Estate", "type": "Clinic"}
    yield from (unknown_lga | bad for bad in ({}, *BAD_FACILITIES))


def _patient_rows(country: Country, night: date, days: int) -> Iterable[Row]:
    for person in country.residents + country.newcomers_before(night, days + NEWCOMER_DAYS):
        draw = chance(country.seed, "patient row", person.number)
        sexes = [person.sex, person.sex.lower(), {"M": "Male", "F": "FEMALE"}[person.sex], ""]
        row = _place_cells(person.place, draw) | {
            "first_name": _name(person.first_name, draw),
            "last_name": _name(person.last_name, draw),
            "sex": draw.choices(sexes, [20, 2, 4, 1])[0],
            "dob": person.dob.isoformat(),
            "phone": _phone(person, night, country.seed),
            "patient_number": person.number,
        }
        yield row | (draw.choice(BAD_PATIENTS) if _is_mistyped(person, night, draw) else {})


def _is_mistyped(person: Person, night: date, draw: random.Random) -> bool:
    """New patients' rows often are, and are corrected after some days; a few old ones have always been."""
    if person.registered_on == CENSUS:
        return draw.random() < 0.015
    return draw.random() < 0.3 and night - person.registered_on <= timedelta(days=TYPO_DAYS)


def _event_cells(event: Event) -> Row:
    person, draw = event.person, event.draw
    return _place_cells(person.place, draw) | {
        "patient_first_name": _name(person.first_name, draw),
        "patient_last_name": _name(person.last_name, draw),
        "patient_dob": person.dob.isoformat(),
    }


def _visit_rows(day: date, events: Sequence[Event]) -> Iterable[Row]:
    for number, event in enumerate(events):
        person, illness, draw = event
        level = int(draw.choice(illness.levels))
        conditions = dict.fromkeys(
            [illness.diagnosis, *(one.diagnosis for one in ILLNESSES[:8] if draw.random() < 0.03)]
        )
        row = _event_cells(event) | {
            "visit_id": f"V{day:%y%m%d}-{number}",
            "visited_at": _instant(day, draw),
            "triage_level": str(level),
            "chief_complaint": draw.choice(illness.complaints),
            "vital_signs": _vital_signs(event, level, person.age(day)),
            "conditions": "; ".join(conditions),
            "recommendations": ADVICE[5 - level],
            "language": people_of(person.place.state, draw).language,
            "provider": f"{draw.choice(['Nurse', 'Dr', 'CHEW'])} {draw.choice(draw.choice(PEOPLES).families)}",
        }
        yield row | (draw.choice(BAD_VISITS) if draw.random() < BAD else {})


def _record_rows(day: date, events: Sequence[Event]) -> Iterable[Row]:
    for number, event in enumerate(events):
        illness, draw = event.illness, event.draw
        row = _event_cells(event) | {
            "record_id": f"R{day:%y%m%d}-{number}",
            "recorded_at": _instant(day, draw),
            "record_type": draw.choices(RECORD_TYPES, [6, 2, 1, 2])[0],
            "diagnosis": illness.diagnosis,
            "treatment": illness.treatment,
            "medications": illness.medications if draw.random() < 0.8 else "",
            "notes": draw.choices(NOTES, [5, 2, 1, 1, 1])[0],
        }
        yield row | (draw.choice(BAD_RECORDS) if draw.random() < BAD else {})


# --- Files


def _csv(columns: Sequence[str], rows: Iterable[Row], spoil: Callable[[list[str]], None] | None = None) -> bytes:
    """The rows as the web app writes them; `spoil` does to one line of a long file what no row of cells can show."""
    lines = [[row.get(column, "") for column in columns] for row in rows]
    if spoil and len(lines) > 20:
        spoil(lines[len(lines) // 2])
    out = io.StringIO(newline="")
    csv.writer(out).writerows([columns, *lines])
    return out.getvalue().encode()


def _cut(line: list[str]) -> None:
    del line[-2:]


def _swallow(line: list[str]) -> None:
    """A quote that was closed too late: a whole line has got into the last cell."""
    line[-1] = "\n".join(["Nurse", ",".join(["Unity Clinic", *["-"] * (len(line) - 1)]), "Dr"])


def generate(
    *, seed: int, night: date, facilities: int = 300, patients: int = 4000, days: int = 365
) -> dict[str, bytes]:
    """File names below the input prefix with their bytes: what happened in the `days` days before the night.

    The national files repeat their whole window every night, as the web app does; all their events have ids. Kano and
    Lagos send the last day alone, without ids. What Rivers sends cannot be read, and one file is of no dataset.
    """
    country = Country(seed, facilities, patients)
    window = [night - timedelta(days=back) for back in range(days, 0, -1)]
    visits = (row for day in window for row in _visit_rows(day, country.events(day, "visits", 1 / 250)))
    records = (row for day in window for row in _record_rows(day, country.events(day, "records", 1 / 330)))
    yesterday = window[-1]
    kano = _visit_rows(yesterday, country.events(yesterday, "kano", 1 / 15, "KANO"))
    lagos = list(_record_rows(yesterday, country.events(yesterday, "lagos", 1 / 20, "LAGOS")))
    timed = [column for column in COLUMNS[Dataset.MEDICAL_RECORDS].all if column != "record_id"]
    return {
        f"facilities-{night}.csv": _csv(COLUMNS[Dataset.FACILITIES].all, _facility_rows(country), _cut),
        f"patients-{night}.csv": _csv(COLUMNS[Dataset.PATIENTS].all, _patient_rows(country, night, days), _cut),
        f"medical_records-{night}.csv.gz": gzip.compress(
            _csv(COLUMNS[Dataset.MEDICAL_RECORDS].all, records, _cut), mtime=0
        ),
        f"triage_visits-{night}.csv": _csv(COLUMNS[Dataset.TRIAGE_VISITS].all, visits, _swallow),
        f"kano/triage_visits-{night}.csv": _csv(COLUMNS[Dataset.TRIAGE_VISITS].required, kano),
        f"lagos/medical_records-{night}.csv": _csv(timed, lagos),
        f"rivers/medical_records-{night}.csv": _csv(timed, lagos).replace(b"\n", b"\nCaf\xe9 ", 1),  # ISO 8859-1
        f"vaccinations-{night}.csv": b"child,vaccine,given_on\r\nA,BCG,2026-01-01\r\n",
    }


def upload(night: date, seed: int = SEED) -> None:
    """Puts one night's delivery into the input, as the web app would."""
    for name, body in generate(seed=seed, night=night).items():
        sources.upload(f"{settings.S3_INPUT_PREFIX}{name}", body)

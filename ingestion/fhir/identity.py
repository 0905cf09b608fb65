"""Whether what a bundle says of somebody may be said of a stored patient: a wrong person is worse than a refusal."""

import re
from collections.abc import Iterator, Mapping

from django.utils import timezone

from clinical import values
from clinical.models import Patient, PatientAlias
from clinical.values import Invalid
from ingestion.objects import lagos_day

CONFLICT = "IDENTITY_CONFLICT"
IDENTITY = ("first_name", "last_name", "dob")
WORD = re.compile(r"[^\W\d_]+")


def conflicts(cells: Mapping[str, str], whom: Patient) -> Iterator[str]:
    """The reasons why the cells of patients are another's than this one's. An empty cell says nothing, as in a file."""
    said = {column: name for column in ("first_name", "last_name") if (name := key(cells[column]))}
    if cells["dob"]:
        try:
            said["dob"] = values.dob(cells["dob"], lagos_day(timezone.now()))[0].isoformat()
        except Invalid as invalid:
            yield f"{invalid.code}:dob"
    own, *aliases = _identities(whom)
    if not any(said.items() <= one.items() for one in (own, *aliases)):
        yield from (f"{CONFLICT}:{column}" for column, value in said.items() if own[column] != value)
    unknown = ("", Patient.Sex.UNKNOWN)
    if cells["sex"] not in (*unknown, whom.sex, whom.delivered.get("sex")) and whom.sex not in unknown:
        yield f"{CONFLICT}:sex"


def unsaid(cells: Mapping[str, str], whom: Patient) -> Iterator[str]:
    """What the cells say beside, which would change the stored patient."""
    if cells["sex"] not in ("", Patient.Sex.UNKNOWN, whom.sex):
        yield "sex"
    if cells["phone"] and values.phone(cells["phone"]) != whom.phone:
        yield "phone"
    if cells["patient_number"] and not whom.patient_number:
        yield "patient_number"


def is_numbered_otherwise(cells: Mapping[str, str], whom: Patient) -> bool:
    number = values.text(cells["patient_number"], is_name=False)[0]
    return bool(number) and whom.patient_number not in (None, number)


def is_named(display: str, *names: str) -> bool:
    """That a text to be shown holds each word of the names, in whatever order, with whatever title."""
    return _words(" ".join(names)) <= _words(display)


def is_displayed(display: str, whom: Patient) -> bool:
    return any(is_named(display, one["first_name"], one["last_name"]) for one in _identities(whom))


def key(name: str) -> str:
    """Equal where the tables hold two names to be equal."""
    return values.text(name, is_name=True)[0].lower()


def _words(text: str) -> set[str]:
    return {*WORD.findall(key(text))}


def _identities(whom: Patient) -> list[dict[str, str]]:
    """Its own, then those by which files still find it there."""
    aliases = PatientAlias.objects.filter(patient=whom, facility=whom.facility_id)
    known: list[Patient | PatientAlias] = [whom, *aliases]
    return [
        {"first_name": key(one.first_name), "last_name": key(one.last_name), "dob": one.dob.isoformat()}
        for one in known
    ]

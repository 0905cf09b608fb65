"""Condition: what was found at an encounter, in its source's words, with the codes that our map has for them.

Whether it is still there nobody has said: so there is no clinical status.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db.models import Func, Q
from django.db.models.fields.json import KT

from clinical import terms
from clinical.fhir import asked
from clinical.fhir.codes import HL7, Resource, Row, coding, concept, identifier, instant, reference, resource
from clinical.fhir.encounters import CONTEXT, RECORD, VISIT, refers
from clinical.fhir.meanings import CODE_OF_WORDS, is_coded, may_name, worded
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import MedicalRecord, TriageVisit
from clinical.terms import Meaning, Status

CATEGORIES = HL7 + "condition-category"
VERIFICATIONS = HL7 + "condition-ver-status"
# What the words themselves say. A diagnosis without such a word has no status: nobody has said that it was verified.
STATUSES = {
    Status.PROVISIONAL: concept(coding(VERIFICATIONS, "provisional", "Provisional")),
    Status.REFUTED: concept(coding(VERIFICATIONS, "refuted", "Refuted")),
}
CATEGORY = concept(coding(CATEGORIES, "encounter-diagnosis", "Encounter Diagnosis"))
DIAGNOSIS: Any = KT("data__diagnosis")


def _condition(row: Row, of: str, encounter: str, text: str, known: Mapping[str, Meaning]) -> Resource:
    at = row.get("recorded_at") or row["visited_at"]
    meaning = known[text]
    status = STATUSES.get(meaning.status) if meaning.status else None
    return resource(
        "Condition",
        of,
        row["last_updated"],
        identifier=[identifier("condition", of)],
        verificationStatus=status,
        category=[CATEGORY],
        code=worded(text, meaning),
        subject=reference("Patient", row["patient_id"]),
        encounter=reference("Encounter", encounter),
        recordedDate=instant(at),
    )


def of_record(row: Row, known: Any) -> list[Resource]:
    of = f"{RECORD}{row['id']}"
    return [_condition(row, of, of, row["data"]["diagnosis"], known)]


def of_visit(row: Row, known: Any) -> list[Resource]:
    encounter = f"{VISIT}{row['id']}"
    return [
        _condition(row, f"{encounter}-{number}", encounter, text, known)
        for number, text in enumerate(row["conditions"], 1)
    ]


def _of_records(rows: Sequence[Row]) -> Any:
    return terms.meanings(terms.Kind.DIAGNOSIS, {row["data"]["diagnosis"] for row in rows})


def _of_visits(rows: Sequence[Row]) -> Any:
    return terms.meanings(terms.Kind.DIAGNOSIS, {text for row in rows for text in row["conditions"]})


def _is_written(asked_for: Sequence[asked.Text]) -> Callable[[Resource], bool]:
    return lambda found: any(one.is_met_by(found["code"]["text"]) for one in asked_for)


def _in_list(asked_for: Sequence[asked.Text]) -> Q:
    """That one of the list may be meant; which it is, is told apart once the row is read."""
    joined: Any = Func("conditions", template="array_to_string(%(expressions)s, chr(10))")
    return asked.contains(joined, asked_for)


SEARCHES = CONTEXT | {"category": asked.coded((CATEGORIES, "encounter-diagnosis"))}
RECORDS = Part(
    model=MedicalRecord,
    when="recorded_at",
    resource="records",
    columns=("id", "patient_id", "data", "recorded_at"),
    make=of_record,
    prefix=RECORD,
    has=Q(data__diagnosis__gt=""),
    know=_of_records,
    searches=SEARCHES
    | {
        "encounter": asked.rows("pk", "Encounter", RECORD),
        "recorded-date": asked.moments("recorded_at"),
        "code": may_name(terms.Kind.DIAGNOSIS, "data__diagnosis__in"),
        "code:text": asked.same(DIAGNOSIS),
    },
    matches={"code": is_coded("code")},
)
VISITS = Part(
    model=TriageVisit,
    when="visited_at",
    resource="visits",
    columns=("id", "patient_id", "conditions", "visited_at"),
    make=of_visit,
    prefix=VISIT,
    suffix="-[1-9][0-9]{0,3}",
    has=Q(conditions__len__gt=0),
    know=_of_visits,
    has_many=True,
    size="conditions__len",
    searches=SEARCHES
    | {
        "encounter": asked.rows("pk", "Encounter", VISIT),
        "recorded-date": asked.moments("visited_at"),
        "code": may_name(terms.Kind.DIAGNOSIS, "conditions__overlap"),
        "code:text": _in_list,
    },
    matches={"code": is_coded("code"), "code:text": _is_written},
)
KIND = Kind(
    name="Condition",
    parts=(RECORDS, VISITS),
    parameters=(
        Parameter("patient", "reference", "Whose it is.", ("Patient",)),
        Parameter("subject", "reference", "Whose it is.", ("Patient",)),
        Parameter("encounter", "reference", "Where it was found.", ("Encounter",)),
        Parameter("category", "token", "Always encounter-diagnosis."),
        Parameter("code", "token", CODE_OF_WORDS),
        Parameter("recorded-date", "date", "When the encounter began."),
    ),
    includes=refers("encounter"),
)

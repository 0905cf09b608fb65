"""AuditEvent: the lines of our audit, for who may read all of them: no line knows where its rows are."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from clinical.fhir import asked
from clinical.fhir.codes import HL7, OURS, Resource, Row, coding, concept, identifier, instant, reference, resource
from clinical.fhir.registry import Kind, Parameter, Part
from clinical.models import AuditEvent

TYPE = coding(HL7 + "audit-event-type", "rest", "RESTful Operation")
ACTIONS = {"create": "C", "read": "R", "list": "R", "search": "R", "export": "R", "update": "U", "delete": "D"}
CODES = "http://hl7.org/fhir/audit-event-action"
OUTCOMES = {"ok": "0", "denied": "4", "failed": "8"}
OUTCOME = "http://terminology.hl7.org/CodeSystem/audit-event-outcome"
REASONS = HL7 + "v3-ActReason"
PURPOSES = {
    "treatment": concept(coding(REASONS, "TREAT", "treatment")),
    "operations": concept(coding(REASONS, "HOPERAT", "healthcare operations")),
    "research": concept(coding(REASONS, "HRESCH", "healthcare research")),
    "public_health": concept(coding(REASONS, "PUBHLTH", "public health")),
    "audit": concept(text="audit"),
}
RESOURCES = {"patients": "Patient/{}", "facilities": "Organization/{}"} | {
    "medical_records": "Encounter/record-{}",
    "triage_visits": "Encounter/visit-{}",
}
MOST_PATIENTS = 1_000  # told of one line


def event(row: Row, _known: object) -> list[Resource]:
    purpose = PURPOSES.get(row["purpose"])
    who = {"identifier": identifier("user", row["actor_id"]), "display": row["actor__username"]}
    agent: Resource = {"who": who if row["actor_id"] else {"display": "nobody who has logged in"}, "requestor": True}
    if row["roles"]:
        agent["role"] = [concept(coding(f"{OURS}role", role)) for role in row["roles"]]
    if row["address"]:
        agent["network"] = {"address": row["address"], "type": "2"}
    return [
        resource(
            "AuditEvent",
            str(row["id"]),
            row["last_updated"],
            type=TYPE,
            subtype=[coding(f"{OURS}action", row["action"])],
            action=ACTIONS.get(row["action"], "E"),
            recorded=instant(row["at"]),
            outcome=OUTCOMES[row["outcome"]],
            purposeOfEvent=[purpose] if purpose else [],
            agent=[agent],
            source={"observer": {"display": "Medilink"}},
            entity=_entities(row),
        )
    ]


def _entities(row: Row) -> list[Resource]:
    found: list[Resource] = []
    if row["object_id"] is not None:
        known = RESOURCES.get(row["table"])
        what = {"reference": known.format(row["object_id"])} if known else {}
        numbered = {"identifier": identifier(row["table"], row["object_id"])}
        found.append({"what": what | numbered, "name": row["table"]})
    else:
        found.append({"name": row["table"]})
    patients = [pk for pk in row["patient_ids"] or () if not (row["table"] == "patients" and pk == row["object_id"])]
    return found + [{"what": reference("Patient", pk)} for pk in patients[:MOST_PATIENTS]]


def _actions(asked_for: Sequence[Any]) -> Q:
    wanted = {one.code for one in asked_for if one.system in (None, CODES)}
    known = [action for action, code in ACTIONS.items() if code in wanted]
    return Q(action__in=known) | (~Q(action__in=[*ACTIONS]) if "E" in wanted else Q(pk__in=[]))


def _patients(asked_for: Sequence[Any]) -> Q:
    ids = [int(one.of) for one in asked_for if one.kind in ("", "Patient") and one.of.isdecimal()]
    return Q(patient_ids__overlap=ids)


KIND = Kind(
    name="AuditEvent",
    parts=(
        Part(
            model=AuditEvent,
            resource="audit",
            columns=(
                *("id", "at", "actor_id", "actor__username", "roles", "action", "outcome", "purpose", "table"),
                *("object_id", "patient_ids", "address"),
            ),
            make=event,
            changed=("at",),
            is_national=True,
            searches={
                "date": asked.moments("at"),
                "action": _actions,
                "outcome": asked.words("outcome", {code: outcome for outcome, code in OUTCOMES.items()}, OUTCOME),
                "patient": _patients,
                "subtype": asked.written("action", f"{OURS}action"),
                "agent-name": asked.same("actor__username"),
            },
        ),
    ),
    parameters=(
        Parameter("date", "date", "When it was."),
        Parameter("action", "token", "C, R, U, D, or E for what is none of them."),
        Parameter("outcome", "token", "0 done, 4 refused, 8 failed."),
        Parameter("patient", "reference", "Of whom something was told, or changed.", ("Patient",)),
        Parameter("subtype", "token", "Our own word for what was done."),
        Parameter("agent-name", "string", "The beginning of the user's name."),
    ),
)

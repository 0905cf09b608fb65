"""Transaction bundles as a sender would write them; and rows of CSV files as bundles."""

from typing import Any
from uuid import UUID

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
OWN, LEVELS = "urn:medilink:observation", "urn:medilink:triage-level"
SEXES = {"M": "male", "F": "female", "Other": "other", "Unknown": "unknown"}
Resource = dict[str, Any]


def urn(number: int) -> str:
    return f"urn:uuid:{UUID(int=number)}"


def entry(number: int, resource: Resource, **request: str) -> Resource:
    """`number` makes its fullUrl."""
    asked = {"method": "POST", "url": resource["resourceType"]} | request
    return {"fullUrl": urn(number), "resource": resource, "request": asked}


def bundle(*entries: Resource) -> Resource:
    return {"resourceType": "Bundle", "type": "transaction", "entry": [*entries]}


def at(facility: Any) -> Resource:
    return {"reference": f"Organization/{facility.pk}"}


def patient(facility: Any, **changed: Any) -> Resource:
    known = {
        "resourceType": "Patient",
        "name": [{"family": "Bello", "given": ["Amina"]}],
        "gender": "female",
        "birthDate": "1990-01-01",
        "telecom": [{"system": "phone", "value": "07021000001"}],
        "managingOrganization": at(facility),
    }
    return _filled(known | changed)


def encounter(facility: Any, subject: str, kind: str = "EMER", **changed: Any) -> Resource:
    known = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"system": ACT, "code": kind},
        "subject": {"reference": subject},
        "period": {"start": "2026-11-19T08:30:00+01:00"},
        "serviceProvider": at(facility),
    }
    return _filled(known | changed)


def condition(subject: str, of: str, text: str, **changed: Any) -> Resource:
    known = {"resourceType": "Condition", "code": {"text": text}}
    return known | {"subject": {"reference": subject}, "encounter": {"reference": of}} | changed


def medication(subject: str, of: str, text: str) -> Resource:
    known = {"resourceType": "MedicationStatement", "status": "unknown", "medicationCodeableConcept": {"text": text}}
    return known | {"subject": {"reference": subject}, "context": {"reference": of}}


def observation(subject: str, of: str, system: str, code: str, **value: Any) -> Resource:
    known = {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": system, "code": code}]}}
    return known | {"subject": {"reference": subject}, "encounter": {"reference": of}} | value


def level(subject: str, of: str, number: Any) -> Resource:
    coded = {"coding": [{"system": LEVELS, "code": str(number)}]}
    return observation(subject, of, OWN, "triage-level", valueCodeableConcept=coded)


def measured(subject: str, of: str, code: str, value: float, unit: str) -> Resource:
    quantity = {"value": value, "unit": unit, "system": UCUM, "code": unit}
    return observation(subject, of, LOINC, code, valueQuantity=quantity)


def pressure(subject: str, of: str, upper: float, lower: float) -> Resource:
    parts = [
        {
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "valueQuantity": {"value": value, "system": UCUM, "code": "mm[Hg]"},
        }
        for code, value in (("8480-6", upper), ("8462-4", lower))
    ]
    return observation(subject, of, LOINC, "85354-9", component=parts)


def visit_of(facility: Any, **changed: Any) -> Resource:
    """A patient with one triage visit: entries 0 patient, 1 encounter, 2 level, 3 condition, 4 blood pressure."""
    who, of = urn(1), urn(2)
    return bundle(
        entry(1, patient(facility)),
        entry(2, encounter(facility, who, **changed)),
        entry(3, level(who, of, 2)),
        entry(4, condition(who, of, "Malaria")),
        entry(5, pressure(who, of, 140, 90)),
    )


# --- Rows of files


def of_rows(facility: Any, patients: list[Resource], records: list[Resource], visits: list[Resource]) -> Resource:
    """The rows of CSV files of one facility, as its bundle. Events name their patient by names and date of birth."""
    entries, people = [], {}
    for row in patients:
        people[row["first_name"], row["last_name"], row["dob"]] = urn(len(entries) + 1)
        name = {"family": row["last_name"], "given": row["first_name"].split()}
        entries.append(
            entry(
                len(entries) + 1,
                patient(
                    facility,
                    name=[name],
                    gender=SEXES.get(row["sex"]),
                    birthDate=row["dob"],
                    telecom=[{"system": "phone", "value": row["phone"]}] if row["phone"] else None,
                    identifier=_number(row["patient_number"]),
                ),
            )
        )
    for row in [*records, *visits]:
        who = people[row["patient_first_name"], row["patient_last_name"], row["patient_dob"]]
        _add_event(entries, facility, who, row)
    return bundle(*entries)


def _add_event(entries: list[Resource], facility: Any, who: str, row: Resource) -> None:
    number = len(entries) + 1
    of, is_visit = urn(number), "triage_level" in row
    extension = [{"url": "urn:medilink:extension:language", "valueString": row.get("language")}]
    provider = [{"individual": {"display": row.get("provider")}}]
    event = encounter(
        facility,
        who,
        "EMER" if is_visit else "AMB",
        period={"start": row["visited_at" if is_visit else "recorded_at"]},
        identifier=_number(row["visit_id" if is_visit else "record_id"]),
        type=[{"text": row["record_type"]}] if row.get("record_type") else None,
        reasonCode=[{"text": row["chief_complaint"]}] if row.get("chief_complaint") else None,
        extension=extension if row.get("language") else None,
        participant=provider if row.get("provider") else None,
    )
    parts = [condition(who, of, text) for text in filter(None, row.get("conditions", "").split("; "))]
    if is_visit:
        parts.append(level(who, of, row["triage_level"]))
        if row["vital_signs"]:
            parts.append(observation(who, of, LOINC, "85353-1", valueString=row["vital_signs"]))
        if row["recommendations"]:
            parts.append(observation(who, of, OWN, "recommendations", valueString=row["recommendations"]))
    else:
        parts += [condition(who, of, row["diagnosis"])] if row["diagnosis"] else []
        parts += [medication(who, of, row["medications"])] if row["medications"] else []
        parts += [
            observation(who, of, OWN, name, valueString=row[name]) for name in ("treatment", "notes") if row[name]
        ]
    entries.append(entry(number, event))
    entries.extend(entry(number + n, part) for n, part in enumerate(parts, 1))


def _number(value: str) -> list[Resource] | None:
    return [{"value": value}] if value else None


def _filled(resource: Resource) -> Resource:
    return {name: value for name, value in resource.items() if value is not None}

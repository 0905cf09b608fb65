"""Observations of a triage visit: its level, and vital signs as the words that clinical/vitals reads back exactly. Pure.

A value that the parser would read otherwise than it was sent is refused, not rounded or converted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from clinical.fhir.codes import LOINC, OURS, UCUM
from ingestion.datasets import Dataset
from ingestion.fhir.elements import Element

OWN, LEVELS = f"{OURS}observation", f"{OURS}triage-level"
LEVEL = "triage-level"
PANEL, PRESSURE, COMPLAINT = "85353-1", "85354-9", "8661-1"
# By code the column of what is said in words.
TEXTS: dict[Dataset, dict[str, str]] = {
    Dataset.MEDICAL_RECORDS: {"treatment": "treatment", "notes": "notes"},
    Dataset.TRIAGE_VISITS: {COMPLAINT: "chief_complaint", "recommendations": "recommendations"},
}
OF_OWN = (LEVEL, "treatment", "notes", "recommendations")
PARTS = ("8480-6", "8462-4")
PULSE_OXIMETRY = "59408-5"  # says again how 2708-6 was measured


@dataclass(frozen=True)
class Form:
    """How a value is written: `label`, the number, and `unit`; `ucum` is the unit that it must come in."""

    label: str
    ucum: str
    unit: str
    name: str


# In the order in which they are written.
FORMS = {
    PRESSURE: Form("BP", "mm[Hg]", " mmHg", "blood-pressure"),
    "8867-4": Form("Pulse", "/min", "/min", "pulse"),
    "9279-1": Form("RR", "/min", "/min", "respiration"),
    "8310-5": Form("Temp", "Cel", " C", "temperature"),
    "2708-6": Form("SpO2", "%", "%", "saturation"),
    "29463-7": Form("Weight", "kg", " kg", "weight"),
    "8302-2": Form("Height", "cm", " cm", "height"),
    "9269-2": Form("GCS", "{score}", "", "coma"),
    "2339-0": Form("Glucose", "mg/dL", " mg/dL", "glucose-mass"),
    "15074-8": Form("Glucose", "mmol/L", " mmol/L", "glucose-moles"),
    "72514-3": Form("Pain", "{score}", "/10", "pain"),
}


@dataclass(frozen=True)
class Sign:
    """One Observation: by which code it is known here, and the words for it."""

    code: str
    words: str
    values: tuple[tuple[str, Decimal], ...] = ()


def level(observation: Element) -> str:
    """The number of the triage level, as a cell."""
    value, concept = observation.number("valueInteger"), observation.one("valueCodeableConcept")
    if value is not None:
        return str(value)
    chosen = concept.only("coding") if concept else None
    if concept is None or chosen is None:
        observation.refuse("REQUIRED_MISSING", "value")
        return ""
    concept.leave("text")
    chosen.leave("display")
    if chosen.text("system") != LEVELS:
        chosen.refuse("NOT_CARRIED", "system", f"Levels are codes of {LEVELS}.")
    return chosen.text("code")


def sign(observation: Element, code: str) -> Sign | None:
    """None where it cannot be carried; then that is said."""
    if code == PANEL:
        return Sign(PANEL, observation.text("valueString"))
    form = FORMS.get(code)
    if form is None:
        observation.refuse("NOT_CARRIED", "code", f"Send it in the words of {LOINC}|{PANEL} (valueString).")
        observation.leave()
        return None
    if code == PRESSURE:
        return _pressure(observation, form)
    value = _quantity(observation, form.ucum)
    return Sign(code, f"{form.label} {value}{form.unit}", ((code, value),)) if value is not None else None


def _pressure(observation: Element, form: Form) -> Sign | None:
    found: dict[str, Decimal] = {}
    for component in observation.many("component"):
        code, value = code_of(component), _quantity(component, form.ucum)
        if code not in PARTS or code in found:
            component.refuse("NOT_CARRIED", "code")
        elif value is not None:
            found[code] = value
    if {*found} != {*PARTS}:
        observation.refuse("REQUIRED_MISSING", "component", "A blood pressure has its two values.")
        return None
    upper, lower = (found[code] for code in PARTS)
    return Sign(PRESSURE, f"{form.label} {upper}/{lower}{form.unit}", ((PARTS[0], upper), (PARTS[1], lower)))


def code_of(element: Element) -> str:
    """The one code by which we know an Observation: of LOINC, or (its system before it) our own."""
    concept = element.one("code")
    if concept is None:
        element.refuse("REQUIRED_MISSING", "code")
        return ""
    concept.leave("text")
    found = []
    for one in concept.many("coding"):
        system, code = one.text("system"), one.text("code")
        one.leave("display", "version", "userSelected")
        if system == LOINC and code == PULSE_OXIMETRY:
            continue
        if system == LOINC or (system == OWN and code in OF_OWN):
            found.append(code)
        else:
            one.refuse("NOT_CARRIED", says="Only LOINC's codes and our own are known.")
    if len({*found}) > 1:
        concept.refuse("NOT_CARRIED", says="Several codes: which of them is meant?")
    return found[0] if found else ""


def _quantity(element: Element, unit: str) -> Decimal | None:
    quantity = element.one("valueQuantity")
    if quantity is None:
        element.refuse("REQUIRED_MISSING", "valueQuantity")
        return None
    value, code, system = quantity.number("value"), quantity.text("code"), quantity.text("system")
    quantity.leave("unit")
    if (system, code) != (UCUM, unit):
        quantity.refuse("NOT_CARRIED", "code", f"Must be {unit} of UCUM: nothing is converted.")
        return None
    if value is None:
        quantity.refuse("REQUIRED_MISSING", "value")
    return value


def words(signs: Sequence[Sign]) -> str:
    """All of them in one text, in the order of FORMS, whatever order they came in."""
    order = [*FORMS]
    if len(signs) == 1 and signs[0].code == PANEL:
        return signs[0].words
    return ", ".join(one.words for one in sorted(signs, key=lambda one: order.index(one.code)))

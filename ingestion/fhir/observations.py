"""Observations of a visit: its level, and vital signs in words that clinical/vitals reads back exactly. Pure.

A value that the parser would read otherwise than it was sent is refused, not rounded or converted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from clinical import vitals
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
    """How a value is written: label, number, and what stands for its UCUM unit. `name` is of the resource's id."""

    label: str
    name: str
    units: dict[str, str]


# In the order in which they are written.
FORMS = {
    PRESSURE: Form("BP", "blood-pressure", {"mm[Hg]": " mmHg"}),
    "8867-4": Form("Pulse", "pulse", {"/min": "/min"}),
    "9279-1": Form("RR", "respiration", {"/min": "/min"}),
    "8310-5": Form("Temp", "temperature", {"Cel": " C", "[degF]": " F"}),
    "2708-6": Form("SpO2", "saturation", {"%": "%"}),
    "29463-7": Form("Weight", "weight", {"kg": " kg", "[lb_av]": " lb"}),
    "8302-2": Form("Height", "height", {"cm": " cm"}),
    "9269-2": Form("GCS", "coma", {"{score}": ""}),
    "2339-0": Form("Glucose", "glucose-mass", {"mg/dL": " mg/dL"}),
    "15074-8": Form("Glucose", "glucose-moles", {"mmol/L": " mmol/L"}),
    "72514-3": Form("Pain", "pain", {"{score}": "/10"}),
}


Value = tuple[str, Decimal, str]  # LOINC's code, the number, and UCUM's unit


@dataclass(frozen=True)
class Sign:
    """One Observation: by which code it is known here, and the words for it."""

    code: str
    words: str
    values: tuple[Value, ...] = ()


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
    found = _quantity(observation, form)
    return Sign(code, f"{form.label} {found[0]}{form.units[found[1]]}", ((code, *found),)) if found else None


def _pressure(observation: Element, form: Form) -> Sign | None:
    found: dict[str, tuple[Decimal, str]] = {}
    for component in observation.many("component"):
        code, value = code_of(component), _quantity(component, form)
        if code not in PARTS or code in found:
            component.refuse("NOT_CARRIED", "code")
        elif value:
            found[code] = value
    if {*found} != {*PARTS}:
        observation.refuse("REQUIRED_MISSING", "component", "A blood pressure has its two values.")
        return None
    (upper, unit), (lower, _) = (found[code] for code in PARTS)
    words = f"{form.label} {upper}/{lower}{form.units[unit]}"
    return Sign(PRESSURE, words, tuple((code, *found[code]) for code in PARTS))


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


def _quantity(element: Element, form: Form) -> tuple[Decimal, str] | None:
    quantity = element.one("valueQuantity")
    if quantity is None:
        element.refuse("REQUIRED_MISSING", "valueQuantity")
        return None
    value, unit, system = quantity.number("value"), quantity.text("code"), quantity.text("system")
    quantity.leave("unit")
    if system != UCUM or unit not in form.units:
        quantity.refuse("NOT_CARRIED", "code", f"Must be {' or '.join(form.units)} of UCUM: nothing is converted.")
        return None
    if value is None:
        quantity.refuse("REQUIRED_MISSING", "value")
        return None
    return Decimal(f"{value.normalize():f}"), unit  # 140.0 is written as 140


def words(signs: Sequence[Sign]) -> str:
    """All of them in one text, in the order of FORMS, whatever order they came in."""
    if len(signs) == 1 and signs[0].code == PANEL:
        return signs[0].words
    order = [*FORMS]
    return ", ".join(one.words for one in sorted(signs, key=lambda one: order.index(one.code)))


def are_read_back(signs: Sequence[Sign]) -> bool:
    """That the parser makes of the words the very values that were sent; of words as such nothing is claimed."""
    sent = Counter(value for one in signs for value in one.values)
    read = vitals.parse(words(signs))
    told = Counter((one.code, one.value, one.unit) for one in read.signs)
    return not sent or (told == sent and not read.leftover)

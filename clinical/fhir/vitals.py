"""Observations of vital signs: each value as it was read from a visit's words, with those words beside it.

Both blood pressures that were written together are one Observation with two components, as FHIR's profile wants it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from django.db.models import Exists, OuterRef, Q

from clinical.fhir import asked
from clinical.fhir.codes import HL7, LOINC, OURS, UCUM, Resource, Row, coding, concept
from clinical.fhir.encounters import VISIT, refers
from clinical.fhir.observations import EVENT, PARTS, observation, searches
from clinical.fhir.registry import Kind, Matches, Parameter, Part
from clinical.models import TriageVisit, VitalSign
from clinical.vitals.signs import DIASTOLIC, OXYGEN_FLOW, OXYGEN_SHARE, SYSTOLIC, Flag, Sign

VITAL_SIGNS = ("vital-signs", "Vital Signs")
PROFILES = "http://hl7.org/fhir/StructureDefinition/"
FLAGS, OURS_SIGN = f"{OURS}vital-flag", f"{OURS}vital-sign"


class Known(NamedTuple):
    """How a code is told: in a resource's id, to people, and by which of FHIR's own profiles, with its units."""

    short: str
    display: str
    profile: str = ""
    units: tuple[str, ...] = ()


PANEL = ("85354-9", Known("blood-pressure", "Blood pressure panel with all children optional", "bp"))
KNOWN = {
    SYSTOLIC: Known("systolic", "Systolic blood pressure"),
    DIASTOLIC: Known("diastolic", "Diastolic blood pressure"),
    "8867-4": Known("pulse", "Heart rate", "heartrate", ("/min",)),
    "9279-1": Known("respiration", "Respiratory rate", "resprate", ("/min",)),
    "8310-5": Known("temperature", "Body temperature", "bodytemp", ("Cel", "[degF]")),
    "2708-6": Known("saturation", "Oxygen saturation in Arterial blood", "oxygensat", ("%",)),
    "29463-7": Known("weight", "Body weight", "bodyweight", ("g", "kg", "[lb_av]")),
    "8302-2": Known("height", "Body height", "bodyheight", ("cm", "[in_i]")),
    "9269-2": Known("coma", "Glasgow coma score total"),
    "9267-6": Known("coma-eyes", "Glasgow coma score eye opening"),
    "9270-0": Known("coma-verbal", "Glasgow coma score verbal"),
    "9268-4": Known("coma-motor", "Glasgow coma score motor"),
    "67775-7": Known("response", "Level of responsiveness"),
    "2339-0": Known("glucose-mass", "Glucose [Mass/volume] in Blood"),
    "15074-8": Known("glucose-moles", "Glucose [Moles/volume] in Blood"),
    "72514-3": Known("pain", "Pain severity - 0-10 verbal numeric rating [Score] - Reported"),
    OXYGEN_FLOW: Known("oxygen-flow", "Inhaled oxygen flow rate"),
    OXYGEN_SHARE: Known("oxygen-share", "Inhaled oxygen concentration"),
}
MMHG = "mm[Hg]"
ABSENT_REASONS = f"{HL7}data-absent-reason"


def observations(row: Row, signs: Sequence[Sign]) -> list[Resource]:
    """In the order of the text. A sign that is written twice has a number behind its name from the second on."""
    told: list[Resource] = []
    times: dict[str, int] = {}
    for group in _together(signs):
        code, known = PANEL if group[0].code in (SYSTOLIC, DIASTOLIC) else (group[0].code, _known(group[0].code))
        times[known.short] = times.get(known.short, 0) + 1
        name = known.short if times[known.short] == 1 else f"{known.short}-{times[known.short]}"
        made = _pressure(row, name, code, known, group) if code == PANEL[0] else _single(row, name, known, group[0])
        told.append(made)
    return told


def _together(signs: Iterable[Sign]) -> Iterator[list[Sign]]:
    """A systolic pressure and the diastolic one that follows it; else each by itself."""
    waiting: list[Sign] = []
    for sign in signs:
        if waiting and sign.code == DIASTOLIC:
            yield [*waiting, sign]
            waiting = []
            continue
        if waiting:
            yield waiting
        waiting = [sign] if sign.code == SYSTOLIC else []
        if not waiting:
            yield [sign]
    if waiting:
        yield waiting


def _known(code: str) -> Known:
    return KNOWN.get(code) or Known(code.rpartition(":")[2], code.rpartition(":")[2])


def _code(code: str, known: Known) -> Resource:
    """A code without a public list bears the name of our own before it."""
    system = OURS_SIGN if ":" in code else LOINC
    return concept(coding(system, code.rpartition(":")[2], known.display), text=known.display)


def _value(sign: Sign) -> Resource:
    if sign.value is None:
        return {"valueCodeableConcept": concept(text=sign.coded)}
    number = int(sign.value) if sign.value == sign.value.to_integral_value() else float(sign.value)
    return {"valueQuantity": {"value": number, "unit": sign.unit, "system": UCUM, "code": sign.unit}}


def _single(row: Row, name: str, known: Known, sign: Sign) -> Resource:
    made = _observed(row, name, _code(sign.code, known), [sign], **_value(sign))
    return _profiled(made, known.profile) if sign.unit in known.units and not sign.flag else made


def _pressure(row: Row, name: str, code: str, known: Known, signs: Sequence[Sign]) -> Resource:
    """The one of the two that was not written is told as unknown."""
    written = {sign.code: sign for sign in signs}
    parts = []
    for part in (SYSTOLIC, DIASTOLIC):
        sign = written.get(part)
        value = _value(sign) if sign else {"dataAbsentReason": concept(coding(ABSENT_REASONS, "unknown", "Unknown"))}
        parts.append({"code": _code(part, KNOWN[part])} | value)
    made = _observed(row, name, _code(code, known), signs, component=parts)
    is_sound = all(sign.unit == MMHG and not sign.flag for sign in signs)
    return _profiled(made, known.profile) if is_sound else made


def _observed(row: Row, name: str, code: Resource, signs: Sequence[Sign], **more: Any) -> Resource:
    flags = dict.fromkeys(sign.flag for sign in signs if sign.flag)
    words = dict.fromkeys(sign.written for sign in signs if sign.written)
    if flags:
        more["interpretation"] = [concept(coding(FLAGS, flag), text=flag) for flag in flags]
    note = [{"text": text} for text in words]
    return observation(row, name, code, VITAL_SIGNS, **more, note=note)


def _profiled(made: Resource, profile: str) -> Resource:
    """Only of what can be: no profile of FHIR vouches for a flagged value."""
    if profile:
        made["meta"]["profile"] = [PROFILES + profile]
    return made


# --- Of which rows, and how they are found

HERE = VitalSign.objects.filter(visit=OuterRef("pk"))


def _signs(rows: Sequence[Row]) -> dict[int, list[Sign]]:
    found: dict[int, list[Sign]] = {}
    of_visits = VitalSign.objects.filter(visit__in=[row["id"] for row in rows]).order_by("visit", "position")
    for one in of_visits:
        flag = Flag(one.flag) if one.flag else None
        found.setdefault(one.visit_id, []).append(Sign(one.code, one.value, one.unit, one.coded, one.written, flag))
    return found


def _coded(asked_for: Sequence[asked.Token]) -> Q:
    """Visits with such a sign; which of its Observations it is, is told apart once it is read."""
    wanted = [code for code in KNOWN if any(one.is_of(LOINC, code) for one in asked_for)]
    if any(one.is_of(LOINC, PANEL[0]) for one in asked_for):
        wanted += [SYSTOLIC, DIASTOLIC]
    ours = [f"medilink:{one.code}" for one in asked_for if one.code and one.system in (None, OURS_SIGN)]
    return Q(Exists(HERE.filter(code__in=[*wanted, *ours])))


def _is_coded(asked_for: Sequence[asked.Token]) -> Matches:
    def met(found: Resource) -> bool:
        return any(one.is_of(each["system"], each["code"]) for one in asked_for for each in found["code"]["coding"])

    return met


VITALS = Part(
    model=TriageVisit,
    resource="visits",
    columns=(*EVENT, "visited_at"),
    make=lambda row, signs: observations(row, signs.get(row["id"], ())),
    when="visited_at",
    prefix=VISIT,
    suffix="-(?!acuity$|complaint$|recommendations$)[a-z][a-z0-9-]{0,40}",
    has=Q(Exists(HERE)),
    know=_signs,
    names=tuple(one.short for one in (PANEL[1], *KNOWN.values())),
    has_many=True,
    is_masked=True,
    changed=("updated_at", "vital_reading__read_at"),
    searches=searches(VISIT, "visited_at", "vital-signs") | {"code": _coded},
    matches={"code": _is_coded},
)

KIND = Kind(
    name="Observation",
    parts=(*PARTS, VITALS),
    parameters=(
        Parameter("patient", "reference", "Of whom it is.", ("Patient",)),
        Parameter("subject", "reference", "Of whom it is.", ("Patient",)),
        Parameter("encounter", "reference", "Where it was made.", ("Encounter",)),
        Parameter("date", "date", "When the encounter began."),
        Parameter("code", "token", "What was observed."),
        Parameter("category", "token", "survey or vital-signs."),
        Parameter("status", "token", "Always final."),
        Parameter("value-concept", "token", "A triage level, 1 to 5."),
    ),
    includes=refers("encounter"),
)

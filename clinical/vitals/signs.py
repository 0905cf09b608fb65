"""What a vital sign is: its LOINC code, its UCUM unit, and which values can be of a living person."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"
PULSE, RESPIRATION, TEMPERATURE = "8867-4", "9279-1", "8310-5"
SATURATION, OXYGEN_FLOW, OXYGEN_SHARE = "2708-6", "3151-8", "3150-0"
WEIGHT, HEIGHT = "29463-7", "8302-2"
COMA, COMA_EYES, COMA_VERBAL, COMA_MOTOR = "9269-2", "9267-6", "9270-0", "9268-4"
RESPONSE = "67775-7"  # AVPU, and C of ACVPU
GLUCOSE_MASS, GLUCOSE_MOLES = "2339-0", "15074-8"
PAIN = "72514-3"
# LOINC has no code that we could verify for "on air" or "on oxygen" without a flow: ours, and named so.
BREATHES = "medilink:breathes"
AIR, OXYGEN = "air", "oxygen"

# Code -> the name under which it is shown, and by which FHIR ids are made.
NAMES = {
    SYSTOLIC: "systolic",
    DIASTOLIC: "diastolic",
    PULSE: "pulse",
    RESPIRATION: "respiration",
    TEMPERATURE: "temperature",
    SATURATION: "saturation",
    OXYGEN_FLOW: "oxygen-flow",
    OXYGEN_SHARE: "oxygen-share",
    BREATHES: "breathes",
    WEIGHT: "weight",
    HEIGHT: "height",
    COMA: "coma",
    COMA_EYES: "coma-eyes",
    COMA_VERBAL: "coma-verbal",
    COMA_MOTOR: "coma-motor",
    RESPONSE: "response",
    GLUCOSE_MASS: "glucose-mass",
    GLUCOSE_MOLES: "glucose-moles",
    PAIN: "pain",
}
MMHG, PER_MINUTE, CELSIUS, FAHRENHEIT, PERCENT = "mm[Hg]", "/min", "Cel", "[degF]", "%"
LITRES_PER_MINUTE, KILOGRAMS, GRAMS, POUNDS = "L/min", "kg", "g", "[lb_av]"
CENTIMETRES, INCHES, SCORE, MASS, MOLES = "cm", "[in_i]", "{score}", "mg/dL", "mmol/L"

# By code and unit: outside of these a value is flagged. Wide on purpose: they tell slips of the pen, not illness.
PLAUSIBLE: dict[tuple[str, str], tuple[str, str]] = {
    (SYSTOLIC, MMHG): ("40", "300"),
    (DIASTOLIC, MMHG): ("10", "200"),
    (PULSE, PER_MINUTE): ("20", "300"),
    (RESPIRATION, PER_MINUTE): ("3", "120"),
    (TEMPERATURE, CELSIUS): ("25", "45"),
    (TEMPERATURE, FAHRENHEIT): ("77", "113"),
    (SATURATION, PERCENT): ("30", "100"),
    (OXYGEN_FLOW, LITRES_PER_MINUTE): ("0.1", "70"),
    (OXYGEN_SHARE, PERCENT): ("21", "100"),
    (WEIGHT, KILOGRAMS): ("0.3", "350"),
    (WEIGHT, GRAMS): ("300", "20000"),
    (WEIGHT, POUNDS): ("0.7", "770"),
    (HEIGHT, CENTIMETRES): ("25", "250"),
    (HEIGHT, INCHES): ("10", "98"),
    (COMA, SCORE): ("3", "15"),
    (COMA_EYES, SCORE): ("1", "4"),
    (COMA_VERBAL, SCORE): ("1", "5"),
    (COMA_MOTOR, SCORE): ("1", "6"),
    (GLUCOSE_MASS, MASS): ("10", "1500"),
    (GLUCOSE_MOLES, MOLES): ("0.5", "80"),
    (PAIN, SCORE): ("0", "10"),
}
LIMITS = {what: (Decimal(low), Decimal(high)) for what, (low, high) in PLAUSIBLE.items()}


class Flag(StrEnum):
    IMPLAUSIBLE = "implausible"  # no living person has it
    REVERSED = "reversed"  # the diastolic pressure is not below the systolic one


@dataclass(frozen=True, slots=True)
class Sign:
    """One coded value: a number with its unit, or a word (`coded`); `written` are the words that it was read from."""

    code: str
    value: Decimal | None
    unit: str | None
    coded: str | None
    written: str
    flag: Flag | None = None


def measured(code: str, value: Decimal, unit: str, written: str, flag: Flag | None = None) -> Sign:
    low, high = LIMITS[code, unit]
    if not low <= value <= high:
        flag = Flag.IMPLAUSIBLE
    return Sign(code, value, unit, None, written, flag)


def said(code: str, coded: str, written: str) -> Sign:
    return Sign(code, None, None, coded, written)

"""What the signs of a visit give to the formulas: for each input all values that were written, mostly one or none."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from clinical.vitals import Sign, signs

Value = Decimal | str
Inputs = dict[str, tuple[Value, ...]]

NAMES = {
    signs.SYSTOLIC: "systolic",
    signs.DIASTOLIC: "diastolic",
    signs.PULSE: "pulse",
    signs.RESPIRATION: "respiration",
    signs.TEMPERATURE: "temperature",
    signs.SATURATION: "saturation",
    signs.BREATHES: "oxygen",
    signs.RESPONSE: "response",
    signs.COMA: "coma",
}
TENTH = Decimal("0.1")


def inputs_of(read: Iterable[Sign]) -> Inputs:
    """Flagged values are none: no score is made of what no living person has."""
    found: dict[str, dict[Value, None]] = {}
    for sign in read:
        name = NAMES.get(sign.code)
        if name and not sign.flag:
            found.setdefault(name, {})[_value(sign)] = None
    return {name: tuple(values) for name, values in found.items()}


def _value(sign: Sign) -> Value:
    if sign.value is None:
        return sign.coded or ""
    if sign.code != signs.TEMPERATURE:
        return sign.value
    celsius = (sign.value - 32) / Decimal("1.8") if sign.unit == signs.FAHRENHEIT else sign.value
    return celsius.quantize(TENTH, ROUND_HALF_UP)

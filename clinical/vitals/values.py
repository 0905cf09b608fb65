"""What each kind of sign may look like behind its label.

A reader is given the text, the place behind the label and its link, and the link; it answers where the value ends and
what makes its signs of the written words; or nothing, and the words stay text.
"""

import re
from collections.abc import Callable
from decimal import Decimal

from clinical.vitals import signs
from clinical.vitals.signs import Flag, Sign, measured, said

Make = Callable[[str], list[Sign]]
Found = tuple[int, Make]

# A letter that touches a number may be a figure that was mistyped; not so one that is the next label.
LETTER = r"(?<=\d)(?!(?:bp|b/p|p|pr|hr|r|rr|t|temp|spo2|sats?|wt|ht|gcs|rbs)[ :=.-]*\d)[a-z]"
# Behind a number: neither a part of a longer one, of a range, a date or a fraction, nor a dose or a time.
ENDS = (
    rf"(?!\d|{LETTER}|[.,:\u00b7]\d|\.{{2,}}\s*\d|\+|\s?\+\s?\d|\s*(?:-|\u2013|to\b)\s*\d|\s*/\s*\d|\s*(?:mgs?|mls?|mcg|µg|ug|iu|units?|tabs?|tablets?|caps?|doses?|drops?"
    r"|days?|wks?|weeks?|hrs|hours?|mins|minutes|months?|mths?|yrs?|years?|x|times|st|nd|rd|th"
    r"|jan|feb|mar|apr|june?|july?|aug|sept?|oct|nov|dec)(?![a-z]))"
)
NUMBER = r"\d{1,4}(?:[.,]\d{1,2})?"
BEATS = (
    r"(?:\s*(?:b\.?p\.?m\.?|b/m(?:in)?t?|beats?\s*(?:/|per)?\s*(?:min(?:ute)?)?"
    r"|/\s*m(?:in(?:ute)?)?t?(?![a-z])|c/m|per\s*min(?:ute)?))?"
)
BREATHS = (
    r"(?:\s*(?:c\.?p\.?m\.?|c/m(?:in)?|b/m(?:in)?|bpm|br(?:eaths?)?\s*(?:/|per)?\s*(?:min(?:ute)?)?"
    r"|cycles?\s*(?:/|per)?\s*(?:min(?:ute)?)?|/\s*m(?:in(?:ute)?)?t?(?![a-z])|per\s*min(?:ute)?))?"
)
PRESSURE_UNIT = r"(?:\s*mm\s*\.?\s*(?:of\s*)?(?:hg)?(?![a-z]))"
ROOM_AIR = (
    r"(?:r\.?\s*/?\s*a\.?|room\s*air|air|amb(?:ient)?\.?\s*air)"
    r"(?![a-z0-9]|\s*(?:mattress|bed|ambulance|treatment|therapy|drugs?|meds?|medication))"
)
ON_OXYGEN = (
    r"(?P<litres>\d{1,2}(?:\.\d)?)\s*(?:l(?:it(?:er|re)s?|ts?|pm)?)(?:\s*(?:/|per)\s*min(?:ute)?)?(?![a-z])"
    r"(?:\s*(?:of\s*)?(?:o2|02|oxygen)(?![a-z0-9]))?"
)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def number(text: str) -> Decimal:
    return Decimal(text.replace(",", ".").replace(" ", ""))


def _label(text: str, at: int, link: str) -> str:
    """What stands before a value and its link: the end of its label."""
    end = at - len(link)
    return text[max(0, end - 20) : end]


def one(code: str, unit: str, value: Decimal) -> Make:
    return lambda written: [measured(code, value, unit, written)]


# --- Blood pressure

PAIR = _pattern(
    r"(?P<upper>\d(?:\s?\d){1,2})\s*(?:/|\\|\||over|on|-)\s*"
    rf"(?P<lower>\d(?:\s?\d){{1,2}}(?!\s?\d)|p(?:alp(?:ation|able)?)?\b){PRESSURE_UNIT}?{ENDS}"
)
SINGLE = _pattern(rf"(?P<value>\d{{2,3}}){PRESSURE_UNIT}?{ENDS}")


def pressure(text: str, at: int, link: str) -> Found | None:
    found = PAIR.match(text, at)
    if not found or not _is_spaced_alike(found["upper"], found["lower"]):
        return None
    return found.end(), pressures(found["upper"], found["lower"])


def _is_spaced_alike(upper: str, lower: str) -> bool:
    """`1 4 0 / 9 0` is one number spaced out; of `1 40/90` nobody knows what the space was."""
    digits = [one for one in (upper, lower) if one[0] != "p"]
    spaced = [bool(re.search(r"\s", one)) for one in digits]
    return not any(spaced) or all(bool(re.fullmatch(r"\d(?: \d)+", one)) for one in digits)


def pressures(upper: str, lower: str) -> Make:
    high = number(upper)
    low = None if lower.startswith("p") else number(lower)  # felt by the finger: there is no lower one

    def make(written: str) -> list[Sign]:
        flag = Flag.REVERSED if low is not None and low >= high else None
        both = [measured(signs.SYSTOLIC, high, signs.MMHG, written, flag)]
        return both if low is None else [*both, measured(signs.DIASTOLIC, low, signs.MMHG, written, flag)]

    return make


def systolic(text: str, at: int, link: str) -> Found | None:
    return _whole(SINGLE, text, at, signs.SYSTOLIC, signs.MMHG)


def diastolic(text: str, at: int, link: str) -> Found | None:
    return _whole(SINGLE, text, at, signs.DIASTOLIC, signs.MMHG)


def _whole(pattern: re.Pattern[str], text: str, at: int, code: str, unit: str) -> Found | None:
    found = pattern.match(text, at)
    return (found.end(), one(code, unit, number(found["value"]))) if found else None


# --- Pulse and respiration

PULSE = _pattern(rf"(?P<value>\d{{2,3}}|0){BEATS}{ENDS}")
RESPIRATION = _pattern(rf"(?P<value>\d{{1,3}}){BREATHS}{ENDS}")
BARE_PULSE, BARE_RESPIRATION = range(30, 251), range(8, 81)


def pulse(text: str, at: int, link: str) -> Found | None:
    return _whole(PULSE, text, at, signs.PULSE, signs.PER_MINUTE)


def respiration(text: str, at: int, link: str) -> Found | None:
    return _whole(RESPIRATION, text, at, signs.RESPIRATION, signs.PER_MINUTE)


def p(text: str, at: int, link: str) -> Found | None:
    found = PULSE.match(text, at)
    return pulse(text, at, link) if found and int(found["value"]) in BARE_PULSE else None


def r(text: str, at: int, link: str) -> Found | None:
    found = RESPIRATION.match(text, at)
    return respiration(text, at, link) if found and int(found["value"]) in BARE_RESPIRATION else None


# --- Temperature

DEGREES = r"(?:\s*(?:[°˚*]|deg(?:ree)?s?\.?|o(?=\s?[cf]\b)))"
TEMPERATURE = _pattern(
    r"(?P<value>\d{2,3}(?:[.,]\d{1,2}|\s?\.\s?\d(?=\s*[°˚]?\s*[cf℃℉]))?)"
    rf"(?:{DEGREES}?\s*(?P<unit>c(?:el(?:sius|cius)?|entigrade)?|f(?:ahrenheit)?)\b|\s*(?P<sign>[℃℉])|{DEGREES})?{ENDS}"
)
SURELY_CELSIUS, SURELY_FAHRENHEIT = (Decimal(20), Decimal(50)), (Decimal(80), Decimal(115))
BARE_CELSIUS, BARE_FAHRENHEIT = (Decimal(30), Decimal(45)), (Decimal(90), Decimal(110))


def temperature(text: str, at: int, link: str) -> Found | None:
    return _temperature(text, at, SURELY_CELSIUS, SURELY_FAHRENHEIT)


def t(text: str, at: int, link: str) -> Found | None:
    return _temperature(text, at, BARE_CELSIUS, BARE_FAHRENHEIT)


def _temperature(
    text: str, at: int, celsius: tuple[Decimal, Decimal], fahrenheit: tuple[Decimal, Decimal]
) -> Found | None:
    """Without its unit a number says it where it can be only one of the two."""
    found = TEMPERATURE.match(text, at)
    if not found:
        return None
    value, unit = number(found["value"]), (found["unit"] or found["sign"] or "")[:1]
    if unit in ("c", "℃") or (not unit and celsius[0] <= value <= celsius[1]):
        return found.end(), one(signs.TEMPERATURE, signs.CELSIUS, value)
    if unit in ("f", "℉") or (not unit and fahrenheit[0] <= value <= fahrenheit[1]):
        return found.end(), one(signs.TEMPERATURE, signs.FAHRENHEIT, value)
    return None


# --- Oxygen

SATURATION = _pattern(
    rf"(?P<value>\d{{1,3}}(?:\.\d)?)\s*(?:%|percent)?{ENDS}"
    rf"(?:\s*[,(;-]?\s*(?:(?:on|in|at|@|with|under|breathing)\s*(?:nrb?m\s*)?)?(?:(?P<air>{ROOM_AIR})|(?:{ON_OXYGEN})"
    r"|(?:(?<=on )|(?<=with ))(?P<oxygen>o2|oxygen)(?![a-z0-9]))\s*\)?)?"
)
SHARE = _pattern(rf"(?:(?P<percent>\d{{2,3}})\s*%?|(?P<part>[01]?\.\d{{1,2}})){ENDS}")
FLOW = _pattern(ON_OXYGEN + ENDS)


def breathing(found: re.Match[str], written: str) -> list[Sign]:
    if found["litres"]:
        flow = measured(signs.OXYGEN_FLOW, number(found["litres"]), signs.LITRES_PER_MINUTE, written)
        return [said(signs.BREATHES, signs.OXYGEN, written), flow]
    given = found.groupdict()
    if given.get("air"):
        return [said(signs.BREATHES, signs.AIR, written)]
    return [said(signs.BREATHES, signs.OXYGEN, written)] if given.get("oxygen") else []


def saturation(text: str, at: int, link: str) -> Found | None:
    found = SATURATION.match(text, at)
    if not found:
        return None

    def make(written: str) -> list[Sign]:
        share = measured(signs.SATURATION, number(found["value"]), signs.PERCENT, written)
        return [share, *breathing(found, written)]

    return found.end(), make


def share(text: str, at: int, link: str) -> Found | None:
    found = SHARE.match(text, at)
    if not found:
        return None
    percent = number(found["percent"]) if found["percent"] else number(found["part"]) * 100
    return found.end(), one(signs.OXYGEN_SHARE, signs.PERCENT, percent)


def flow(text: str, at: int, link: str) -> Found | None:
    found = FLOW.match(text, at)
    return (found.end(), lambda written: breathing(found, written)) if found else None


# --- Weight and height

WEIGHT = _pattern(
    rf"(?P<value>{NUMBER})\s*(?P<unit>kgs?\b|kilo(?:gram)?s?\b|g(?:ram)?s?\b|lbs?\b|pounds?\b)?{ENDS}"
    r"(?!\s*(?:/|loss|gain|\d+\s*(?:oz|ounces?)))"
)
WEIGHT_UNITS = {"k": signs.KILOGRAMS, "g": signs.GRAMS, "l": signs.POUNDS, "p": signs.POUNDS}
HEIGHT = _pattern(
    rf"(?:(?P<feet>[1-8])\s*(?:ft|feet|foot|['\u2019\u2032])\s*(?:(?P<inches>\d{{1,2}})\s*(?:inch(?:es)?|ins?|[\"\u201d\u2033]|'')?)?(?![\d.])"
    rf"|(?P<metre>[12])\s*m\s*(?P<part>\d{{2}})(?:\s*cm)?|(?P<value>{NUMBER})\s*(?P<unit>cms?\b|m(?:et(?:er|re)s?|trs?)?\b|in(?:ch(?:es)?|s)?\b|[\"\u201d\u2033])?){ENDS}"
)
METRES, HUNDRED = (Decimal("0.3"), Decimal("2.5")), Decimal(100)
SURELY_CENTIMETRES, SURELY_KILOGRAMS = (Decimal(40), Decimal(250)), (Decimal("0.5"), Decimal(200))


def weight(text: str, at: int, link: str) -> Found | None:
    """Without a unit it is kilograms: nobody here writes anything else without saying so."""
    found = WEIGHT.match(text, at)
    if not found:
        return None
    value, unit = number(found["value"]), found["unit"]
    if not unit and not SURELY_KILOGRAMS[0] <= value <= SURELY_KILOGRAMS[1]:
        return None
    return found.end(), one(signs.WEIGHT, WEIGHT_UNITS[unit[0]] if unit else signs.KILOGRAMS, value)


def w(text: str, at: int, link: str) -> Found | None:
    found = WEIGHT.match(text, at)
    return weight(text, at, link) if found and found["unit"] else None


def height(text: str, at: int, link: str) -> Found | None:
    found = HEIGHT.match(text, at)
    length = _length(found) if found else None
    if not found or not length:
        return None
    value, unit = length
    return found.end(), one(signs.HEIGHT, unit, value)


def h(text: str, at: int, link: str) -> Found | None:
    found = HEIGHT.match(text, at)
    return height(text, at, link) if found and (found["unit"] or found["feet"]) else None


def _length(found: re.Match[str]) -> tuple[Decimal, str] | None:
    if found["feet"]:
        inches = Decimal(found["inches"] or 0)
        return (12 * Decimal(found["feet"]) + inches, signs.INCHES) if inches < 12 else None
    if found["metre"]:
        return 100 * Decimal(found["metre"]) + Decimal(found["part"]), signs.CENTIMETRES
    value, unit = number(found["value"]), found["unit"] or ""
    if unit.startswith(("i", '"', "\u201d", "\u2033")):
        return value, signs.INCHES
    if unit.startswith("c") or (not unit and SURELY_CENTIMETRES[0] <= value <= SURELY_CENTIMETRES[1]):
        return value, signs.CENTIMETRES
    if unit or METRES[0] <= value <= METRES[1]:
        return value * HUNDRED, signs.CENTIMETRES
    return None


# --- Consciousness

COMA_PARTS = (
    r"e\s?=?\s?(?P<eyes>[1-9])\s*[,/+;]?\s*v\s?=?\s?(?P<verbal>[1-9])\s*[,/+;]?\s*m\s?=?\s?(?P<motor>[1-9])(?![a-z0-9])"
)
COMA = _pattern(
    rf"(?:(?P<total>\d{{1,2}})(?!\d|[.,]\d)(?:\s*/\s*15(?!\d))?(?:\s*[(\[,]?\s*{COMA_PARTS}\s*[)\]]?)?"
    rf"|\(?\s*{COMA_PARTS.replace('(?P<', '(?P<only_')}\s*\)?"
    r"(?:\s*[=,:(-]?\s*(?P<sum>\d{1,2})(?:\s*/\s*15)?(?!\d)\)?)?)"
    r"(?!\s*[/-]\s*\d|\s?\+)"
    rf"(?!{LETTER})"
)
PARTS = {"eyes": signs.COMA_EYES, "verbal": signs.COMA_VERBAL, "motor": signs.COMA_MOTOR}
RESPONSE = _pattern(
    r"(?P<word>a(?:lert)?|c(?:onfus(?:ed|ion))?|v(?:oice|erbal)?|p(?:ain(?:ful)?)?|u(?:n(?:responsive|conscious))?)"
    r"(?![a-z0-9]|\s*/\s*[a-z])"
)
LOCATED = _pattern(r"pain|[acvpu][ ][a-z]")


def coma(text: str, at: int, link: str) -> Found | None:
    found = COMA.match(text, at)
    return (found.end(), lambda written: _coma(found, written)) if found else None


def _coma(found: re.Match[str], written: str) -> list[Sign]:
    given = found.groupdict()
    total = given["total"] or given["sum"]
    read = [measured(signs.COMA, number(total), signs.SCORE, written)] if total else []
    for name, code in PARTS.items():
        if part := given[name] or given[f"only_{name}"]:
            read.append(measured(code, number(part), signs.SCORE, written))
    return read


def eyes(text: str, at: int, link: str) -> Found | None:
    """Its three parts are a label by themselves; the letter E was one already."""
    return coma(text, at - len(link) - 1, link) if text[at - len(link) - 1] == "e" else None


def response(text: str, at: int, link: str) -> Found | None:
    """`loc` may also be a location: a letter or a pain behind it is then no response."""
    found = RESPONSE.match(text, at)
    if not found or (_label(text, at, link).endswith("loc") and LOCATED.match(text, at)):
        return None
    return found.end(), lambda written: [said(signs.RESPONSE, found["word"][0].upper(), written)]


# --- Glucose and pain

GLUCOSE = _pattern(
    rf"(?P<value>{NUMBER})\s*(?:(?P<moles>mmols?\s*(?:/|per)?\s*l?(?:it(?:er|re))?(?![a-z]))"
    r"|(?P<mass>mgs?\s*(?:/|per)?\s*(?:dl|%)))?(?![a-z]|\s?\+)"
)
# Bowel sounds, or the lumps in the tea, unless a unit says that it is the blood's.
NOT_SURELY_BLOOD = _pattern(r"(?<![a-z])(?<!blood[ ])(?<!plasma[ ])(?:bs|sugar)(?:[ ]level)?$")
SURELY_MOLES, SURELY_MASS = Decimal(15), Decimal(60)
PAIN = _pattern(rf"(?P<value>\d{{1,2}})(?:(?P<of>\s*(?:/|out\s*of|on)\s*10(?!\d)){ENDS}|{ENDS})")


def glucose(text: str, at: int, link: str) -> Found | None:
    """Without a unit: below 15 it can be mmol/L alone, from 60 mg/dL alone; between them it stays text."""
    found = GLUCOSE.match(text, at)
    if not found or (not found["mass"] and not re.match(ENDS, text[found.end() :])):
        return None
    if not (found["mass"] or found["moles"]) and NOT_SURELY_BLOOD.search(_label(text, at, link)):
        return None
    value = number(found["value"])
    if found["moles"] or (not found["mass"] and value < SURELY_MOLES):
        return found.end(), one(signs.GLUCOSE_MOLES, signs.MOLES, value)
    if found["mass"] or value >= SURELY_MASS:
        return found.end(), one(signs.GLUCOSE_MASS, signs.MASS, value)
    return None


def pain(text: str, at: int, link: str) -> Found | None:
    """`pain 3` alone may be the third of something: a sign between them, a fuller label or `/10` says it is not."""
    found = PAIN.match(text, at)
    if not found:
        return None
    if not (found["of"] or ":" in link or "=" in link or not _label(text, at, link).endswith("pain")):
        return None
    return found.end(), one(signs.PAIN, signs.SCORE, number(found["value"]))

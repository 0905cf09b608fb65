"""What needs no label: a value whose unit is that of one sign alone, or which stands by itself and can be only one."""

import re
from collections.abc import Callable, Iterator

from clinical.vitals import signs
from clinical.vitals.signs import measured, said
from clinical.vitals.values import (
    ENDS,
    NUMBER,
    ON_OXYGEN,
    PRESSURE_UNIT,
    ROOM_AIR,
    Make,
    breathing,
    number,
    one,
    pressures,
)

TAKEN = "\x00"  # in place of what has been read
ALONE = r"(?<![\d/.,a-z\u00b7-])"  # the number is no part of something longer
START = rf"(?:^|(?<=[{TAKEN},;|\n(])|(?<=[{TAKEN},;|/\n(] ))"
STOP = rf"(?=\s*(?:$|[{TAKEN},;|/\n)]|\.(?!\d)|\s\d))"
UNLABELLED: list[tuple[re.Pattern[str], Callable[[re.Match[str]], Make | None]]] = []


def _unlabelled(pattern: str) -> Callable[[Callable[[re.Match[str]], Make | None]], None]:
    return lambda read: UNLABELLED.append((re.compile(pattern), read))


@_unlabelled(
    rf"(?:{ALONE}(?P<upper>\d{{2,3}})\s*/\s*(?P<lower>\d{{2,3}}){PRESSURE_UNIT}{ENDS}"
    rf"|{START}(?P<bare_upper>\d{{2,3}})/(?P<bare_lower>\d{{2,3}})(?![\d/%]){ENDS}{STOP})"
)
def _bare_pressure(found: re.Match[str]) -> Make | None:
    upper, lower = found["upper"] or found["bare_upper"], found["lower"] or found["bare_lower"]
    is_sure = found["upper"] or (70 <= int(upper) <= 260 and 30 <= int(lower) <= 160 and int(lower) + 9 < int(upper))
    return pressures(upper, lower) if is_sure else None


@_unlabelled(
    rf"(?<![a-z] ){ALONE}(?P<value>\d{{2,3}})\s*(?:bpm|b\.p\.m\.?|beats?\s*(?:/|per)\s*min(?:ute)?)(?![a-z]){ENDS}"
)
def _bare_pulse(found: re.Match[str]) -> Make | None:
    return one(signs.PULSE, signs.PER_MINUTE, number(found["value"]))


@_unlabelled(rf"(?<![a-z] ){ALONE}(?P<value>\d{{1,3}})\s*(?:breaths?|cycles?)\s*(?:/|per)\s*min(?:ute)?(?![a-z]){ENDS}")
def _bare_respiration(found: re.Match[str]) -> Make | None:
    return one(signs.RESPIRATION, signs.PER_MINUTE, number(found["value"]))


@_unlabelled(
    rf"{ALONE}(?P<value>\d{{2,3}}(?:[.,]\d{{1,2}})?)"
    rf"(?:\s*(?:[°˚]|deg(?:ree)?s?\.?)\s*(?P<unit>[cf])(?:elsius|ahrenheit)?\b|\s*(?P<sign>[℃℉])){ENDS}"
)
def _bare_temperature(found: re.Match[str]) -> Make | None:
    unit = signs.FAHRENHEIT if (found["unit"] or found["sign"]) in ("f", "℉") else signs.CELSIUS
    return one(signs.TEMPERATURE, unit, number(found["value"]))


@_unlabelled(rf"{START}(?P<value>\d{{2,3}}[.,]\d)\s*(?P<unit>[cf])(?![a-z]){STOP}")
def _bare_degrees(found: re.Match[str]) -> Make | None:
    unit = signs.FAHRENHEIT if found["unit"] == "f" else signs.CELSIUS
    return one(signs.TEMPERATURE, unit, number(found["value"]))


@_unlabelled(
    rf"{ALONE}(?P<value>\d{{2,3}})\s*%\s*[,(-]?\s*(?:(?:on|in|at|@)\s*)?(?:(?P<air>{ROOM_AIR})|{ON_OXYGEN}"
    r"|(?<=on )(?P<oxygen>o2|oxygen)(?![a-z0-9]))\s*\)?"
)
def _bare_saturation(found: re.Match[str]) -> Make | None:
    return lambda written: [
        measured(signs.SATURATION, number(found["value"]), signs.PERCENT, written),
        *breathing(found, written),
    ]


@_unlabelled(
    rf"(?<![a-z0-9])(?<!not )(?<!no )(?:(?:on|in|breathing)\s+(?P<air>{ROOM_AIR})|(?P<room>room\s*air)(?![a-z])"
    rf"|on\s+(?P<oxygen>o2|oxygen)(?![a-z0-9])"
    rf"|on\s+{ON_OXYGEN}(?:\s*via\s*(?:nasal\s*)?(?:prongs?|cannula|mask|nrbm?))?)"
)
def _bare_breathing(found: re.Match[str]) -> Make | None:
    if found["room"]:
        return lambda written: [said(signs.BREATHES, signs.AIR, written)]
    return lambda written: breathing(found, written)


@_unlabelled(
    rf"{ALONE}(?P<litres>\d{{1,2}}(?:\.\d)?)\s*l(?:it(?:er|re)s?|pm)?(?:\s*/\s*min)?\s*(?:of\s*)?(?:o2|oxygen)"
    r"(?![a-z0-9])"
)
def _bare_flow(found: re.Match[str]) -> Make | None:
    return lambda written: breathing(found, written)


@_unlabelled(rf"{START}(?P<value>{NUMBER})\s*kgs?(?![a-z/]){ENDS}{STOP}")
def _bare_weight(found: re.Match[str]) -> Make | None:
    return one(signs.WEIGHT, signs.KILOGRAMS, number(found["value"]))


@_unlabelled(rf"{START}(?P<value>1\d\d|\d\d)\s*cms?(?![a-z]){STOP}")
def _bare_height(found: re.Match[str]) -> Make | None:
    """Three figures: what is shorter may be a wound."""
    return one(signs.HEIGHT, signs.CENTIMETRES, number(found["value"])) if len(found["value"]) == 3 else None


@_unlabelled(rf"{START}(?:(?P<word>alert|unresponsive)|responds?\s*(?:only\s*)?to\s*(?P<to>voice|verbal|pain)){STOP}")
def _bare_response(found: re.Match[str]) -> Make | None:
    coded = (found["word"] or found["to"])[0].upper()
    return lambda written: [said(signs.RESPONSE, coded, written)]


def found(text: str) -> Iterator[tuple[int, int, Make]]:
    """`text` holds what no label has claimed; what one pattern takes no later one sees."""
    for pattern, read in UNLABELLED:
        matches = [(match, make) for match in pattern.finditer(text) if (make := read(match))]
        for match, make in matches:
            text = text[: match.start()] + TAKEN * (match.end() - match.start()) + text[match.end() :]
            yield match.start(), match.end(), make

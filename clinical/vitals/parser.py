"""One scan over the text: at each label, the value that its kind may have; then values that need no label.

Spans are kept by place, so that every character belongs to a value or to the leftover.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from clinical.vitals import doubts, unlabelled, values
from clinical.vitals.signs import Sign

VERSION = 1  # to be raised with every change of what is read: visits are then read again
SHORT = 200  # characters
LONGEST = 4000  # of a text; what is behind it is leftover

# Between a label and its value.
LINK = (
    r"(?:\s*\((?!\s*\d)[a-z .]{1,20}\))?"
    r"(?:[\s:=\"'*_\u2013\u2014\u2192-]|\.(?!\d(?!\d))"
    r"|\b(?:is|of|at|reading|measured|recorded|lying|supine|sitting|standing|left|right|[lr]t|arm)\b)*"
)
BEFORE = r"(?<![a-z])"
OTHER = "other"
LABELS = {
    "pressure": r"(?:nibp|b[ .]?[./]?[ ]?p\.?|blood[ -]?press(?:ure|\.)?)",
    "systolic": r"(?:sbp|sys(?:tolic|t)?\.?(?:[ ]?(?:bp|blood pressure|pressure))?)",
    "diastolic": r"(?:dbp|dia(?:stolic|st)?\.?(?:[ ]?(?:bp|blood pressure|pressure))?)",
    "saturation": (
        r"(?:s[ ]?p[ ]?[o0][ ]?2|spo|s[ ]?a[ ]?[o0][ ]?2|[o0]2[ ]?sat(?:uration|s|n|\.)?"
        r"|oxygen[ ]?sat(?:uration|s|\.)?|sats?|saturation|pulse[ ]?ox(?:imet(?:ry|er))?)"
    ),
    "pulse": (r"(?:heart[ -]?rate|hrt?[ ]?rate|h[./]?[ ]?r\.?|pulse(?:[ -]?rate)?|puls|p[./]?[ ]?r\.?)"),
    "respiration": (
        r"(?:respiratory[ ]?rate|resp(?:irations?|s|\.)?(?:[ ]?rate)?|r[./]?[ ]?r\.?|breathing[ ]rate|breaths?[ ]rate)"
    ),
    "temperature": r"(?:(?:body[ ]|axillary[ ]|oral[ ])?temp(?:erature|\.)?|tmp)",
    "share": r"(?:fi[o0]2)",
    "flow": (
        r"(?:(?:supplemental[ ])?(?:o2|(?<!\d)02(?![\d/.])|oxygen)(?:[ ](?:flow(?:[ ]rate)?|therapy|via|by))?"
        r"|nasal[ ](?:cannula|prongs?))"
    ),
    "weight": r"(?:(?:body[ ])?weight|wgt|wt)",
    "height": r"(?:height|hgt|ht|length)",
    "coma": r"(?:gcs|glasgow(?:[ ]coma)?(?:[ ](?:scale|score))*)",
    "response": (
        r"(?:ac?vpu(?:[ ](?:scale|score))?|(?:level[ ]of[ ])?consciousness|conscious[ ]level|loc|mental[ ]status)"
    ),
    "glucose": (
        r"(?:(?:random[ ]|fasting[ ]|capillary[ ])?(?:blood[ ]|plasma[ ])?(?:glucose|sugar)(?:[ ]level)?"
        r"|rbs|fbs|rbg|fbg|cbg|grbs|bgl|bsl|rplg|gluc|bs|bg)(?:[ ]?\((?:r|f|random|fasting)\))?"
    ),
    "pain": r"(?:pain(?:[ ](?:score|scale|level|severity|intensity|rating))?|vas|nrs)",
    # One letter is a label where its value could be nothing else.
    "t": r"t(?:[ ]?[°˚])?(?![a-z])",
    "p": r"p(?![a-z])",
    "r": r"r(?![a-z])",
    "w": r"w(?![a-z])",
    "h": r"h(?![a-z])",
    "eyes": r"e(?=[ ]?[1-9][ ,/+]*v)",
    # Of something or somebody else: its value is no vital sign, whatever its unit.
    OTHER: (
        r"(?:fo?etal[ ]heart(?:[ ](?:rate|sounds?|tones?|beats?))?|f[. ]?h[. ]?[rtsb]\.?|fh|sfh|efw|ecg|ekg|pcv|hct"
        r"|hba1c|hb|iop|cvp|muac|targets?|goals?|aim)"
    ),
}
LABEL = re.compile(BEFORE + "(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in LABELS.items()) + ")(?![a-z])")
GAP = re.compile(LINK)
# A unit of another sign behind a value: whatever was meant, it was not this one.
FOREIGN = re.compile(
    r"\s*(?:%|mm\s?hg|kgs?|kilos?|cms?|mm|inch(?:es)?|ft|feet|lbs?|pounds?|stones?|oz|ounces?|mmol|mg\s?/\s?dl|/\s?min|bpm)"
    r"(?![a-z0-9])"
)
READERS: dict[str, Callable[[str, int, str], values.Found | None]] = {
    kind: getattr(values, kind) for kind in LABELS if kind != OTHER
}
# The number that a refused label was about, so that nobody takes it for another's because of its unit.
TO_NUMBER = re.compile(r"(?:[^\d;,\n.]|\.(?!\s)){0,40}(?=\d)")
ITS_NUMBER = re.compile(
    r"\d[\d.,/\u00b7]*(?:\s*(?:-|\u2013|to|or|and|[-=]*>|\u2192|/|\+|now)\s*[<>]?\s*\d[\d.,/]*)*\s*"
    r"(?:%|mm\s?hg|kgs?|cms?|b\.?p\.?m\.?|(?:beats?|breaths?|cycles?)\s*(?:/|per)?\s*min(?:ute)?|[bc]?/m(?:in)?"
    r"|(?:[°˚*]|deg(?:ree)?s?\.?|o)?\s*[cf]|[℃℉])?(?![a-z0-9])"
    rf"(?:\s*[,(]?\s*(?:(?:on|in|at|@)\s*)?(?:{values.ROOM_AIR}|{values.ON_OXYGEN}|(?:o2|oxygen)(?![a-z0-9])))?"
)
# Not worth keeping at the ends of what was not understood; and where nothing else is left there.
EDGES = " \t\r\n\f\v,;|.&"
MARKS = frozenset(EDGES + "/*'\"_:=()[]{}-\u2013\u2014\u2192")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says: the values in the order of the text, and what was not understood, one piece a line."""

    signs: tuple[Sign, ...]
    leftover: str | None


def parse(text: str) -> Reading:
    """Raises nothing, whatever the text is."""
    return _remembered(text) if len(text) <= SHORT else _read(text)


@lru_cache(maxsize=20_000)
def _remembered(text: str) -> Reading:
    """The same few words stand in many visits."""
    return _read(text)


def _read(text: str) -> Reading:
    plain = _plain(text[:LONGEST])
    spans: list[tuple[int, int, tuple[Sign, ...]]] = []
    for start, end, make in sorted(_found(plain), key=lambda found: found[0]):
        written = text[start:end]
        spans.append((start, end, tuple(make(written))))
    pieces, at = [], 0
    for start, end, _ in [*spans, (len(text), len(text), ())]:
        pieces.append(text[at:start].strip(EDGES))
        at = end
    kept = [piece for piece in pieces if not MARKS.issuperset(piece)]
    return Reading(tuple(sign for *_, signs in spans for sign in signs), "\n".join(kept) or None)


def _plain(text: str) -> str:
    """In lower case and without subscripts and other digits of Unicode, each character at its place."""
    return text.lower() if text.isascii() else "".join(_plain_character(one) for one in text)


@lru_cache(maxsize=2000)
def _plain_character(one: str) -> str:
    if one == "º":
        return "°"
    for plain in (unicodedata.normalize("NFKC", one).lower(), one.lower()):
        if len(plain) == 1:
            return plain
    return one


Make = values.Make
Span = tuple[int, int, Make]


def _found(text: str) -> list[Span]:
    labels = _labels(text)
    found: list[Span] = []
    rest = list(text)
    for start, end, make in _labelled(text, labels):
        rest[start:end] = unlabelled.TAKEN * (end - start)
        if make:
            found.append((start, end, make))
    for start, end, make in unlabelled.found("".join(rest)):
        if not doubts.of_bare(text, start, end, _next(labels, end, text)):
            found.append((start, end, make))
    return found


def _labels(text: str) -> list[re.Match[str]]:
    return [*LABEL.finditer(text)]


def _next(labels: list[re.Match[str]], at: int, text: str) -> int:
    """Where the next label begins."""
    return next((label.start() for label in labels if label.start() >= at), len(text))


def _labelled(text: str, labels: list[re.Match[str]]) -> Iterator[tuple[int, int, Make | None]]:
    """What is read behind a label; and, with nothing that makes signs of it, the number of a refused one."""
    at = 0
    for label in labels:
        if label.start() < at:
            continue
        at = label.end()
        kind = label.lastgroup or ""
        gap = GAP.match(text, at)
        link_end = gap.end() if gap else at
        reader = READERS.get(kind)
        value = reader(text, link_end, text[at:link_end]) if reader else None
        if value and not _is_doubted(text, kind, label, link_end, value[0], labels):
            at = value[0]
            yield label.start(), *value
        elif number := _its_number(text, link_end, _next(labels, at, text)):
            start, at = at, number
            yield start, at, None


def _is_doubted(
    text: str, kind: str, label: re.Match[str], link_end: int, end: int, labels: list[re.Match[str]]
) -> bool:
    return bool(
        FOREIGN.match(text, end)
        or doubts.between(text, kind, label.end(), link_end)
        or doubts.before(text, kind, label.start())
        or doubts.behind(text, kind, end, _next(labels, end, text))
    )


def _its_number(text: str, at: int, limit: int) -> int | None:
    number = TO_NUMBER.match(text, at, limit)
    found = ITS_NUMBER.match(text, number.end()) if number else None
    return found.end() if found else None

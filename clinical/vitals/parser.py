"""One scan over the text: at each label, the value that its kind may have; then values that need no label.

Spans are kept by place, so that every character belongs to a value or to the leftover.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from clinical.vitals import unlabelled, values
from clinical.vitals.signs import Sign

VERSION = 1  # to be raised with every change of what is read: visits are then read again
SHORT = 200  # characters
LONGEST = 4000  # of a text; what is behind it is leftover

# Between a label and its value.
LINK = (
    r"(?:\s*\((?!\s*\d)[a-z .]{1,20}\))?"
    r"(?:[\s:=\"'*_\u2013\u2014\u2192-]|\.(?!\d(?!\d))"
    r"|\b(?:is|was|of|at|reading|measured|recorded|lying|supine|sitting|standing|left|right|[lr]t|arm)\b)*"
)
BEFORE = r"(?<![a-z])"
# What is said of another time or person is no sign of this visit.
ELSEWHERE = re.compile(
    r"(?:\b(?:target|goal|aim|previous|prev|prior|baseline|usual|usually|normal|expected|mother'?s|father'?s|husband'?s"
    r"|wife'?s|fetal|foetal|fhr|yesterday'?s|last|no|not|of|max|min|known|keep|maintain)\b)[\s:.-]*$"
)
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
        r"(?:resp(?:irat(?:ory|ions?)|s|\.)?(?:[ ]?rate)?|r[./]?[ ]?r\.?|breathing[ ]rate|breaths?[ ]rate)"
    ),
    "temperature": r"(?:(?:body[ ]|axillary[ ]|oral[ ])?temp(?:erature|\.)?|tmp)",
    "share": r"(?:fi[o0]2)",
    "flow": (
        r"(?:(?:supplemental[ ])?(?:[o0]2|oxygen)(?:[ ](?:flow(?:[ ]rate)?|therapy|via|by))?"
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
}
LABEL = re.compile(BEFORE + "(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in LABELS.items()) + ")(?![a-z])")
GAP = re.compile(LINK)
READERS: dict[str, Callable[[str, int, str], values.Found | None]] = {kind: getattr(values, kind) for kind in LABELS}
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


Span = tuple[int, int, Callable[[str], list[Sign]]]


def _found(text: str) -> list[Span]:
    found = [*_labelled(text)]
    rest = list(text)
    for start, end, _ in found:
        rest[start:end] = unlabelled.TAKEN * (end - start)
    return [*found, *unlabelled.found("".join(rest))]


def _labelled(text: str) -> Iterator[Span]:
    at = 0
    while label := LABEL.search(text, at):
        at = label.end()
        kind = label.lastgroup or ""
        gap = GAP.match(text, at)
        link_end = gap.end() if gap else at
        if ELSEWHERE.search(text, max(0, label.start() - 24), label.start()):
            continue
        if value := READERS[kind](text, link_end, text[at:link_end]):
            end, make = value
            yield label.start(), end, make
            at = end

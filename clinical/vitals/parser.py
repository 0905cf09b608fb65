"""One scan over the text: at each label, the value that its kind may have; then values that need no label.

Spans are kept by place, so that every character belongs to a value or to the leftover.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from clinical.vitals import values
from clinical.vitals.signs import Sign

VERSION = 1  # to be raised with every change of what is read: visits are then read again
LONGEST = 4000  # of a text; what is behind it is leftover

# Between a label and its value.
LINK = r"""(?:\s*\((?!\s*\d)[a-z .]{1,20}\))?(?:[\s:="'*_-]|\.(?!\d)|–|—|→|\b(?:is|was|of|at|reading|measured|recorded)\b)*"""
BEFORE = r"(?<![a-z0-9])"
# What is said of another time or person is no sign of this visit.
ELSEWHERE = re.compile(
    r"(?:\b(?:target|goal|aim|previous|prev|prior|baseline|usual|usually|normal|expected|mother'?s|father'?s|husband'?s"
    r"|wife'?s|fetal|foetal|fhr|yesterday'?s|last|no|not|of|max|min|known|keep|maintain)\b)[\s:.-]*$"
)
LABELS = {
    "pressure": r"(?:nibp|b[ .]?[./]?[ ]?p\b\.?|b[ ]?p(?=\d)|blood[ -]?press(?:ure|\.)?)",
    "systolic": r"(?:sbp|sys(?:tolic|t)?\.?(?:[ ]?(?:bp|blood pressure|pressure))?)",
    "diastolic": r"(?:dbp|dia(?:stolic|st)?\.?(?:[ ]?(?:bp|blood pressure|pressure))?)",
    "saturation": (
        r"(?:s[ ]?p[ ]?[o0][ ]?2|spo|s[ ]?a[ ]?[o0][ ]?2|[o0]2[ ]?sat(?:uration|s|n|\.)?|oxygen[ ]?sat(?:uration|s|\.)?"
        r"|sats?\b|saturation|pulse[ ]?ox(?:imet(?:ry|er))?)"
    ),
    "pulse": (
        r"(?:heart[ -]?rate|hrt?\b[ ]?rate|h[./]?[ ]?r\b\.?|hr(?=\d)|pulse(?:[ -]?rate)?|puls\b|p[./]?[ ]?r\b\.?|pr(?=\d))"
    ),
    "respiration": (
        r"(?:resp(?:irat(?:ory|ions?)|s|\.)?(?:[ ]?rate)?|r[./]?[ ]?r\b\.?|rr(?=\d)|breathing[ ]rate|breaths?[ ]rate)"
    ),
    "temperature": r"(?:(?:body[ ]|axillary[ ]|oral[ ])?temp(?:erature|\.)?|tmp)",
    "share": r"(?:fi[o0]2)",
    "flow": r"(?:(?:supplemental[ ])?(?:[o0]2|oxygen)(?:[ ](?:flow(?:[ ]rate)?|therapy|via|by))?|nasal[ ](?:cannula|prongs?))",
    "weight": r"(?:(?:body[ ])?weight|wgt|wt)",
    "height": r"(?:height|hgt|ht|length)",
    "coma": r"(?:gcs|glasgow(?:[ ]coma)?(?:[ ](?:scale|score))*)",
    "response": r"(?:ac?vpu(?:[ ](?:scale|score))?|(?:level[ ]of[ ])?consciousness|conscious[ ]level|loc|mental[ ]status)",
    "glucose": (
        r"(?:(?:random[ ]|fasting[ ]|capillary[ ])?(?:blood[ ]|plasma[ ])?(?:glucose|sugar)(?:[ ]level)?|rbs|fbs|rbg|fbg|cbg"
        r"|grbs|bgl|bsl|rplg|gluc|bs|bg)(?:[ ]?\((?:r|f|random|fasting)\))?"
    ),
    "pain": r"(?:pain(?:[ ](?:score|scale|level|severity|intensity|rating))?|vas|nrs)",
    # One letter is a label where its value could be nothing else.
    "t": r"t(?:[ ]?[°º˚o](?![a-z]))?(?![a-z])",
    "p": r"p(?![a-z])",
    "r": r"r(?![a-z])",
    "w": r"w(?![a-z])",
    "h": r"h(?![a-z])",
    "eyes": r"e(?=[ ]?[1-9][ ,/+]*v)",
}
LABEL = re.compile(BEFORE + "(?:" + "|".join(f"(?P<{kind}>{words})" for kind, words in LABELS.items()) + ")(?![a-z])")
GAP = re.compile(LINK)
READERS: dict[str, Callable[[str, int, str], values.Found | None]] = {kind: getattr(values, kind) for kind in LABELS}
# Not worth keeping at the ends of what was not understood.
EDGES = " \t\r\n\f\v,;|.&"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says: the values in the order of the text, and what was not understood, one piece a line."""

    signs: tuple[Sign, ...]
    leftover: str | None


@lru_cache(maxsize=20_000)
def parse(text: str) -> Reading:
    plain = _plain(text[:LONGEST])
    spans: list[tuple[int, int, tuple[Sign, ...]]] = []
    for start, end, make in sorted(_found(plain), key=lambda found: found[0]):
        written = text[start:end]
        spans.append((start, end, tuple(make(written))))
    pieces, at = [], 0
    for start, end, _ in [*spans, (len(text), len(text), ())]:
        pieces.append(text[at:start].strip(EDGES))
        at = end
    kept = [piece for piece in pieces if piece]
    return Reading(tuple(sign for *_, signs in spans for sign in signs), "\n".join(kept) or None)


def _plain(text: str) -> str:
    """In lower case and without subscripts and other digits of Unicode, each character at its place."""
    return text.lower() if text.isascii() else "".join(_plain_character(one) for one in text)


@lru_cache(maxsize=2000)
def _plain_character(one: str) -> str:
    for plain in (unicodedata.normalize("NFKC", one).lower(), one.lower()):
        if len(plain) == 1:
            return plain
    return one


Span = tuple[int, int, Callable[[str], list[Sign]]]


def _found(text: str) -> list[Span]:
    found = [*_labelled(text)]
    rest = list(text)
    for start, end, _ in found:
        rest[start:end] = values.TAKEN * (end - start)
    return [*found, *values.unlabelled("".join(rest))]


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

"""How far two names of facilities agree: abbreviations, the order of the words, the place's own name in them, slips.

A name is what kind of facility it is (General Hospital), which one (Hope), and which part (Annex, II, Unit B). Pure and
symmetric.
"""

import re
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.distance import OSA

from clinical.duplicates.names import plain_words

KNOWN = 200_000


class Level(StrEnum):
    """How two names of facilities agree, best first."""

    SAME = "the same"
    VARIANT = "the same words, written otherwise"
    CLOSE = "a slip apart"
    PART = "one name has more words"
    KIND = "the same name, another kind of facility"
    NAMELESS = "only one of them has a name of its own"
    BRANCH = "different branches or units"
    DIFFERENT = "different"


# Whole words and phrases that stand for one kind; longer phrases are replaced first.
_PHRASES = {
    "primary health care centre": "phc",
    "primary health care center": "phc",
    "primary healthcare centre": "phc",
    "primary healthcare center": "phc",
    "primary health centre": "phc",
    "primary health center": "phc",
    "primary health clinic": "phc",
    "p h c": "phc",
    "phcc": "phc",
    "basic health centre": "bhc",
    "basic health center": "bhc",
    "basic health clinic": "bhc",
    "comprehensive health centre": "chc",
    "comprehensive health center": "chc",
    "comp health centre": "chc",
    "compr health centre": "chc",
    "health centre": "hc",
    "health center": "hc",
    "health ctr": "hc",
    "health clinic": "clinic",
    "medical clinic": "clinic",
    "family clinic": "clinic",
    "general hospital": "gh",
    "gen hospital": "gh",
    "gen hosp": "gh",
    "general hosp": "gh",
    "genl hosp": "gh",
    "g hospital": "gh",
    "cottage hospital": "cottage",
    "cottage hosp": "cottage",
    "university teaching hospital": "uth",
    "univ teaching hospital": "uth",
    "univ teaching hosp": "uth",
    "teaching hospital": "uth",
    "teaching hosp": "uth",
    "specialist hospital": "specialist",
    "specialist hosp": "specialist",
    "spec hospital": "specialist",
    "spec hosp": "specialist",
    "maternity home": "maternity",
    "maternity clinic": "maternity",
    "mat home": "maternity",
    "maternity centre": "maternity",
    "maternity center": "maternity",
    "health post": "post",
    "dispensary": "dispensary",
    "medical centre": "medical",
    "medical center": "medical",
    "med centre": "medical",
    "med center": "medical",
    "med ctr": "medical",
    "hosp": "hospital",
    "clin": "clinic",
    "diagnostic laboratory": "diagnostics",
    "diagnostic lab": "diagnostics",
    "diagnostic centre": "diagnostics",
    "diagnostic center": "diagnostics",
    "laboratory": "lab",
    "chemists": "chemist",
}
_PHRASE = re.compile(r"\b(" + "|".join(sorted(_PHRASES, key=len, reverse=True)) + r")\b")
KINDS = frozenset(_PHRASES.values()) | {"hospital", "clinic", "pharmacy", "chemist", "maternity", "diagnostics"}
_WORDS = {"st": "saint", "ste": "saint", "saints": "saint", "centre": "center", "ctr": "center", "govt": "government"}
_FILLING = frozenset({"of", "the", "and", "for", "in", "at", "ltd", "limited", "nigeria", "lga", "state"})
# A word that tells one part of a facility from another; so do figures and single letters.
_PART_WORDS = "annex annexe ii iii iv vi vii viii unit branch ward block phase extension north south east west"
_PARTS = frozenset(_PART_WORDS.split())
_ROMAN = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "annexe": "annex"}
_FIGURE = re.compile(r"[0-9]+|[a-z]")


class Named(NamedTuple):
    """A name taken to pieces; each of them in alphabetical order."""

    kinds: tuple[str, ...]
    own: tuple[str, ...]
    parts: tuple[str, ...]


_VOCABULARY = sorted({word for phrase in _PHRASES for word in phrase.split() if len(word) >= 6})


@lru_cache(KNOWN)
def _corrected(word: str) -> str:
    """Generl and hosptal are no names of their own."""
    if len(word) < 5 or word in KINDS or word in _VOCABULARY:
        return word
    return next((known for known in _VOCABULARY if OSA.distance(word, known) == 1), word)


@lru_cache(KNOWN)
def _shortened(name: str) -> str:
    """Its words between blanks, each kind of facility as one short word."""
    words = " ".join(_corrected(word) for word in plain_words(name))
    return f" {_PHRASE.sub(lambda found: _PHRASES[found[1]], words)} "


@lru_cache(KNOWN)
def take_apart(name: str, *around: str) -> Named:
    """`around`: LGAs and states. Their words in the name, slips included, say where it is, not which one it is."""
    text = _shortened(name)
    for place in around:
        text = text.replace(f" {' '.join(plain_words(place))} ", " ")  # Warri North as one: North alone is a branch
    here = [word for place in around for word in plain_words(place)]
    kinds, own, parts = [], [], []
    for word in (_WORDS.get(word, word) for word in text.split()):
        if word in KINDS:
            kinds.append(word)
        elif word in _PARTS or _FIGURE.fullmatch(word):
            parts.append(_ROMAN.get(word, word))
        elif word not in _FILLING and not any(word == place or _is_slip(word, place) for place in here):
            own.append(word.removesuffix("s") if len(word) > 4 else word)
    return Named(tuple(sorted(kinds)), tuple(sorted(own)), tuple(sorted(parts)))


class At(NamedTuple):
    """What a facility is called, and where."""

    name: str
    lga: str
    state: str


@lru_cache(KNOWN)
def compare(one: At, other: At) -> Level:
    if plain_words(one.name) == plain_words(other.name):
        return Level.SAME
    around = sorted({one.lga, other.lga, one.state, other.state}, key=lambda place: (-len(place), place))
    named, named_too = take_apart(one.name, *around), take_apart(other.name, *around)
    if named.parts != named_too.parts:
        return Level.BRANCH
    own = _own_names(named.own, named_too.own)
    if own in (Level.DIFFERENT, Level.NAMELESS):
        return own
    if not _same_kind(named.kinds, named_too.kinds):
        return Level.KIND if named.own else Level.DIFFERENT
    return own


def _same_kind(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Also where one says less than the other: Hospital and General Hospital, Health Centre and PHC."""
    if one == other or not one or not other:
        return True
    loose = {"gh": "hospital", "cottage": "hospital", "phc": "hc", "bhc": "hc", "chc": "hc", "medical": "hospital"}
    vague = {"hospital", "hc"}
    kinds, kinds_too = set(one), set(other)
    return bool((kinds | kinds_too) & vague) and {loose.get(kind, kind) for kind in kinds} == {
        loose.get(kind, kind) for kind in kinds_too
    }


def _own_names(one: tuple[str, ...], other: tuple[str, ...]) -> Level:
    if one == other:
        return Level.VARIANT
    if not one or not other:
        return Level.NAMELESS
    together, together_too = "".join(one), "".join(other)
    if together == together_too:
        return Level.VARIANT
    if set(one) < set(other) or set(other) < set(one):
        return Level.PART
    if len(one) == len(other) and all(map(_is_slip, one, other)):
        return Level.CLOSE
    return Level.CLOSE if len(together) > 5 and _is_slip(together, together_too) else Level.DIFFERENT


def _is_slip(one: str, other: str) -> bool:
    """One letter in a word of four, two in one of nine."""
    letters = min(len(one), len(other))
    return letters > 3 and OSA.distance(one, other, score_cutoff=2) <= (2 if letters > 8 else 1)

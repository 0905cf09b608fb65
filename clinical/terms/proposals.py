"""What a word that is not on the map may mean: concepts whose spellings are alike. For a person's eyes only."""

from typing import NamedTuple

from rapidfuzz import fuzz, process

from clinical.terms import shipped
from clinical.terms.shipped import Coding, Kind

ALIKE = 75.0  # of 100
AMONG_OTHERS = 84.0  # where all of the one is in the other, which says less
SHORTEST = 4  # a shorter word inside a long one is no likeness
MOST = 4


class Proposal(NamedTuple):
    coding: Coding
    likeness: int  # of 100


def proposals(kind: Kind, key: str) -> list[Proposal]:
    """The likest first, each concept once: a slip of the pen, another order, or other words around it."""
    known = shipped.spellings(kind, shipped.newest())
    found = process.extract(key, known.keys(), scorer=fuzz.token_sort_ratio, score_cutoff=ALIKE, limit=5 * MOST)
    among = process.extract(key, known.keys(), scorer=fuzz.token_set_ratio, score_cutoff=AMONG_OTHERS, limit=5 * MOST)
    best: dict[Coding, float] = {}
    for word, likeness in [
        *((word, likeness) for word, likeness, _ in found),
        *((word, 0.9 * likeness) for word, likeness, _ in among if min(len(word), len(key)) >= SHORTEST),
    ]:
        best[known[word]] = max(likeness, best.get(known[word], 0))
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0].code))
    return [Proposal(coding, round(likeness)) for coding, likeness in ranked[:MOST]]

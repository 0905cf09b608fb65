"""What a word that is not on the map may mean: concepts whose spellings are alike. For a person's eyes only."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz, process

from clinical.terms import shipped
from clinical.terms.shipped import Coding, Kind

ALIKE = 75.0  # of 100
MOST = 4


class Proposal(NamedTuple):
    coding: Coding
    likeness: int  # of 100


def proposals(kind: Kind, key: str) -> list[Proposal]:
    """The likest first, each concept once."""
    known = shipped.spellings(kind, shipped.newest())
    best: dict[Coding, float] = {}
    for word, likeness, _ in process.extract(key, known.keys(), scorer=_alike, score_cutoff=ALIKE, limit=5 * MOST):
        best[known[word]] = max(likeness, best.get(known[word], 0))
    ranked = sorted(best.items(), key=lambda pair: (-pair[1], pair[0].code))
    return [Proposal(coding, round(likeness)) for coding, likeness in ranked[:MOST]]


def _alike(one: Sequence[Hashable], other: Sequence[Hashable], /, *, score_cutoff: float | None = None) -> float:
    """A slip of the pen, other words around it, or another order; a short word inside a long one is no likeness."""
    slip = fuzz.token_sort_ratio(one, other)
    return max(slip, 0.9 * fuzz.token_set_ratio(one, other) if min(len(one), len(other)) > 3 else slip)

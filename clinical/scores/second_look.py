"""Which visits are worth a second look: their level and their NEWS2 disagree. For an audit, not for the bedside.

The thresholds are the Royal College of Physicians' (NEWS2, 2017): 7 or more calls for an emergency assessment, 5 or 6
for an urgent one within the hour, three points of a single sign for an urgent review. That levels 1 and 2 are those
seen within minutes, and 4 and 5 those that may wait an hour or more, is common to ESI, MTS, CTAS and SATS. How the two
are put together is ours. Under-triage is told by the least that the score can be, over-triage by the most: what is
missing never makes a visit look wrong.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from clinical.scores.scoring import Score


class Kind(StrEnum):
    UNDER = "under"  # the level says less urgent than the signs
    OVER = "over"  # the level says more urgent than the signs; the complaint may well be why


@dataclass(frozen=True)
class Rule:
    """The first that fits is told. Bounds are included."""

    name: str
    kind: Kind
    levels: tuple[int, int]
    at_least: int | None = None  # of the least that the score can be
    at_most: int | None = None  # of the most that it can be
    needs_red: bool = False

    def fits(self, level: int, score: Score) -> bool:
        low, high = score.minimum or Decimal(0), score.maximum or Decimal(0)
        return (
            self.levels[0] <= level <= self.levels[1]
            and (self.at_least is None or low >= self.at_least)
            and (self.at_most is None or high <= self.at_most)
            and (not self.needs_red or bool(score.reds))
        )


# Migration 0018 has them in the view triage_second_look; a change of them is a new view.
RULES = (
    Rule("NEWS2 of 7 or more", Kind.UNDER, (3, 5), at_least=7),
    Rule("NEWS2 of 5 or 6", Kind.UNDER, (4, 5), at_least=5),
    Rule("one sign with 3 points", Kind.UNDER, (4, 5), needs_red=True),
    Rule("NEWS2 of 1 at most", Kind.OVER, (1, 2), at_most=1),
)
NOTICE = (
    "For an audit of triage after the fact; it is no advice at the bedside. A score is made of the vital signs that"
    " were written down and could be read: what is missing was not guessed. Complaint, age and pregnancy can be good"
    " reasons for another level; whether a patient is pregnant is not known here. Nobody under 16 is listed: NEWS2 is"
    " not made for them. Where a date of birth is estimated, that estimate decides whether somebody is 16. NEWS2 is"
    " that of the Royal College of Physicians (2017)."
)


def look(level: int, score: Score) -> Rule | None:
    return next((rule for rule in RULES if rule.fits(level, score)), None)

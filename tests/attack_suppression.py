"""Tries to recover what analysts are not shown, from all that they are. A command; the suite runs it small.

It has what an analyst of the nation reads of condition_analysis and triage-trends: every shown line, totals of
conditions, those of months as far as the rounding of shares lets them be known, visits of each state and month, the
publications of earlier days, and the rule itself: also that events come and none goes. Analysts of states, the role of
bi and the dashboard read the same lines or fewer, or sums of them.

python -m tests.attack_suppression --help
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tests.analytics import slow_disclosure
from tests.analytics.slow_disclosure import Counts, Hidden, Line
from tests.suppression import Edge, followed, narrowed

Visits = dict[tuple[str, date], int]
UNKNOWN = 10**9
DAYS_ROUNDS = 20
AGES = ("Infant", "Child", "Adolescent", "Adult", "Senior")


@dataclass(frozen=True)
class Published:
    """Lines with their number or None, and the totals as far as they are told; `shares` in tenths of a percent."""

    lines: dict[Line, int | None]
    totals: dict[str, int]
    shares: dict[Line, int]
    visits: Visits = field(default_factory=dict)
    unbounded: frozenset[Line] = frozenset()  # hidden for another reason than being among the smallest of their block


def published(counts: Counts, hidden: Hidden, visits: Visits) -> Published:
    months, totals = Counter(), Counter()
    for line, count in counts.items():
        totals[line[0]] += count
        months[line[4]] += count
    return Published(
        {line: None if line in hidden.lines else count for line, count in counts.items()},
        {condition: total for condition, total in totals.items() if condition not in hidden.conditions},
        {
            line: (2000 * count + months[line[4]]) // (2 * months[line[4]])
            for line, count in counts.items()
            if line not in hidden.lines and line[4] not in hidden.months
        },
        visits,
    )


def by_contract_alone(counts: Counts, _visits: Visits) -> Hidden:
    """The rule as it was: 1-7, and the next smallest where that is one line of a condition and month."""
    lines: set[Line] = set()
    for key in {(line[0], line[4]) for line in counts}:
        block = sorted((line for line in counts if (line[0], line[4]) == key), key=lambda line: (counts[line], line))
        small = sum(counts[line] <= 7 for line in block)
        lines |= {*block[: 2 if small == 1 else small]}
    return Hidden(lines, set(), set())


# --- The attack


def attack(of: Published, *, with_trends: bool = False) -> dict[Line, tuple[int, int]]:
    """The least and most that each hidden line can be."""
    withheld = [line for line, number in of.lines.items() if number is None]
    least_shown = _least_shown(of)
    bounds = {
        line: (1, UNKNOWN if line in of.unbounded else least_shown.get((line[0], line[4]), UNKNOWN))
        for line in withheld
    }
    sums = _total_sums(of) + (_trend_sums(of) if with_trends else [])
    return narrowed(bounds, [one for one in sums if one[0]])


def _total_sums(of: Published) -> list[tuple[list[Line], int, int]]:
    sums = []
    by_condition, by_month = _sums(of, 0), _sums(of, 4)
    for condition, total in of.totals.items():
        shown, members = by_condition[condition]
        sums.append((members, total - shown, total - shown))
    for month in {line[4] for line in of.shares}:
        least, most = _month_total(of, month)
        shown, members = by_month[month]
        sums.append((members, least - shown, most - shown))
    return sums


def _least_shown(of: Published) -> dict[tuple[str, date], int]:
    found: dict[tuple[str, date], int] = {}
    for line, number in of.lines.items():
        if number is not None:
            key = line[0], line[4]
            found[key] = min(number, found.get(key, UNKNOWN))
    return found


def _sums(of: Published, *at: int) -> dict[Any, tuple[int, list[Line]]]:
    """What is shown and which lines are hidden, by these parts of a line."""
    found: dict[Any, tuple[int, list[Line]]] = {}
    for line, number in of.lines.items():
        key = line[at[0]] if len(at) == 1 else tuple(line[n] for n in at)
        shown, members = found.setdefault(key, (0, []))
        found[key] = (shown + (number or 0), members if number is not None else [*members, line])
    return found


def _month_total(of: Published, month: date) -> tuple[int, int]:
    """Whole numbers of which every shown line of the month is the share that is told, to its rounding."""
    least, most = 0, UNKNOWN
    for line, tenths in of.shares.items():
        if line[4] == month:
            part = 2000 * of.lines[line]  # of a share in twentieths of a percent
            least = max(least, -(-part // (2 * tenths + 1)))
            most = min(most, part // (2 * tenths - 1) if tenths else UNKNOWN)
    return least, most


def _trend_sums(of: Published) -> list[tuple[list[Line], int, int]]:
    parts = _sums(of, 0, 1, 4)
    return [(lines, 0, of.visits[key[1], key[2]] - shown) for key, (shown, lines) in parts.items()]


def attack_days(days: list[Published]) -> dict[tuple[int, Line], tuple[int, int]]:
    """The same of the figures of several days, the earliest first, each taken with what the others bound."""
    lines = sorted({line for day in days for line in day.lines})
    found = [attack(day) for day in days]
    for _ in range(DAYS_ROUNDS):
        before = [dict(day) for day in found]
        for line in lines:
            _only_grows(line, days, found)
        found = [_closer(day, bounds) for day, bounds in zip(days, found, strict=True)]
        if found == before:
            break
    return {(n, line): bounds for n, day in enumerate(found) for line, bounds in day.items()}


def _only_grows(line: Line, days: list[Published], found: list[dict[Line, tuple[int, int]]]) -> None:
    least = 0
    for day, bounds in zip(days, found, strict=True):
        low, high = _bounds(line, day, bounds)
        least = max(least, low)
        if line in bounds:
            bounds[line] = least, high
    most = UNKNOWN
    for day, bounds in zip(reversed(days), reversed(found), strict=True):
        low, high = _bounds(line, day, bounds)
        most = min(most, high)
        if line in bounds:
            bounds[line] = low, most


def _bounds(line: Line, day: Published, bounds: dict[Line, tuple[int, int]]) -> tuple[int, int]:
    number = day.lines.get(line, 0)
    return bounds[line] if number is None else (number, number)


def _closer(of: Published, bounds: dict[Line, tuple[int, int]]) -> dict[Line, tuple[int, int]]:
    found: dict[Line, tuple[int, int]] = narrowed(bounds, [one for one in _total_sums(of) if one[0]])
    return found


def as_published_before(of: Published, _today: Published) -> Published:
    """As publications were told once: with their totals and shares, whatever is hidden today."""
    return of


def as_published(of: Published, today: Published) -> Published:
    """Without sums, and without the lines that are hidden today (migration 0012)."""
    hidden = frozenset(line for line, number in today.lines.items() if number is None)
    return Published({line: None if line in hidden else n for line, n in of.lines.items()}, {}, {}, of.visits, hidden)


# --- How it went


@dataclass
class Outcome:
    """Of one or more countries: hidden lines, and those that were recovered, by which way."""

    hidden: int = 0
    by_bounds: int = 0
    by_network: int = 0
    by_trends_alone: int = 0
    widths: list[int] = field(default_factory=list)


def outcome(counts: Counts, rule: Callable[[Counts, Visits], Hidden], visits: Visits) -> Outcome:
    hidden = rule(counts, visits)
    of = published(counts, hidden, visits)
    found = attack(of)
    exact = {line for line, (low, high) in found.items() if low == high == counts[line]}
    trends = {line for line, (low, high) in attack(of, with_trends=True).items() if low == high == counts[line]}
    return Outcome(
        len(hidden.lines),
        len(exact),
        len(by_network(counts, hidden)),
        len(trends - exact),
        [high - low + 1 for low, high in found.values()],
    )


def by_network(counts: Counts, hidden: Hidden) -> set:
    """Lines that follow from the totals, were those of all shown months known to the unit."""
    least_shown = _least_shown(Published({x: None if x in hidden.lines else n for x, n in counts.items()}, {}, {}))
    edges = [
        Edge(line[0], line[4], counts[line], 1, max(counts[line], least_shown.get((line[0], line[4]), UNKNOWN)), line)
        for line in sorted(hidden.lines)
    ]
    return followed(edges, hidden.conditions, hidden.months)


def country(chance: random.Random) -> tuple[Counts, Visits]:
    """A few conditions of very different frequency in a few states and months; each visit has one condition or two."""
    states = ["KANO", "LAGOS", "OYO", "BORNO"][: chance.randint(1, 4)]
    months = [date(2026, 1 + n, 1) for n in range(chance.randint(1, 5))]
    counts: Counts = {}
    visits: Counter = Counter()
    for condition in "ABCDEF"[: chance.randint(1, 6)]:
        mean = chance.choice((0.3, 1, 3, 8, 20, 60))
        for state in states:
            for month in months:
                for age in AGES[: chance.randint(1, 3)]:
                    for sex in ("F", "M"):
                        count = int(chance.expovariate(1 / mean))
                        if count:
                            counts[condition, state, age, sex, month] = count
    for line, count in counts.items():
        visits[line[1], line[4]] += count
    return counts, {place: max(1, n if chance.random() < 0.7 else -(-n // 2)) for place, n in visits.items()} | {
        place: n for place, n in visits.items() if n < 50
    }


def many(countries: int, seed: int, rule: Callable[[Counts, Visits], Hidden]) -> Outcome:
    whole = Outcome()
    for n in range(countries):
        counts, visits = country(random.Random(f"{seed}-{n}"))
        one = outcome(counts, rule, visits)
        whole.hidden += one.hidden
        whole.by_bounds += one.by_bounds
        whole.by_network += one.by_network
        whole.by_trends_alone += one.by_trends_alone
        whole.widths += one.widths
    return whole


def later(counts: Counts, chance: random.Random) -> Counts:
    """The same country a day on: a few lines have grown, and a few are new."""
    found = dict(counts)
    for line in counts:
        if chance.random() < 0.1:
            found[line] += chance.choice((1, 1, 2, 5))
        if chance.random() < 0.05:
            found.setdefault((*line[:2], chance.choice(AGES), chance.choice("FM"), line[4]), chance.choice((1, 2, 8)))
    return found


def days_recovered(countries: int, seed: int, told: Callable[[Published, Published], Published]) -> tuple[int, int]:
    """Small lines of two publications and of today, and those that the three together give away.

    A larger one that was hidden to protect them protects nothing where no sum is told, and may follow from other days.
    """
    hidden = recovered = 0
    for n in range(countries):
        chance = random.Random(f"{seed}-days-{n}")
        counts, visits = country(chance)
        truth = [counts]
        truth += [later(truth[-1], chance)]
        truth += [later(truth[-1], chance)]
        days = []
        for one in truth:
            room = {place: UNKNOWN for line in one for place in [(line[1], line[4])]}
            days.append(published(one, slow_disclosure.hidden(one, room), visits))
        days = [*(told(day, days[-1]) for day in days[:-1]), days[-1]]
        found = attack_days(days)
        small = {at: bounds for at, bounds in found.items() if truth[at[0]][at[1]] <= 7}
        assert all(low <= truth[n][line] <= high for (n, line), (low, high) in found.items())
        hidden += len(small)
        recovered += sum(low == high for low, high in small.values())
    return hidden, recovered


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--countries", type=int, default=300, help="how many are invented")
    parser.add_argument("--seed", type=int, default=1, help="of what is invented")
    options = parser.parse_args()
    rules = {"the contract's rule alone": by_contract_alone, "the rule of analytics/disclosure": slow_disclosure.hidden}
    for name, rule in rules.items():
        found = many(options.countries, options.seed, rule)
        print(f"{name}: {found.hidden:,} hidden lines in {options.countries} countries")
        print(f"  recovered by sums and bounds {found.by_bounds:,}, by the whole network {found.by_network:,}")
        print(f"  told by triage-trends alone, which the contract shows, {found.by_trends_alone:,}")
        narrow = Counter(min(width, 8) for width in found.widths)
        print(
            "  possible numbers of a line: " + ", ".join(f"{w}: {narrow[w]:,}" for w in range(1, 8)) + ", 8 or more: "
            f"{narrow[8]:,}"
        )
    for name, told in (("as they were", as_published_before), ("as they are", as_published)):
        hidden, recovered = days_recovered(options.countries, options.seed, told)
        print(f"two publications {name}, and today: {recovered:,} of {hidden:,} small lines recovered")


if __name__ == "__main__":
    main()

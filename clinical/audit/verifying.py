"""Whether all that was sealed is still there as it was, and nothing among it that was not."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from django.db import connection, transaction

from clinical.audit import partitions
from clinical.audit.deeds import unhurried
from clinical.audit.seals import (
    DIGEST,
    EVENTS,
    NEVER,
    REVISIONS,
    WHENEVER,
    Era,
    Stretch,
    eras,
    head,
    now,
    read_alike,
    stretches,
)
from clinical.models import AuditSeal
from clinical.months import next_month

CHAIN = f"""
SELECT id, "table", before = should_be, digest = {DIGEST}
FROM (SELECT *, lag(digest, 1, ''::bytea) OVER (ORDER BY id) AS should_be FROM audit_seals) seals
WHERE before <> should_be OR digest <> {DIGEST} ORDER BY id
"""  # noqa: S608  our own
FORGED = "SELECT range_agg(int8range(id, id, '[]'))::text, count(*) FROM {table} WHERE xid >= %s"
SHOWN = 300  # characters of a set of ids


@dataclass(frozen=True)
class Wrong:
    """One thing that is not as it was sealed."""

    table: str
    what: str
    seal_id: int | None = None
    month: date | None = None
    ids: str = ""

    def __str__(self) -> str:
        where = f"seal {self.seal_id}, " if self.seal_id else ""
        when = f" of {self.month:%Y-%m}" if self.month else ""
        return f"{where}{self.table}{when}: {self.what}{' ' if self.ids else ''}{self.ids}"


@dataclass
class Verdict:
    """What was looked at, and all that differs."""

    seals: int
    rows: int
    head: str
    wrong: list[Wrong]


@transaction.atomic
def verify(known_head: str = "", tell: Callable[[str, int], None] = lambda _what, _rows: None) -> Verdict:
    """`known_head`: a digest that was exported once and must be one of the chain's. `tell` hears of each stretch."""
    rows = 0

    def counted(what: str, more: int) -> None:
        nonlocal rows
        rows += more
        tell(what, more)

    with unhurried():
        read_alike()
        wrong = [*_chain(known_head)]
        for table in (EVENTS, REVISIONS):
            wrong += _forged(table)
            for era in eras(table):
                wrong += _era(table, era, counted)
    return Verdict(AuditSeal.objects.count(), rows, head(), wrong)


def _chain(known_head: str) -> Iterator[Wrong]:
    with connection.cursor() as cursor:
        cursor.execute(CHAIN)
        for pk, table, follows, is_itself in cursor.fetchall():
            if not follows:
                yield Wrong(table, "does not follow the seal before it: one is missing or was written anew", pk)
            if not is_itself:
                yield Wrong(table, "the seal itself was changed", pk)
    if known_head and not AuditSeal.objects.filter(digest=bytes.fromhex(known_head)).exists():
        yield Wrong("audit_seals", "the head that was exported is not in the chain: it was cut or written anew")


def _forged(table: str) -> Iterator[Wrong]:
    """Lines of transactions that have not been yet: no seal would ever cover them."""
    cluster, _, following = now()
    known = eras(table)
    if known and known[-1].cluster == cluster:
        with connection.cursor() as cursor:
            cursor.execute(FORGED.format(table=table) + " AND id > %s", [following, known[-1].above])
            ids, count = cursor.fetchone()
        if count:
            yield Wrong(table, f"{count} lines of transactions that have not been yet:", ids=_short(ids))


def _era(table: str, era: Era, tell: Callable[[str, int], None]) -> Iterator[Wrong]:
    sealed = {(seal.month, seal.from_xid): seal for seal in AuditSeal.objects.filter(table=table, above_id=era.above)}
    horizons = sorted({0, era.horizon, *(start for _, start in sealed)})
    is_over = era.until != NEVER
    for begins, ends in _spans(table):
        found = {(one.month, one.start): one for one in stretches(table, era, horizons, span=(begins, ends))}
        tell(f"{table} {begins[:7]}", sum(one.rows for one in found.values()))
        for place in [place for place in sealed if begins <= place[0].isoformat() < ends]:
            yield from _compare(sealed.pop(place), found.pop(place, None))
        for one in found.values():
            if is_over or one.start < era.horizon:
                yield Wrong(table, f"{one.rows} lines were put among sealed ones:", None, one.month, _short(one.ids))
    for seal in sealed.values():
        yield from _compare(seal, None)


def _spans(table: str) -> list[tuple[str, str]]:
    """Month by month, as the partitions are: what is sorted at once is bounded."""
    if table != EVENTS:
        return [WHENEVER]
    months = [month for _, month in partitions.months()]
    ends = sorted({*months, *map(next_month, months)})
    bounds = ["-infinity", *(day.isoformat() for day in ends), "infinity"]
    return [*pairwise(bounds)]


def _compare(seal: AuditSeal, found: Stretch | None) -> Iterator[Wrong]:
    if found is None:
        if seal.month >= partitions.first_kept():
            yield Wrong(seal.table, f"all {seal.rows} lines are missing:", seal.pk, seal.month, _short(seal.ids))
        return
    missing, inserted = _difference(seal.ids, found.ids), _difference(found.ids, seal.ids)
    if missing != "{}":
        yield Wrong(seal.table, "lines are missing:", seal.pk, seal.month, _short(missing))
    if inserted != "{}":
        yield Wrong(seal.table, "lines were put among sealed ones:", seal.pk, seal.month, _short(inserted))
    if (missing, inserted) == ("{}", "{}") and bytes(seal.content) != found.content:
        yield Wrong(seal.table, "lines were changed, among", seal.pk, seal.month, _short(seal.ids))


def _difference(ids: str, others: str) -> str:
    if ids == others:
        return "{}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT (%s::int8multirange - %s::int8multirange)::text", [ids, others])
        text: str = cursor.fetchone()[0]
    return text


def _short(ids: str) -> str:
    return ids if len(ids) <= SHOWN else f"{ids[:SHOWN]}…"

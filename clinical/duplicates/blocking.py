"""Which pairs are worth a look: those that share a key, found by PostgreSQL in temporary tables of one transaction.

However rows look, the pairs stay bounded: in a block of more than CAP rows each is compared with its NEIGHBOURS only,
in the order in which namesakes (by birthday) or birthdays (by name) come to stand side by side.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, NamedTuple

from django.db import connection

CAP = 100
NEIGHBOURS = 10
ALIKE = 0.2  # of pg_trgm, on the whole name: below it even a shared phone makes no duplicate


class Keyed(NamedTuple):
    """One row and what it may be found by: (kind of key, key, order within a block that is too large)."""

    id: int
    group: int  # only rows of one group are compared
    is_changed: bool
    name: str
    keys: Sequence[tuple[str, str, str]]


@dataclass
class Blocked:
    """What a search has looked at so far; adds up over its parts."""

    blocked: int = 0
    compared: int = 0
    capped: Counter[str] = field(default_factory=Counter)


TABLES = """
CREATE TEMPORARY TABLE duplicate_rows (id bigint, is_changed boolean, name text COLLATE "C") ON COMMIT DROP;
CREATE TEMPORARY TABLE duplicate_keys (id bigint, kind text, key text, place text COLLATE "C", "group" bigint)
ON COMMIT DROP;
"""
BLOCKS = """
CREATE TEMPORARY TABLE duplicate_blocks ON COMMIT DROP AS
SELECT * FROM (
    SELECT id, kind, block, count(*) OVER same AS size, row_number() OVER (same ORDER BY place, id) AS place
    FROM (SELECT id, kind, place, hashtextextended(kind || ':' || key, "group") AS block FROM duplicate_keys) AS keys
    WINDOW same AS (PARTITION BY block)
) AS blocks WHERE size > 1;
ANALYZE duplicate_blocks;
ANALYZE duplicate_rows;
"""
CAPPED = "SELECT kind, count(DISTINCT block) FROM duplicate_blocks WHERE size > %s GROUP BY kind"
# First the pairs, once each, then the names: similarity is dearer than to sort them.
PAIRS = """
WITH pairs AS MATERIALIZED (
    SELECT DISTINCT least(one.id, other.id) AS low, greatest(one.id, other.id) AS high
    FROM duplicate_blocks one
    JOIN duplicate_blocks other ON other.block = one.block AND other.place > one.place
    WHERE one.id <> other.id AND (one.size <= %(cap)s OR other.place <= one.place + %(neighbours)s)
), alike AS MATERIALIZED (
    SELECT low, high, similarity(one.name, other.name) >= %(alike)s AS is_alike
    FROM pairs
    JOIN duplicate_rows one ON one.id = low
    JOIN duplicate_rows other ON other.id = high
    WHERE one.is_changed OR other.is_changed
)
SELECT low, high FROM alike WHERE is_alike
UNION ALL SELECT NULL, (SELECT count(*) FROM alike)
"""


def pairs(rows: Iterable[Keyed], so_far: Blocked) -> list[tuple[int, int]]:
    """The pairs (lower id first) of which a side has changed. Needs a transaction: the tables end with it."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES)
        _copy(cursor, rows)
        cursor.execute(BLOCKS)
        cursor.execute(CAPPED, [CAP])
        so_far.capped.update(dict(cursor.fetchall()))
        cursor.execute(PAIRS, {"cap": CAP, "neighbours": NEIGHBOURS, "alike": ALIKE})
        found = cursor.fetchall()
        cursor.execute("DROP TABLE duplicate_rows, duplicate_keys, duplicate_blocks")
    (_, count) = found.pop()
    so_far.blocked += count
    so_far.compared += len(found)
    return found


def _copy(cursor: Any, rows: Iterable[Keyed]) -> None:
    """Keys and names are in plain letters and figures by now: no tab or backslash is left in them."""
    lines, keys = StringIO(), StringIO()
    for row in rows:
        lines.write(f"{row.id}\t{row.is_changed}\t{row.name}\n")
        for kind, key, place in row.keys:
            keys.write(f"{row.id}\t{kind}\t{key}\t{place}\t{row.group}\n")
    for table, text in (("duplicate_rows", lines), ("duplicate_keys", keys)):
        text.seek(0)
        cursor.copy_expert(f"COPY {table} FROM STDIN", text)

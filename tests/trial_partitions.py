"""Whether a table of events could be partitioned: python -m tests.trial_partitions --help

Three layouts of triage_visits with its real columns and indexes, in a throw-away server: `flat`, as it is; `hashed` by
facility, whose unique keys and primary key have to name the facility; `monthly` by the day of the visit, with a table
beside it that keeps which month an identity is in, since (facility, visit_id) is unique over all months. Nights come
in one after the other; each brings visits anew, some unchanged, and some whose date was corrected to another month.
"""

import argparse
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from django.db import connection

from tests import own_database

COLUMNS = """id, patient_id, facility_id, triage_level, chief_complaint, vital_signs, conditions, recommendations,
visited_at, visit_id, fingerprint, ordinal"""
FIRST = "date '2024-01-01'"
HASHES = 16
TABLES = """
DROP SCHEMA IF EXISTS trial CASCADE;
CREATE SCHEMA trial;
SET search_path = trial, public;
CREATE TABLE flat (LIKE public.triage_visits INCLUDING DEFAULTS INCLUDING GENERATED);
CREATE TABLE hashed (LIKE public.triage_visits INCLUDING DEFAULTS INCLUDING GENERATED) PARTITION BY HASH (facility_id);
CREATE TABLE monthly (LIKE public.triage_visits INCLUDING DEFAULTS) PARTITION BY RANGE (event_on);
"""
IDENTITIES = """
CREATE TABLE identities (facility_id bigint, visit_id text, id bigint NOT NULL, event_on date NOT NULL,
                         PRIMARY KEY (facility_id, visit_id));
CREATE INDEX ON identities (id);
"""
INDEXES = """
ALTER TABLE {table} ADD PRIMARY KEY (id{tail});
CREATE UNIQUE INDEX ON {table} (patient_id, event_on, fingerprint, ordinal, visit_id{facility}) NULLS NOT DISTINCT;
CREATE INDEX ON {table} (facility_id, id);
CREATE INDEX ON {table} (updated_at, id);
CREATE INDEX ON {table} (id) WHERE deleted_at IS NOT NULL;
CREATE INDEX ON {table} (deleted_by_id) WHERE deleted_by_id IS NOT NULL;
CREATE INDEX ON {table} USING brin (batch_id) WITH (pages_per_range = 32, autosummarize = true);
CREATE INDEX ON {table} USING brin (visited_at) WITH (pages_per_range = 32, autosummarize = true);
"""
BY_SOURCE = "CREATE UNIQUE INDEX ON {table} (facility_id, visit_id) WHERE visit_id IS NOT NULL;"
# One night: `is_old` are visits of an earlier night, sent again; of these a third has another date.
NIGHT = f"""
TRUNCATE night;
INSERT INTO night
SELECT n, 1 + n * 7919 % %(patients)s, 1 + n * 7919 % %(patients)s % %(facilities)s, 1 + n % 5,
       'Cough for ' || n % 14 || ' days', 'BP: 120/80, T37.2 P 88', ARRAY['Malaria', 'Anaemia'], ARRAY['Rest'],
       {FIRST} + (n / %(rows)s)::int + interval '9 hours'
           + CASE WHEN n <= %(seen)s AND n % 3 = 0 THEN interval '40 days' ELSE interval '0' END,
       'v' || n, md5('a' || n || CASE WHEN n <= %(seen)s AND n % 3 = 0 THEN 'moved' ELSE '' END)::uuid, 1
FROM (SELECT generate_series(%(seen)s + 1::bigint, %(seen)s + %(new)s) AS n
      UNION ALL SELECT generate_series(greatest(1::bigint, %(seen)s - %(again)s + 1), %(seen)s)) AS numbers
""".replace("% ", "%% ").replace("%%(", "%(")
SET = """triage_level = excluded.triage_level, visited_at = excluded.visited_at, fingerprint = excluded.fingerprint,
updated_at = now()"""
UPSERT = f"""
INSERT INTO {{table}} AS e ({COLUMNS}) SELECT {COLUMNS} FROM night
ON CONFLICT (facility_id, visit_id) WHERE visit_id IS NOT NULL DO UPDATE SET {SET}
WHERE e.fingerprint <> excluded.fingerprint
"""  # our own names, here and below
# The identity decides which rows are new; those that moved are updated by where they were, and change their partition.
MONTHLY = f"""
WITH known AS (
    SELECT n.*, i.id AS known_id, i.event_on AS was, (n.visited_at AT TIME ZONE 'Africa/Lagos')::date AS on_day
    FROM night n LEFT JOIN identities i USING (facility_id, visit_id)
), moved AS (
    UPDATE monthly e SET visited_at = k.visited_at, event_on = k.on_day, fingerprint = k.fingerprint, updated_at = now()
    FROM known k WHERE e.id = k.known_id AND e.event_on = k.was AND e.fingerprint <> k.fingerprint
    RETURNING e.facility_id, e.visit_id, e.event_on
), identified AS (
    UPDATE identities i SET event_on = m.event_on FROM moved m
    WHERE i.facility_id = m.facility_id AND i.visit_id = m.visit_id AND i.event_on <> m.event_on
), new AS (
    INSERT INTO monthly ({COLUMNS}, event_on) SELECT {COLUMNS}, on_day FROM known WHERE known_id IS NULL
    RETURNING facility_id, visit_id, id, event_on
)
INSERT INTO identities SELECT * FROM new
"""
QUERIES = {
    "by id": "SELECT * FROM {table} WHERE id = %(id)s",
    "by id, month known": "SELECT * FROM {table} WHERE id = %(id)s AND event_on = %(day)s",
    "by id and facility": "SELECT * FROM {table} WHERE id = %(id)s AND facility_id = %(facility)s",
    "a patient's": "SELECT * FROM {table} WHERE patient_id = %(patient)s ORDER BY event_on DESC LIMIT 50",
    "page of a facility": "SELECT * FROM {table} WHERE facility_id = %(facility)s ORDER BY id DESC LIMIT 50",
    "facility, one week": "SELECT count(*) FROM {table} WHERE facility_id = %(facility)s"
    " AND event_on BETWEEN %(day)s AND %(day)s + 6",
    "changed since, 1,000": "SELECT id FROM {table} ORDER BY updated_at, id LIMIT 1000",
}
SCANS = {
    "mart: days and levels, all": "SELECT event_on, triage_level, count(*) FROM {table} GROUP BY 1, 2",
    "mart: the last month alone": "SELECT event_on, triage_level, count(*) FROM {table}"
    " WHERE event_on >= %(last)s GROUP BY 1, 2",
}
SIZES = """
SELECT sum(pg_table_size(parts.relid))::bigint, sum(pg_indexes_size(parts.relid))::bigint
FROM (SELECT %s::regclass AS relid) AS whole, LATERAL (
    SELECT whole.relid UNION SELECT tree.relid FROM pg_partition_tree(whole.relid) AS tree) AS parts
"""
LAYOUTS = ("flat", "hashed", "monthly")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=1_000_000, help="of all nights together (1,000,000)")
    parser.add_argument("--nights", type=int, default=10, help="in which they come (10)")
    parser.add_argument("--months", type=int, default=24, help="over which they are spread (24)")
    parser.add_argument("--facilities", type=int, default=500)
    options = parser.parse_args()
    own_database.provide()
    run(TABLES)
    make_partitions(options.months + 3)
    told = {layout: measured(layout, options) for layout in LAYOUTS}
    print(f"\n{options.visits:,} visits of {options.months} months in {options.nights} nights")
    print(f"{'':34}" + "".join(f"{layout:>12}" for layout in LAYOUTS))
    for what in told["flat"]:
        print(f"{what:34}" + "".join(f"{told[layout].get(what, ''):>12}" for layout in LAYOUTS))


def run(sql: str, given: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return list(cursor.fetchall()) if cursor.description else []


def make_partitions(months: int) -> None:
    for n in range(HASHES):
        run(f"CREATE TABLE hashed_{n} PARTITION OF hashed FOR VALUES WITH (MODULUS {HASHES}, REMAINDER {n})")
    for n in range(months):
        since, until = (f"({FIRST} + interval '{number} months')" for number in (n, n + 1))
        run(f"CREATE TABLE monthly_{n} PARTITION OF monthly FOR VALUES FROM ({since}) TO ({until})")
    run(INDEXES.format(table="flat", tail="", facility="") + BY_SOURCE.format(table="flat"))
    run(
        INDEXES.format(table="hashed", tail=", facility_id", facility=", facility_id")
        + BY_SOURCE.format(table="hashed")
    )
    run(INDEXES.format(table="monthly", tail=", event_on", facility="") + IDENTITIES)
    run(f"CREATE TABLE night AS SELECT {COLUMNS} FROM flat")


def measured(layout: str, options: argparse.Namespace) -> dict[str, str]:
    told, tables = {}, ("monthly", "identities") if layout == "monthly" else (layout,)
    upsert = MONTHLY if layout == "monthly" else UPSERT.format(table=layout)
    size, days = options.visits // options.nights, options.months * 30
    seen, seconds = 0, []
    for _ in range(options.nights):
        given = {"seen": seen, "new": size, "again": size // 5, "patients": options.visits // 3}
        run(NIGHT, given | {"facilities": options.facilities, "rows": max(1, options.visits // days)})
        run("ANALYZE night")
        seconds.append(taken(lambda: run(upsert)))
        seen += size
    rows = run(f"SELECT count(*) FROM {layout}")[0][0]
    assert rows == size * options.nights, rows
    run(f"VACUUM ANALYZE {', '.join(tables)}")
    told["rows/s, first night"] = f"{size / seconds[0]:,.0f}"
    told["rows/s, last night"] = f"{size * 1.2 / seconds[-1]:,.0f}"
    heap, indexes = (sum(sizes) for sizes in zip(*map(sizes_of, tables), strict=True))
    told["table, bytes a row"], told["indexes, bytes a row"] = f"{heap / rows:,.0f}", f"{indexes / rows:,.0f}"
    chance = random.Random(1)
    for what, query in QUERIES.items():
        times = []
        for _ in range(200):
            n = chance.randrange(1, rows)
            patient = 1 + n * 7919 % (options.visits // 3)
            day = run(f"SELECT {FIRST} + %s", [n // max(1, options.visits // days)])[0][0]
            given = {"id": n, "patient": patient, "facility": 1 + n * 7919 % (options.visits // 3) % options.facilities}
            times.append(taken(lambda q=query, g=given | {"day": day}: run(q.format(table=layout), g)))
        told[f"{what}, ms"] = f"{median(times) * 1000:.2f}"
    last = run(f"SELECT {FIRST} + %s", [days - 30])[0][0]
    for what, query in SCANS.items():
        times = [taken(lambda q=query: run(q.format(table=layout), {"last": last})) for _ in range(3)]
        told[f"{what}, s"] = f"{median(times):.2f}"
    told["oldest month away, s"] = f"{taken(lambda: forget_oldest(layout)):.2f}"
    return told


def sizes_of(table: str) -> tuple[int, int]:
    """Of it and its indexes, with all partitions."""
    return run(SIZES, [f"trial.{table}"])[0]


def forget_oldest(layout: str) -> None:
    if layout == "monthly":
        run("DELETE FROM identities WHERE event_on < %s", [run(f"SELECT ({FIRST} + interval '1 month')::date")[0][0]])
        run("DROP TABLE monthly_0")
        return
    run(f"DELETE FROM {layout} WHERE event_on < ({FIRST} + interval '1 month')::date")
    run(f"VACUUM {layout}")


def taken(deed: Callable[[], object]) -> float:
    started = time.monotonic()
    deed()
    return time.monotonic() - started


if __name__ == "__main__":
    main()

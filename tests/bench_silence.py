"""What judging one night costs. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_silence --help
"""

import argparse
import time

from django.db import connection, transaction

from tests import own_database

# session_replication_role: no trigger and no foreign key is asked; the rows are right by the way they are made.
INVENT = """
SET LOCAL session_replication_role = replica;
INSERT INTO facilities (name, state, lga, lga_name)
SELECT 'Facility ' || n, (ARRAY['LAGOS', 'KANO', 'FCT', 'OYO', 'EDO'])[1 + n %% 5], '', ''
FROM generate_series(1, %(facilities)s) AS n;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob)
SELECT n, 'Ngozi', 'Okafor', 'F', date '1990-01-01' FROM generate_series(1, %(facilities)s) AS n;
INSERT INTO ingest_batches (kind, bucket, object_key, etag, last_modified, size, older_versions, folder, source,
    dataset, business_date, sha256, status, reasons, warnings, evidence, rows_read, inserted, updated, unchanged,
    collapsed, rejected, blank, attempts, started_at, settled_why)
SELECT 'nightly', 'b', source || day, '', now(), 0, '{}', '', source, 'triage_visits', day, md5(source || day),
    'archived', '{}', '{}', '{}', 1, 1, 0, 0, 0, 0, 0, 1, day + interval '1 day', ''
FROM (SELECT 'state ' || n || '/triage_visits-*.csv' AS source, current_date - back AS day
      FROM generate_series(1, %(sources)s) AS n, generate_series(1, %(days)s) AS back) AS files;
"""
VISITS = """
SET LOCAL session_replication_role = replica;
INSERT INTO triage_visits (patient_id, facility_id, triage_level, visited_at, fingerprint, batch_id, created_at,
    updated_at, conditions, recommendations)
SELECT p.id, p.id, 3, b.business_date, gen_random_uuid(), b.id, b.started_at + interval '1 hour',
    b.started_at + interval '1 hour', '{}', '{}'
FROM ingest_batches b
JOIN patients p ON b.source = 'state ' || 1 + p.id %% %(sources)s || '/triage_visits-*.csv'
CROSS JOIN LATERAL generate_series(0, (%(events)s * (0.4 + 1.2 * random()) + 0 * (p.id + b.id))::integer) AS n
"""


def main() -> None:
    options = parse()
    own_database.provide()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INVENT, vars(options))
        cursor.execute(VISITS, vars(options))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        cursor.execute("SELECT count(*) FROM triage_visits")
        (events,) = cursor.fetchone()
    print(f"{options.facilities:,} facilities, {options.days} days, {events:,} events")
    report()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--facilities", type=int, default=2_000, help="how many there are")
    parser.add_argument("--sources", type=int, default=37, help="files that bring them each night")
    parser.add_argument("--days", type=int, default=60, help="of history")
    parser.add_argument("--events", type=float, default=7.3, help="of a facility and day")
    return parser.parse_args()


def report() -> None:
    from analytics.facility_signals import BatchShare  # after django.setup()
    from analytics.silence import facts, watch

    day = watch.yesterday()
    seconds("the first night, which counts all events", lambda: watch.watch(day))
    BatchShare.objects.filter(batch__business_date=day).delete()
    seconds("each later night, which counts those of a day", lambda: watch.watch(day))
    seconds("of that, reading what is counted already", lambda: facts.read(day))


def seconds(what: str, work) -> None:
    begun = time.perf_counter()
    work()
    print(f"{what:<50}{time.perf_counter() - begun:>7.2f} s")


if __name__ == "__main__":
    main()

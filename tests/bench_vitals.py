"""What it costs to read the vital signs of many visits, and to look whether there are any. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_vitals --help
"""

import argparse
import resource
import time

from django.db import connection, transaction

from tests import own_database
from tests.bench_marts import INVENT

VISITS = """
SET LOCAL session_replication_role = replica;
INSERT INTO triage_visits (patient_id, facility_id, triage_level, conditions, recommendations, vital_signs, visited_at,
    fingerprint)
SELECT p.id, p.facility_id, 1 + n %% 5, '{}', '{}',
       format('BP: %%s/%%s, HR: %%s, RR: %%s, Temp: %%s, SpO2: %%s', 85 + n %% 97, 45 + n %% 41, 48 + n %% 91,
              10 + n %% 21, ((351 + n %% 47) / 10.0)::numeric(4, 1), 88 + n %% 13),
       now() - random() * interval '3 years', gen_random_uuid()
FROM (SELECT n, 1 + floor(random() * %(patients)s)::bigint AS id FROM generate_series(1, %(visits)s) AS n) AS chosen
JOIN patients p USING (id)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--facilities", type=int, default=300, help="how many there are")
    parser.add_argument("--patients", type=int, default=100_000, help="how many there are")
    parser.add_argument("--visits", type=int, default=1_000_000, help="how many there are, each with six vital signs")
    options = parser.parse_args()
    own_database.provide()
    from clinical import vital_readings
    from clinical.models import SecondLook

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INVENT, vars(options))
        cursor.execute(VISITS, vars(options))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    before = _memory()
    seconds, done = _timed(vital_readings.read_due)
    told = f"{done.visits:,} visits, {done.values:,} values, {done.scores:,} scores"
    print(f"read: {told} in {seconds:.1f} s; {_memory() - before:.0f} MB more than before")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        for table in ("triage_visits", "vital_readings", "vital_signs", "visit_scores"):
            cursor.execute("SELECT pg_total_relation_size(%s) / 1048576", [table])
            print(f"    {table}: {cursor.fetchone()[0]} MB")
    print(f"nothing due: {_timed(vital_readings.read_due)[0]:.2f} s")
    seconds, rows = _timed(SecondLook.objects.count)
    print(f"second look: {rows:,} visits counted in {seconds:.2f} s")
    print(f"its first page: {_timed(lambda: [*SecondLook.objects.all()[:50]])[0]:.2f} s")


def _timed(do):
    began = time.perf_counter()
    answer = do()
    return time.perf_counter() - began, answer


def _memory() -> float:
    """The most that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

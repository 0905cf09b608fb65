"""What refreshing the marts costs, against making plain tables of the same queries. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_marts --help
"""

import argparse
import time
from contextlib import contextmanager
from statistics import median

from django.db import connection, transaction

from tests import own_database

# session_replication_role: no trigger and no foreign key is asked; the rows are right by the way they are made.
INVENT = """
SET LOCAL session_replication_role = replica;
SELECT setseed(0.42);
INSERT INTO facilities (name, state, lga, lga_name, type)
SELECT 'Facility ' || n, (ARRAY['LAGOS', 'KANO', 'FCT', 'OYO', 'EDO', 'RIVERS', 'KADUNA', 'ENUGU'])[1 + n %% 8],
       'LGA ' || n %% 40, 'LGA ' || n %% 40, (ARRAY['Hospital', 'Clinic', 'PHC', 'Pharmacy', NULL])[1 + n %% 5]
FROM generate_series(1, %(facilities)s) AS n;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, phone)
SELECT 1 + n %% %(facilities)s, 'Ngozi', 'Okafor ' || n, (ARRAY['M', 'F', 'F', 'M', 'Unknown'])[1 + n %% 5],
       date '1940-01-01' + (random() * 31000)::integer, CASE WHEN n %% 2 = 0 THEN '+234803' || lpad(n::text, 7, '0') END
FROM generate_series(1, %(patients)s) AS n;
"""
RECORDS = """
SET LOCAL session_replication_role = replica;
INSERT INTO medical_records (patient_id, facility_id, record_type, data, recorded_at, fingerprint)
SELECT p.id, p.facility_id, (ARRAY['Consultation', 'Lab', 'Admission', 'Imaging', NULL])[1 + n %% 5],
       jsonb_build_object('diagnosis', 'Diagnosis ' || n %% 200, 'treatment', repeat('rest ', 20),
                          'medications', 'Artemether', 'notes', repeat('seen ', 20)),
       now() - random() * interval '3 years', gen_random_uuid()
FROM (SELECT n, 1 + floor(random() * %(patients)s)::bigint AS id FROM generate_series(1, %(count)s) AS n) AS chosen
JOIN patients p USING (id)
"""
VISITS = """
SET LOCAL session_replication_role = replica;
INSERT INTO triage_visits (patient_id, facility_id, triage_level, conditions, recommendations, visited_at, fingerprint)
SELECT p.id, p.facility_id, 1 + n %% 5,
       ARRAY(SELECT CASE WHEN (n + k) %% 9 = 0 THEN upper(said) ELSE said END
             FROM generate_series(1, n %% 4) AS k, LATERAL (SELECT 'Condition ' || (n * k) %% 61 AS said) AS words),
       ARRAY['Rest'], now() - random() * interval '3 years', gen_random_uuid()
FROM (SELECT n, 1 + floor(random() * %(patients)s)::bigint AS id FROM generate_series(1, %(count)s) AS n) AS chosen
JOIN patients p USING (id)
"""


def main() -> None:
    options = parse()
    own_database.provide()
    invent(options)
    report(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--facilities", type=int, default=300, help="how many there are")
    parser.add_argument("--patients", type=int, default=100_000, help="how many there are")
    parser.add_argument("--records", type=int, default=300_000, help="how many there are")
    parser.add_argument("--visits", type=int, default=200_000, help="how many there are")
    parser.add_argument("--grown", type=int, default=1, help="percent of events that are new at each refresh")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken over so many")
    parser.add_argument("--work-mem", default="64MB", help="of PostgreSQL, for both ways alike")
    return parser.parse_args()


def invent(options: argparse.Namespace) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INVENT, vars(options))
    add_events(options.patients, options.records, options.visits)


def add_events(patients: int, records: int, visits: int) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(RECORDS, {"patients": patients, "count": records})
        cursor.execute(VISITS, {"patients": patients, "count": visits})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE facilities, patients, medical_records, triage_visits")


def report(options: argparse.Namespace) -> None:
    from analytics.relations import MARTS  # after django.setup()

    tables = {mart.table: ([], []) for mart in MARTS}
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, false)", [options.work_mem])
        for table in tables:
            cursor.execute(f"REFRESH MATERIALIZED VIEW {table}; ANALYZE {table}")
        for _ in range(options.rounds):
            add_events(options.patients, *(n * options.grown // 100 for n in (options.records, options.visits)))
            for table, (plain, refreshed) in tables.items():
                plain.append(seconds_of_plain(cursor, table))
                with measured(refreshed):
                    cursor.execute(f"REFRESH MATERIALIZED VIEW CONCURRENTLY {table}")
        print(f"{'mart':<28}{'rows':>9}{'table, s':>10}{'refresh, s':>12}{'ratio':>7}")
        for table, (plain, refreshed) in tables.items():
            cursor.execute(f"SELECT count(*) FROM {table}")
            tell(table, f"{cursor.fetchone()[0]:,}", median(plain), median(refreshed))
    tell("all", "", *(sum(median(both[n]) for both in tables.values()) for n in (0, 1)))


def seconds_of_plain(cursor, table: str) -> float:
    cursor.execute("SELECT pg_get_viewdef(%s::regclass)", [table])
    (query,) = cursor.fetchone()
    found: list[float] = []
    with measured(found):
        cursor.execute(f"CREATE TABLE plain AS {query}")
    cursor.execute("DROP TABLE plain")
    return found[0]


@contextmanager
def measured(into: list[float]):
    begun = time.perf_counter()
    yield
    into.append(time.perf_counter() - begun)


def tell(name: str, rows: str, plain: float, refreshed: float) -> None:
    print(f"{name:<28}{rows:>9}{plain:>10.2f}{refreshed:>12.2f}{refreshed / plain:>7.2f}")


if __name__ == "__main__":
    main()

"""How long each list of the desk takes at millions of rows, and the first page. A command, not a test.

Invents its rows in a database of its own: python -m tests.bench_admin --help. Each address is opened by a national
steward and by the steward of one state, as the web opens it; what takes longer than a second is marked.
"""

import argparse
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from django.db import connection, transaction
from django.utils import timezone

from tests import own_database

# session_replication_role: no trigger and no foreign key is asked; the rows are right by the way they are made. Ids
# follow the days, as in three years of nights; small states have few facilities, and SOKOTO's closed two years ago.
PLACES = """
SET LOCAL session_replication_role = replica;
SELECT setseed(0.42);
INSERT INTO facilities (name, state, lga, lga_name, type)
SELECT (ARRAY['General Hospital', 'Clinic', 'PHC', 'Maternity'])[1 + n %% 4] || ' ' || n,
       CASE WHEN n %% 997 = 0 THEN 'YOBE' WHEN n %% 499 = 0 THEN 'SOKOTO'
            ELSE (ARRAY['LAGOS', 'KANO', 'FCT', 'OYO', 'EDO', 'RIVERS', 'KADUNA', 'ENUGU'])[1 + n %% 8] END,
       'LGA ' || n %% 40, 'LGA ' || n %% 40, 'Hospital'
FROM generate_series(1, %(facilities)s) AS n;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, phone, created_at, updated_at)
SELECT 1 + n %% %(facilities)s,
       (ARRAY['Ngozi', 'Amina', 'Ibrahim', 'John', 'Fatima', 'Chidi', 'Bola'])[1 + floor(random() * 7)::int],
       (ARRAY['Okafor', 'Bello', 'Adeyemi', 'Musa', 'Eze', 'Danjuma', 'Okonkwo'])[1 + floor(random() * 7)::int]
           || '-' || to_hex(n / 9),
       (ARRAY['M', 'F', 'F', 'M', 'Unknown'])[1 + n %% 5], date '1940-01-01' + (random() * 31000)::integer,
       CASE WHEN n %% 2 = 0 THEN '+234803' || lpad(n::text, 7, '0') END, %(since)s, %(since)s
FROM generate_series(1, %(patients)s) AS n;
"""
EVENT = """
SET LOCAL session_replication_role = replica;
INSERT INTO {table} (patient_id, facility_id, {columns}, {instant}, fingerprint, created_at, updated_at)
SELECT p.id, p.facility_id, {cells}, at, gen_random_uuid(), at + interval '1 day', at + interval '1 day'
FROM (SELECT n, 1 + floor(random() * %(patients)s)::bigint AS id,
             %(since)s + n::float8 / %(count)s * (now() - %(since)s) AS at
      FROM generate_series(1, %(count)s) AS n) AS chosen
JOIN patients p USING (id) JOIN facilities f ON f.id = p.facility_id
WHERE f.state <> 'SOKOTO' OR at < %(since)s + interval '1 year' ORDER BY n
"""
RECORDS = EVENT.format(
    table="medical_records",
    columns="record_type, data, record_id",
    cells="""(ARRAY['Consultation', 'Lab', 'Admission', 'Imaging', NULL])[1 + n %% 5],
       jsonb_build_object('diagnosis', 'Diagnosis ' || n %% 200, 'treatment', repeat('rest ', 20),
                          'medications', 'Artemether', 'notes', repeat('seen ', 20)), 'R' || n""",
    instant="recorded_at",
)
VISITS = EVENT.format(
    table="triage_visits",
    columns="triage_level, chief_complaint, conditions, recommendations, visit_id",
    cells="""CASE WHEN n %% 1000 = 0 THEN 1 ELSE 2 + n %% 4 END, 'Fever since ' || n %% 9 || ' days',
       ARRAY['Condition ' || n %% 61], ARRAY['Rest'], 'V' || n""",
    instant="visited_at",
)
DELIVERED = """
SET LOCAL session_replication_role = replica;
INSERT INTO ingest_runs (kind, night_on, prefix, keys, is_dry, report, error, status, created_at, started_at,
    finished_at)
SELECT 'nightly', current_date - n, '', '[]', false, '[]', '',
       CASE WHEN n %% 9 = 0 THEN 'some_files_stopped' ELSE 'some_rows_refused' END,
       now() - n * interval '1 day', now() - n * interval '1 day', now() - n * interval '1 day' + interval '9 minutes'
FROM generate_series(999, 0, -1) AS n;
INSERT INTO ingest_batches (kind, run_id, bucket, object_key, etag, last_modified, folder, source, dataset,
    business_date, sha256, status, reasons, older_versions, warnings, evidence, unchanged, collapsed, blank, attempts,
    size, settled_why, rows_read, inserted, updated, rejected, discovered_at, started_at,
    finished_at, archived_at, held_key)
SELECT 'nightly', (SELECT min(id) FROM ingest_runs) + n * 1000 / (%(batches)s + 1), 'medilink',
       'in/' || n || '.csv', md5(n::text),
       now() - (%(batches)s - n) * interval '1000 days' / %(batches)s, '', 'sender-' || n %% 300,
       (ARRAY['facilities', 'patients', 'medical_records', 'triage_visits'])[1 + n %% 4],
       current_date - ((%(batches)s - n) * 1000 / %(batches)s), md5(n::text) || md5(n::text), said.status,
       CASE WHEN said.status = 'archived' THEN '{}' ELSE ARRAY['OVERLAP_SUSPECT'] END,
       '{}', '{}', '{}', 0, 0, 0, 1, 1000, '',
       CASE said.status WHEN 'archived' THEN 1000 ELSE 0 END, CASE said.status WHEN 'archived' THEN 985 ELSE 0 END,
       CASE said.status WHEN 'archived' THEN 10 ELSE 0 END, CASE said.status WHEN 'archived' THEN 5 ELSE 0 END,
       at, at, at + interval '4 seconds', CASE said.status WHEN 'archived' THEN at END, 'held/' || n
FROM generate_series(1, %(batches)s) AS n, LATERAL (
    SELECT CASE WHEN n %% 20000 = 7 THEN 'held' WHEN n %% 20000 = 9 THEN 'rejected' ELSE 'archived' END AS status,
           now() - (%(batches)s - n) * interval '1000 days' / %(batches)s AS at
) AS said;
INSERT INTO rejected_rows (batch_id, line, reasons, ordinal, settled_why, times_seen, raw_hash, cell_keys, dataset,
    source, facility_id, facility_key, last_name_key,
    first_name_key, state, settled_at, replay_batch_id, first_seen_at, last_seen_at)
SELECT 1 + n::bigint * (%(batches)s - 1) / (%(rejected)s + 1), n,
       ARRAY[(ARRAY['FACILITY_NOT_FOUND', 'PATIENT_NOT_FOUND', 'BAD_DATE:dob', 'REQUIRED:last_name'])[1 + n %% 4]],
       1, '', 1, gen_random_uuid(), jsonb_build_object('facility_name', md5('clinic ' || n)),
       'patients', 'sender-' || n %% 300, CASE WHEN n %% 3 = 0 THEN 1 + n %% 1000 END,
       md5('clinic ' || n)::uuid, md5('okafor')::uuid, md5('ngozi')::uuid,
       CASE WHEN n %% 10 = 0 THEN 'open' ELSE 'replayed' END, now(), 1,
       now() - (%(rejected)s - n) * interval '1000 days' / %(rejected)s,
       now() - (%(rejected)s - n) * interval '1000 days' / %(rejected)s
FROM generate_series(1, %(rejected)s) AS n;
INSERT INTO audit_events (at, request_id, details, actor_id, action, "table", object_id)
SELECT now() - (%(rejected)s - n) * interval '1000 days' / %(rejected)s, '', '{}', 1 + n %% 2,
       (ARRAY['create', 'update', 'delete'])[1 + n %% 3],
       (ARRAY['patients', 'triage_visits', 'facilities'])[1 + n %% 3], n
FROM generate_series(1, %(rejected)s) AS n;
"""


def main() -> None:
    options = parse()
    own_database.provide(options.keep)
    from clinical.models import TriageVisit

    if not TriageVisit.objects.exists():
        invent(options)
    report(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--facilities", type=int, default=8_000, help="how many there are")
    parser.add_argument("--patients", type=int, default=1_000_000, help="how many there are")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many there are")
    parser.add_argument("--visits", type=int, default=5_000_000, help="how many there are")
    parser.add_argument("--batches", type=int, default=200_000, help="how many there are")
    parser.add_argument("--rejected", type=int, default=1_000_000, help="refused rows, and lines of the audit")
    parser.add_argument("--keep", type=Path, help="a folder for the database, which the next run finds there")
    parser.add_argument("--only", default="", help="addresses that hold this text")
    return parser.parse_args()


def invent(options: argparse.Namespace) -> None:
    from clinical.models import Membership, User

    begun = time.perf_counter()
    User.objects.create_superuser("nation", password="of-a-benchmark-only")
    Membership.objects.create(user=User.objects.create_user("kano", is_staff=True), role="steward", state="KANO")
    Membership.objects.create(user=User.objects.create_user("yobe", is_staff=True), role="steward", state="YOBE")
    since = timezone.localdate() - timedelta(days=1095)
    known = vars(options) | {"since": since}
    for text, count in ((PLACES, 0), (RECORDS, options.records), (VISITS, options.visits), (DELIVERED, 0)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(text, known | {"count": count})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    from analytics import marts

    marts.refresh()
    print(f"Invented in {time.perf_counter() - begun:.0f} s")


# What is asked of each list besides its bare page, each order of each column, and its last page.
QUERIES = {
    "clinical/facility": ("state__exact=YOBE", "deleted=yes", "differences=set", "q=general", "q=hospital 77"),
    "clinical/patient": (
        *("sex__exact=Unknown", "facility__state__exact=KANO", "facility__state__exact=YOBE", "deleted=no"),
        *("deleted=yes", "differences=overruled", "q=okafor", "q=ngozi okafor", "q=okafor-1a2b", "q=xyzzyx"),
        *("q=08030000018", "q=777", "facility__id__exact=77", "facility__id__exact=77&o=1.2"),
        "facility__state__exact=KANO&sex__exact=F&q=bello",
    ),
    "clinical/medicalrecord": (
        *("{recorded_at:month}", "{recorded_at:old}", "facility__state__exact=KANO", "facility__state__exact=SOKOTO"),
        *("deleted=yes", "q=okafor-1a2b", "q=R777", "q=777", "patient__id__exact=77"),
    ),
    "clinical/triagevisit": (
        *("triage_level__exact=1", "triage_level__exact=3", "{visited_at:month}", "{visited_at:old}"),
        *(
            "{visited_at:year}",
            "{visited_at:old}&triage_level__exact=1",
            "{visited_at:old}&facility__state__exact=KANO",
        ),
        *("facility__state__exact=KANO", "facility__state__exact=YOBE", "facility__state__exact=SOKOTO"),
        *("facility__state__exact=ZAMFARA", "deleted=no", "deleted=yes", "facility__id__exact=77"),
        *("q=okafor-1a2b", "q=okafor", "q=xyzzyx", "q=V777", "q=777", "patient__id__exact=77"),
        "facility__state__exact=SOKOTO&triage_level__exact=1",
    ),
    "clinical/user": ("q=kano",),
    "clinical/auditevent": (
        *("action__exact=update", "table__exact=patients", "actor__id__exact=1", "{at:month}", "{at:old}", "q=777"),
        "actor__id__exact=3",
    ),
    "ingestion/ingestbatch": (
        *("status__exact=held", "status__exact=archived", "dataset__exact=patients", "kind__exact=replay"),
        *(
            "reason=OVERLAP_SUSPECT",
            "business_date_from=2024-12-01&business_date_to=2024-12-31",
            "q=777",
            "q=sender-77",
        ),
        "run__id__exact=77",
    ),
    "ingestion/rejectedrow": (
        *("state__exact=open", "state__exact=dismissed", "dataset__exact=patients", "reason=BAD_DATE"),
        *("reason=LENGTH", "state__exact=open&reason=BAD_DATE", "q=clinic 777", "q=okafor", "q=sender-77"),
        "batch__id__exact=777",
    ),
    "ingestion/ingestrun": ("kind__exact=nightly", "status__exact=done"),
    "ingestion/auditlog": ("table_name=patients",),
    "ingestion/sighting": (),
    "ingestion/source": ("q=sender",),
    "ingestion/facilitynaming": ("q=clinic",),
    "analytics/martstate": (),
    "analytics/martrefresh": ("mart__exact=triage_trends",),
    "analytics/checkrun": (),
    "medilink/alert": (),
}
PERIODS = {"month": (40, 10), "old": (900, 870), "year": (800, 435)}  # days ago
BAR = 1000  # ms


def report(options: argparse.Namespace) -> None:
    from django.conf import settings
    from django.test import Client
    from django.test.utils import setup_test_environment

    from clinical.models import User

    setup_test_environment()  # the contexts of answers are kept
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {settings.DB_STATEMENT_TIMEOUT_MS}")
    slow = count = 0
    for name in ("nation", "kano", "yobe"):
        client = Client()
        client.force_login(User.objects.get(username=name))
        for address in _addresses(client, options.only):
            count += 1
            slow += _opened(client, name, address)
    print(f"{count} pages, {slow} of them slower than {BAR} ms")


def _addresses(client: Any, only: str) -> Iterator[str]:
    if not only:
        yield "/admin/"
    for model, queries in QUERIES.items():
        bare = f"/admin/{model}/"
        if only not in bare:
            continue
        yield bare
        cl = getattr(client.get(bare), "context", None)
        if cl is None or "cl" not in cl:
            continue  # not for this user
        cl = cl["cl"]
        if cl.paginator.num_pages > 1:
            yield f"{bare}?p={cl.paginator.num_pages}"
        for n in range(1, len(cl.list_display)):
            yield f"{bare}?o={n}"
            yield f"{bare}?o=-{n}"
        yield from (f"{bare}?{_dated(query)}" for query in queries)


def _dated(query: str) -> str:
    """`{column:period}` as the two ends of a filter by days."""
    if not query.startswith("{"):
        return query
    (column, period), rest = query[1:].partition("}")[0].split(":"), query.partition("}")[2]
    first, last = (timezone.localdate() - timedelta(days=days) for days in PERIODS[period])
    return f"{column}_from={first}&{column}_to={last}{rest}"


def _posted(client: Any, address: str) -> str:
    """Where a search leads; other addresses are what they are."""
    path, _, query = address.partition("?")
    parts = dict(part.split("=", 1) for part in query.split("&") if part)
    if "q" not in parts:
        return address
    text = parts.pop("q")
    return client.post(f"{path}?{urlencode(parts)}", {"q": text})["Location"]


def _opened(client: Any, who: str, address: str) -> int:
    """The best of three; 1 where it is slower than the bar."""
    took, told, found = [], "", _posted(client, address)
    for _ in range(3):
        begun = time.perf_counter()
        try:
            response = client.get(found)
            told = f"{response.status_code}"
            cl = (response.context or {}).get("cl") if hasattr(response, "context") else None
            if cl is not None:
                told += f"  {getattr(cl.paginator, 'in_words', cl.result_count)} rows"
        except Exception as error:  # it is told, and the next page is opened
            told = type(error).__name__
        took.append(1000 * (time.perf_counter() - begun))
    is_slow = min(took) > BAR
    print(f"{min(took):7.0f} ms {'SLOW' if is_slow else '    '} {who:<7}{address}  {told}", flush=True)
    return int(is_slow)


if __name__ == "__main__":
    main()

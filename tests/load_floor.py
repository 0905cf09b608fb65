"""The nightly load as an SQL author would write it by hand, into Medilink's own tables: what a load costs at least.

usage: python -m tests.load_floor DSN FOLDER DAY     where FOLDER holds facilities.csv, patients.csv,
medical_records.csv and triage_visits.csv as tests/bench_load.py makes them, and DAY is what they speak of (2026-11-22).

COPY, validate, resolve, insert, refused rows, counts: one transaction and one batch per file, durable as the server is.
The rows are those of `manage.py ingest` for these files and no others: texts come trimmed and NFC, columns in order,
at most one reason per row; no leases, holds, archive, sightings, aliases or people's edits. Prints seconds as JSON.
"""

import json
import sys
import time
from pathlib import Path

import psycopg2

from clinical.geography import STATES

COLUMNS = {
    "facilities": "name state lga lat lon type",
    "patients": "facility_name first_name last_name sex dob phone",
    "medical_records": (
        "facility_name patient_first_name patient_last_name record_type diagnosis treatment medications notes"
    ),
    "triage_visits": (
        "facility_name patient_first_name patient_last_name triage_level chief_complaint vital_signs conditions"
        " recommendations"
    ),
}


def _key(column: str) -> str:
    """How names are compared, as the generated key columns have it."""
    return f'lower(btrim({column}) COLLATE pg_c_utf8) COLLATE "C"'


SESSION = """
SET LOCAL work_mem = '128MB';
SET LOCAL temp_buffers = '64MB';
SET LOCAL jit = off;
"""
BATCH = """
INSERT INTO ingest_batches (kind, bucket, object_key, etag, last_modified, size, older_versions, folder, source,
    dataset, business_date, status, reasons, warnings, evidence, rows_read, inserted, updated, unchanged, collapsed,
    rejected, blank, attempts, settled_why, started_at)
VALUES ('manual', '', %(dataset)s, '', now(), %(size)s, '{}', '', %(source)s, %(dataset)s,
    %(day)s, 'discovered', '{}', '{}', '{}', 0, 0, 0, 0, 0, 0, 0, 1, '', now())
RETURNING id, set_config('medilink.batch', currval(pg_get_serial_sequence('ingest_batches', 'id'))::text, true)
"""
DONE = """
UPDATE ingest_batches
SET status = 'loaded', rows_read = %(read)s, inserted = %(inserted)s, updated = %(updated)s, collapsed = %(collapsed)s,
    rejected = %(rejected)s, unchanged = %(read)s - %(inserted)s - %(updated)s - %(collapsed)s - %(rejected)s,
    finished_at = clock_timestamp()
WHERE id = %(batch)s
"""
# Each statement of a dataset is told under the name of the count that its row count is; None: of none.
FACILITIES = (
    (
        None,
        f"""
CREATE TEMP TABLE judged ON COMMIT DROP AS
SELECT line, btrim(name) AS name, upper(btrim(state)) AS state, btrim(lga) AS lga, nullif(btrim(type), '') AS type,
       nullif(lat, '')::numeric AS lat, nullif(lon, '')::numeric AS lon,
       {_key("name")} AS name_key,
       {_key("lga")} AS lga_key,
       CASE WHEN btrim(name) = '' THEN 'REQUIRED_MISSING:name'
            WHEN upper(btrim(state)) <> ALL (%(states)s) THEN 'ENUM:state'
            WHEN btrim(lga) = '' THEN 'REQUIRED_MISSING:lga' END AS reason,
       coalesce(nullif(lat, '')::numeric BETWEEN 4 AND 14 AND nullif(lon, '')::numeric BETWEEN 2.5 AND 15, false)
       AS has_point
FROM staged
""",
    ),
    (
        "rejected",
        """
INSERT INTO rejected_rows (batch_id, line, reasons, raw_sealed, raw_hash, cell_keys, dataset, source, ordinal, state,
    times_seen, settled_why)
SELECT %(batch)s, line, ARRAY[reason], convert_to(raw::text, 'UTF8'), md5(raw::text)::uuid, '{}', 'facilities',
       %(source)s, row_number() OVER (PARTITION BY raw ORDER BY line), 'open', 1, ''
FROM judged JOIN (SELECT line, to_jsonb(staged) - 'line' AS raw FROM staged) AS cells USING (line)
WHERE reason IS NOT NULL
ON CONFLICT (dataset, source, raw_hash, event_on, ordinal)
DO UPDATE SET times_seen = rejected_rows.times_seen + 1, last_seen_at = now()
""",
    ),
    (
        "collapsed",
        """
DELETE FROM judged AS earlier USING
    (SELECT name_key, state, lga_key, max(line) AS line FROM judged WHERE reason IS NULL
     GROUP BY 1, 2, 3 HAVING count(*) > 1) AS last
WHERE (earlier.name_key, earlier.state, earlier.lga_key) = (last.name_key, last.state, last.lga_key)
  AND earlier.line < last.line AND reason IS NULL
""",
    ),
    (
        "updated",
        """
UPDATE facilities AS f
SET lat = CASE WHEN has_point THEN j.lat ELSE f.lat END,
    lon = CASE WHEN has_point THEN j.lon ELSE f.lon END, type = coalesce(j.type, f.type)
FROM judged AS j
WHERE (f.name_key, f.state, f.lga_key) = (j.name_key, j.state, j.lga_key) AND reason IS NULL AND f.deleted_at IS NULL
  AND (has_point AND (f.lat, f.lon) IS DISTINCT FROM (j.lat, j.lon) OR f.type <> j.type)
""",
    ),
    (
        "inserted",
        """
INSERT INTO facilities (name, state, lga, lga_name, lat, lon, type, batch_id, line)
SELECT name, state, lga, lga, CASE WHEN has_point THEN lat END, CASE WHEN has_point THEN lon END,
       type, %(batch)s, line
FROM judged AS j
WHERE reason IS NULL AND NOT EXISTS (
    SELECT FROM facilities AS f WHERE (f.name_key, f.state, f.lga_key) = (j.name_key, j.state, j.lga_key)
)
""",
    ),
    (None, "ANALYZE facilities"),
)
NAMED = """
named AS (
    SELECT name_key, min(id) AS id, count(*) AS n FROM facilities WHERE deleted_at IS NULL GROUP BY name_key
)
"""
PLACELESS = """
    WHEN btrim(facility_name) = '' THEN 'REQUIRED_MISSING:facility_name'
    WHEN named.n IS NULL THEN 'FACILITY_NOT_FOUND' WHEN named.n > 1 THEN 'FACILITY_AMBIGUOUS'
"""
REJECT = """
INSERT INTO rejected_rows (batch_id, line, reasons, raw_sealed, raw_hash, cell_keys, dataset, source, event_on, ordinal,
    facility_id, facility_key, first_name_key, last_name_key, state, times_seen, settled_why)
SELECT %(batch)s, line, ARRAY[reason], convert_to(raw::text, 'UTF8'), md5(raw::text)::uuid, '{{}}', %(dataset)s,
       %(source)s, {event_on}, row_number() OVER (PARTITION BY raw ORDER BY line), facility_id,
       md5(facility_key)::uuid, md5(first_name_key)::uuid, md5(last_name_key)::uuid, 'open', 1, ''
FROM judged JOIN (SELECT line, to_jsonb(staged) - 'line' AS raw FROM staged) AS cells USING (line)
WHERE reason IS NOT NULL
ON CONFLICT (dataset, source, raw_hash, event_on, ordinal)
DO UPDATE SET times_seen = rejected_rows.times_seen + 1, last_seen_at = now()
"""
PATIENTS = (
    (
        None,
        f"""
CREATE TEMP TABLE judged ON COMMIT DROP AS
WITH {NAMED}
SELECT line, named.id AS facility_id, btrim(first_name) AS first_name, btrim(last_name) AS last_name, sex, dob,
       CASE WHEN phone ~ '^\\+[1-9][0-9]{{6,14}}$' THEN phone END AS phone, facility_key, first_name_key, last_name_key,
       CASE {PLACELESS}
            WHEN btrim(first_name) = '' THEN 'REQUIRED_MISSING:first_name'
            WHEN btrim(last_name) = '' THEN 'REQUIRED_MISSING:last_name'
            WHEN sex NOT IN ('M', 'F', 'Other', 'Unknown') THEN 'ENUM:sex'
            WHEN dob !~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$' OR NOT pg_input_is_valid(dob, 'date')
            THEN 'TYPE_INVALID:dob'
            WHEN dob < '1900-01-01' THEN 'RANGE:dob' WHEN dob > current_date::text THEN 'DATE_FUTURE:dob' END AS reason
FROM (SELECT *, {_key("facility_name")} AS facility_key,
             {_key("first_name")} AS first_name_key,
             {_key("last_name")} AS last_name_key FROM staged) AS cells
LEFT JOIN named ON named.name_key = facility_key
""",
    ),
    ("rejected", REJECT.format(event_on="NULL::date")),
    (
        "collapsed",
        """
DELETE FROM judged AS earlier USING
    (SELECT facility_id, first_name_key, last_name_key, dob, max(line) AS line FROM judged WHERE reason IS NULL
     GROUP BY 1, 2, 3, 4 HAVING count(*) > 1) AS last
WHERE (earlier.facility_id, earlier.first_name_key, earlier.last_name_key, earlier.dob)
      = (last.facility_id, last.first_name_key, last.last_name_key, last.dob)
  AND earlier.line < last.line AND reason IS NULL
""",
    ),
    (
        "updated",
        """
UPDATE patients AS p SET phone = j.phone
FROM judged AS j
WHERE (p.facility_id, p.first_name_key, p.last_name_key, p.dob)
      = (j.facility_id, j.first_name_key, j.last_name_key, j.dob::date)
  AND reason IS NULL AND p.deleted_at IS NULL AND j.phone IS NOT NULL AND p.phone IS DISTINCT FROM j.phone
""",
    ),
    (
        "inserted",
        """
INSERT INTO patients (facility_id, first_name, last_name, sex, dob, phone, batch_id, line)
SELECT facility_id, first_name, last_name, sex, dob::date, phone, %(batch)s, line
FROM judged AS j
WHERE reason IS NULL AND NOT EXISTS (
    SELECT FROM patients AS p
    WHERE (p.facility_id, p.first_name_key, p.last_name_key, p.dob)
          = (j.facility_id, j.first_name_key, j.last_name_key, j.dob::date)
)
""",
    ),
    (None, "ANALYZE patients"),
)
KNOWN = """
known AS (
    SELECT facility_id, first_name_key, last_name_key, min(id) AS id, count(*) AS n
    FROM patients WHERE deleted_at IS NULL GROUP BY 1, 2, 3
)
"""
JUDGE_EVENTS = f"""
CREATE TEMP TABLE judged ON COMMIT DROP AS
WITH {NAMED}, {KNOWN}
SELECT cells.*, named.id AS facility_id, known.id AS patient_id, {{fingerprint}} AS fingerprint,
       CASE {PLACELESS}
            WHEN btrim(patient_first_name) = '' THEN 'REQUIRED_MISSING:patient_first_name'
            WHEN btrim(patient_last_name) = '' THEN 'REQUIRED_MISSING:patient_last_name'
            WHEN known.n IS NULL THEN 'PATIENT_NOT_FOUND' WHEN known.n > 1 THEN 'PATIENT_AMBIGUOUS'
            {{reasons}} END AS reason
FROM (SELECT *, {_key("facility_name")} AS facility_key,
             {_key("patient_first_name")} AS first_name_key,
             {_key("patient_last_name")} AS last_name_key FROM staged) AS cells
LEFT JOIN named ON named.name_key = facility_key
LEFT JOIN known ON (known.facility_id, known.first_name_key, known.last_name_key)
                   = (named.id, cells.first_name_key, cells.last_name_key)
"""
# In the order of patients, so that the unique key and the foreign key's check find their pages in memory; and without
# ON CONFLICT, whose speculative inserts cost a tenth: nobody else writes meanwhile, or the unique key raises.
INSERT_EVENTS = """
INSERT INTO {table} (patient_id, facility_id, {columns}, {instant}, time_is_estimated, fingerprint, ordinal, batch_id,
    line)
SELECT patient_id, facility_id, {values}, %(day)s::date::timestamp AT TIME ZONE 'Africa/Lagos', true, fingerprint,
       ordinal, %(batch)s, line
FROM (SELECT *, row_number() OVER (PARTITION BY patient_id, fingerprint ORDER BY line) AS ordinal
      FROM judged WHERE reason IS NULL) AS j
WHERE NOT EXISTS (
    SELECT FROM {table} AS e
    WHERE (e.patient_id, e.event_on, e.fingerprint, e.ordinal)
          = (j.patient_id, %(day)s::date, j.fingerprint, j.ordinal)
)
"""


def _events(table: str, instant: str, columns: str, values: str, content: str, reasons: str) -> tuple:
    fingerprint = f"md5(concat_ws(E'\\x1f', {content}, ''))::uuid"
    return (
        (None, JUDGE_EVENTS.format(fingerprint=fingerprint, reasons=reasons)),
        ("rejected", REJECT.format(event_on="%(day)s::date")),
        ("inserted", INSERT_EVENTS.format(table=table, instant=instant, columns=columns, values=values)),
        (None, f"ANALYZE {table}"),
    )


# How ingestion/rows.py writes a list into the fingerprint, where no item needs quotes.
WRITTEN = "'{{' || replace({0}, ';', ',') || '}}'"
STATEMENTS = {
    "facilities": FACILITIES,
    "patients": PATIENTS,
    "medical_records": _events(
        "medical_records",
        "recorded_at",
        "record_type, data",
        "nullif(record_type, ''), jsonb_build_object("
        "'diagnosis', nullif(diagnosis, ''), 'treatment', nullif(treatment, ''),"
        " 'medications', nullif(medications, ''), 'notes', nullif(notes, ''))",
        "record_type, diagnosis, treatment, medications, notes",
        "",
    ),
    "triage_visits": _events(
        "triage_visits",
        "visited_at",
        "triage_level, chief_complaint, vital_signs, conditions, recommendations",
        "triage_level::smallint, nullif(chief_complaint, ''), nullif(vital_signs, ''),"
        " string_to_array(conditions, ';'), string_to_array(recommendations, ';')",
        f"triage_level, chief_complaint, vital_signs, {WRITTEN.format('conditions')},"
        f" {WRITTEN.format('recommendations')}",
        "WHEN triage_level !~ '^-?[0-9]+$' THEN 'TYPE_INVALID:triage_level'"
        " WHEN triage_level !~ '^[1-5]$' THEN 'RANGE:triage_level'",
    ),
}


def main() -> None:
    dsn, folder, day = sys.argv[1:]
    begun = time.perf_counter()
    connection = psycopg2.connect(dsn)
    seconds = {}
    for dataset in STATEMENTS:
        started = time.perf_counter()
        with connection, connection.cursor() as cursor:
            load(cursor, dataset, Path(folder, f"{dataset}.csv"), day)
        seconds[dataset] = round(time.perf_counter() - started, 2)
    connection.close()
    print(json.dumps({"seconds": round(time.perf_counter() - begun, 2), **seconds}))


def load(cursor, dataset: str, path: Path, day: str) -> None:
    cursor.execute(SESSION)
    facts = {"dataset": dataset, "source": f"{dataset}-*.csv", "day": day, "size": path.stat().st_size}
    cursor.execute(BATCH, facts)
    facts |= {"batch": cursor.fetchone()[0], "states": list(STATES)}
    columns = COLUMNS[dataset].split()
    cursor.execute(
        "CREATE TEMP TABLE staged (line integer GENERATED ALWAYS AS IDENTITY (START 2),"
        f" {', '.join(f'{column} text' for column in columns)}) ON COMMIT DROP"
    )
    names = ", ".join(columns)
    with path.open("rb") as file:
        cursor.copy_expert(f"COPY staged ({names}) FROM STDIN (FORMAT csv, HEADER, FORCE_NOT_NULL ({names}))", file)
    counts = {"read": cursor.rowcount, "inserted": 0, "updated": 0, "collapsed": 0, "rejected": 0}
    cursor.execute("ANALYZE staged")
    for count, statement in STATEMENTS[dataset]:
        cursor.execute(statement, facts)
        if count:
            counts[count] = cursor.rowcount
    cursor.execute(DONE, facts | counts)


if __name__ == "__main__":
    main()

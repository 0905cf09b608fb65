"""That refused rows, their history and their causes are still what they were once migration 0007 has sealed them."""

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import UUID

import psycopg2
import pytest
from django.db import connection

from clinical import sealing
from clinical.keyed import Hashes
from clinical.models import IndexKey
from ingestion import cells
from ingestion.models import RejectedRow

ROOT = Path(__file__).resolve().parents[2]
BEFORE = """
INSERT INTO ingest_batches (kind, bucket, object_key, etag, size, older_versions, last_modified, source, business_date,
    dataset, folder, status, reasons, warnings, evidence, attempts, rows_read, inserted, updated, unchanged, collapsed,
    rejected, blank, refused_own, settled_why)
VALUES ('manual', '', 'k', '', 0, '{}', now(), 's', '2026-11-20', 'triage_visits', '', 'discovered', '{}', '{}', '{}',
    0, 0, 0, 0, 0, 0, 0, 0, 0, '')
"""
ROW = """
INSERT INTO rejected_rows (batch_id, line, reasons, raw, corrections, dataset, source, ordinal, facility_key,
    first_name_key, last_name_key, state, times_seen, settled_why)
SELECT id, 2, '{PATIENT_NOT_FOUND}', %s, '{}', 'triage_visits', 's', 1, 'ikeja clinic', 'zainab', 'umar', 'open', 1, ''
FROM ingest_batches
"""
RAW = """{"facility_name": "Ikeja Clinic", "patient_first_name": "Zainab", "patient_last_name": "Umar",
    "notes": "Hb 11"}"""
AFTER = """
UPDATE rejected_rows SET corrections = '{"patient_last_name": "Umaru"}';
UPDATE rejected_rows SET corrections = '{}';
INSERT INTO causes (reason, value_key)
VALUES ('PATIENT_NOT_FOUND', 'zainab umar · ikeja clinic'), ('ENUM:sex', 'woman');
"""


@pytest.fixture
def old(transactional_db):
    """A database of before, and how to bring it up to date."""
    name, params = "sealing_migration", connection.get_connection_params()
    with closing(psycopg2.connect(host=params["host"], user=params["user"], dbname=params["dbname"])) as server:
        server.autocommit = True
        with server.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {name}")
            try:
                yield f"postgres://{params['user']}@/{name}?host={params['host']}"
            finally:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def migrate(url, *to):
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", *to]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"DATABASE_URL": url}, check=True)


def ask(url, sql, params=None):
    with closing(psycopg2.connect(url)) as found, found, found.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall() if cursor.description else []


def test_rows_of_before_are_sealed_and_mean_the_same(old):
    migrate(old, "ingestion", "0006")
    ask(old, BEFORE)
    ask(old, ROW, [RAW])
    ask(old, AFTER)
    migrate(old)
    place = (*ask(old, "SELECT id FROM ingest_batches")[0], 2)
    ((raw, keys, raw_hash, first, state),) = ask(
        old, "SELECT raw_sealed, cell_keys, raw_hash::text, first_name_key::text, state FROM rejected_rows"
    )
    ((key,),) = ask(old, "SELECT key FROM index_keys")
    hashes = Hashes(sealing.unseal(key, sealing.field_of(IndexKey, "key").place(())))
    plain = cells.loaded(sealing.unseal(raw, sealing.field_of(RejectedRow, "raw_sealed").place(place)))
    assert (plain["notes"], state) == ("Hb 11", "open")
    kept = cells.kept(plain, ["PATIENT_NOT_FOUND"], hashes)
    assert (keys, UUID(raw_hash), UUID(first)) == (kept.cell_keys, kept.raw_hash, hashes.of("zainab"))
    cause = ".".join(kept.cell_keys[column] for column in cells.PERSON)
    assert ask(old, "SELECT value_key FROM causes ORDER BY id") == [(cause,), (hashes.hex_of("woman"),)]
    (became, was), *_ = ask(
        old, "SELECT became ->> 'corrections_sealed', was ->> 'corrections_sealed' FROM revisions ORDER BY id"
    )
    corrections = sealing.field_of(RejectedRow, "corrections_sealed").place(place)
    assert cells.loaded(sealing.unseal(bytes.fromhex(became[2:]), corrections)) == {"patient_last_name": "Umaru"}
    assert was is None
    assert ask(old, "SELECT count(*) FROM revisions WHERE concat(was, became) ILIKE '%umaru%'") == [(0,)]

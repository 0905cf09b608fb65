"""What the database says of batches and refused rows by itself: final counts, order, hashes, the audit log.

What it refuses is in tests/test_constraints.py.
"""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction

from ingestion.models import AuditLog, IngestBatch, RejectedRow, Status
from tests.ingestion.factories import batch

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 22, 1, 30, tzinfo=UTC)
COUNTS = {"rows_read": 6, "inserted": 1, "updated": 2, "unchanged": 1, "collapsed": 1, "rejected": 1, "blank": 3}


def refused(**values):
    row = {"line": 2, "reasons": ["ENUM:sex"], "raw": {"sex": "X"}, "dataset": "patients", "source": "s"} | values
    return RejectedRow.objects.create(**{"batch": batch()} | row)


@pytest.mark.parametrize("status", [Status.LOADED, Status.ARCHIVED])
@pytest.mark.parametrize("change", [{"blank": 4}, {"inserted": 2, "updated": 1}, {"rows_read": 7, "rejected": 2}])
def test_no_count_of_a_loaded_batch_changes(status, change):
    loaded = batch(status=status, **COUNTS)
    with pytest.raises(IntegrityError, match="are final"), transaction.atomic():
        IngestBatch.objects.filter(pk=loaded.pk).update(**change)


def test_anything_else_of_a_loaded_batch_may_change():
    loaded = batch(status=Status.LOADED, **COUNTS)
    IngestBatch.objects.filter(pk=loaded.pk).update(status=Status.ARCHIVED, archive_key="k", **COUNTS)
    loaded.refresh_from_db()
    assert (loaded.status, loaded.rows_read) == (Status.ARCHIVED, 6)


@pytest.mark.parametrize(
    ("other", "is_newer"),
    [
        ({}, False),
        ({"business_date": date(2026, 11, 23), "last_modified": AT - timedelta(days=9)}, True),
        ({"business_date": date(2026, 11, 21), "last_modified": AT + timedelta(days=9)}, False),
        ({"last_modified": AT + timedelta(seconds=1), "object_key": "a"}, True),
        ({"last_modified": AT - timedelta(seconds=1), "object_key": "z"}, False),
        ({"object_key": "z"}, True),
        ({"object_key": "a"}, False),
    ],
)
def test_versions_are_ordered_by_business_date_then_last_modified_then_key(other, is_newer):
    one = batch(object_key="k", last_modified=AT, etag="1")
    two = batch(**{"object_key": "k", "last_modified": AT} | other)
    assert IngestBatch.objects.newer_than(one).filter(pk=two.pk).exists() is is_newer
    assert ([*IngestBatch.objects.in_version_order()][-1] == two) is (is_newer or not other)


def test_a_hash_sees_the_cells_and_not_the_order_of_their_columns():
    one = refused(raw={"sex": "X", "dob": "1990"})
    two = refused(raw={"dob": "1990", "sex": "X"}, ordinal=2)
    three = refused(raw={"dob": "1990", "sex": "x"})
    assert one.raw_hash == two.raw_hash != three.raw_hash


@pytest.mark.parametrize(
    ("reason", "is_found"),
    [
        ("ENUM:sex", True),
        ("ENUM", True),
        ("LENGTH", True),
        ("ENUM:state", False),
        ("ENU", False),
        ("FIELD_COUNT", False),
    ],
)
def test_rows_are_found_by_a_code_with_or_without_its_column(reason, is_found):
    refused(reasons=["ENUM:sex", "LENGTH:first_name"])
    assert RejectedRow.objects.with_reason(reason).exists() is is_found


def test_the_audit_log_speaks_the_words_of_the_predecessor():
    loaded = batch(status=Status.LOADED, finished_at=AT, **COUNTS)
    entry = AuditLog.objects.get(batch=loaded)
    assert (entry.table_name, entry.records_processed, entry.records_failed) == ("patients", 6, 1)
    assert (entry.records_inserted, entry.records_updated, entry.completed_at) == (1, 2, AT)
    assert entry.error_message is None


def test_the_audit_log_says_why_a_file_was_refused():
    refused_file = batch(status=Status.REJECTED, dataset=None, reasons=["UNKNOWN_DATASET"])
    entry = AuditLog.objects.get(batch=refused_file)
    assert (entry.table_name, entry.error_message) == ("unknown", "UNKNOWN_DATASET")

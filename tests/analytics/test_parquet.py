"""A mart as Parquet: the same rows as NDJSON, typed, suppressed and told of as all exports."""

import io
import json
from datetime import date

import pytest

from analytics import publishing
from analytics.api import parquet
from tests import rows
from tests.callers import Caller, codes

pytestmark = pytest.mark.django_db
read = pytest.importorskip("pyarrow.parquet").read_table
NAMES = ("facilities", "patients", "triage-visits", "patient-summary", "triage-trends", "condition-analysis")


@pytest.fixture
def analyst():
    today = date(2026, 11, 25)
    rows.stand_at(today)
    rows.make_many(seed=5, today=today)
    rows.refresh_all()
    return Caller(("analyst",))


def body(response):
    assert response.status_code == 200
    return b"".join(response.streaming_content)


def test_a_mart_is_in_parquet_what_it_is_in_ndjson(analyst):
    for name in NAMES:
        path = f"/api/analytics/{name}"
        table = read(io.BytesIO(body(analyst.get(path, {"format": "parquet"}))))
        lines = [json.loads(line) for line in body(analyst.get(path, {"format": "ndjson"})).splitlines()]
        found = [{key: _told(value) for key, value in row.items()} for row in table.to_pylist()]
        assert lines
        assert found == [{key: line.get(key) for key in table.column_names} for line in lines], name


def _told(value):
    if hasattr(value, "tzinfo"):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def test_columns_have_their_comments_and_the_file_its_instant(analyst):
    schema = read(io.BytesIO(body(analyst.get("/api/analytics/condition-analysis", {"format": "parquet"})))).schema
    assert schema.metadata[b"relation"] == b"condition_analysis"
    assert b"as_of" in schema.metadata
    meaning = b"Visits that name the condition; each visit counts once"
    assert schema.field("occurrence_count").metadata[b"comment"] == meaning
    assert str(schema.field("month").type) == "date32[day]"


def test_a_publication_is_in_parquet_what_it_was_that_day(analyst):
    publishing.publish(is_forced=True)
    rows.visits(rows.patient(), date(2026, 11, 24), [1] * 40, conditions=["Malaria"])
    for name in ("facilities", "triage-trends", "condition-analysis"):
        path, then = f"/api/analytics/{name}", {"as_of": "2026-11-25"}
        before = [json.loads(line) for line in body(analyst.get(path, then | {"format": "ndjson"})).splitlines()]
        rows.refresh_all()
        table = read(io.BytesIO(body(analyst.get(path, then | {"format": "parquet"}))))
        found = [{key: _told(value) for key, value in row.items()} for row in table.to_pylist()]
        assert found == [{key: line.get(key) for key in table.column_names} for line in before], name
        assert table.schema.metadata[b"stale"] == b"false"


def test_where_it_is_not_installed_the_format_is_refused(analyst, monkeypatch):
    monkeypatch.setattr(parquet, "is_installed", lambda: False)
    refused = analyst.get("/api/analytics/facilities", {"format": "parquet"})
    assert (refused.status_code, codes(refused)) == (400, [("not_installed", "format")])

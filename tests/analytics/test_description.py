"""The description of schema bi for Metabase, Superset and dbt, against the database and each tool's form."""

import io
import json
import zipfile
from datetime import date

import pytest
import yaml
from django.core.management import call_command
from django.db import connection

from analytics import metrics
from analytics.description import schema, tools
from tests import rows

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 25)


@pytest.fixture
def described(tmp_path):
    def describe(form):
        call_command("bi_description", format=form, to=tmp_path / form, stdout=io.StringIO())
        return (tmp_path / form).read_bytes()

    return describe


def in_the_database():
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'bi'")
        return {*cursor.fetchall()}


def test_every_column_is_described_in_words():
    relations = schema.read()
    assert {(one.name, column.name) for one in relations for column in one.columns} == in_the_database()
    assert all(one.meaning and all(column.meaning for column in one.columns) for one in relations)


def test_each_relation_has_its_grain_and_it_is_unique():
    rows.stand_at(DAY)
    rows.make_many(seed=5, today=DAY)
    rows.refresh_all()
    for relation in schema.read():
        assert relation.key, relation.name
        with connection.cursor() as cursor:
            columns = ", ".join(relation.key)
            cursor.execute(f"SELECT count(*), count(DISTINCT ({columns})) FROM bi.{relation.name}")
            total, places = cursor.fetchone()
        assert total == places > 0, relation.name


def test_what_a_column_refers_to_is_there():
    known = in_the_database()
    found = {(column.refers_to, column.name) for one in schema.read() for column in one.columns if column.refers_to}
    assert found
    assert found <= known


def test_metabase_is_told_types_keys_and_what_may_be_summed(described):
    tables = {table["name"]: table for table in json.loads(described("metabase"))["tables"]}
    fields = {field["name"]: field for field in tables["fct_triage_visits"]["fields"]}
    assert fields["triage_id"]["semantic_type"] == "type/PK"
    assert fields["facility_id"]["fk_target"] == "bi.dim_facilities.facility_id"
    assert fields["facility_state"]["semantic_type"] == "type/State"
    trends = {field["name"]: field["default_aggregation"] for field in tables["triage_trends"]["fields"]}
    assert (trends["total_visits"], trends["ma_7_day_visits"], trends["critical_pct"]) == ("sum", "none", "none")
    types = {field["semantic_type"] for table in tables.values() for field in table["fields"]} - {None}
    assert types == set(tools.SEMANTIC.values())


def test_superset_takes_a_dataset_of_each_relation(described):
    with zipfile.ZipFile(io.BytesIO(described("superset"))) as archive:
        files = {name: yaml.safe_load(archive.read(name)) for name in archive.namelist()}
    assert files["medilink/metadata.yaml"]["type"] == "SqlaTable"
    database = files["medilink/databases/Medilink.yaml"]
    datasets = [one for name, one in files.items() if "/datasets/Medilink/" in name]
    assert {one["table_name"] for one in datasets} == {relation.name for relation in schema.read()}
    for one in datasets:
        assert (one["schema"], one["version"], one["database_uuid"]) == ("bi", "1.0.0", database["uuid"])
        columns = {column["column_name"]: column for column in one["columns"]}
        assert one["main_dttm_col"] is None or columns[one["main_dttm_col"]]["is_dttm"]
        with connection.cursor() as cursor:  # what is offered can be asked
            for metric in one["metrics"]:
                cursor.execute(f"SELECT {metric['expression']} FROM bi.{one['table_name']}")


def test_only_what_may_be_summed_is_offered_as_a_sum(described):
    with zipfile.ZipFile(io.BytesIO(described("superset"))) as archive:
        one = yaml.safe_load(archive.read("medilink/datasets/Medilink/triage_trends.yaml"))
    summed = {metric["metric_name"].removeprefix("sum__") for metric in one["metrics"]} - {"count"}
    assert summed == {
        column for table, column, metric in metrics.columns() if (table, metric.aggregated) == ("triage_trends", "sum")
    }


def test_dbt_is_told_its_sources_with_tests_of_keys(described):
    found = yaml.safe_load(described("dbt"))
    assert found["version"] == 2
    [source] = found["sources"]
    assert source["schema"] == "bi"
    assert {
        (table["name"], column["name"]) for table in source["tables"] for column in table["columns"]
    } == in_the_database()
    visits = next(table for table in source["tables"] if table["name"] == "fct_triage_visits")
    columns = {column["name"]: column for column in visits["columns"]}
    assert columns["triage_id"]["data_tests"] == ["not_null", "unique"]
    assert columns["facility_id"]["data_tests"][0]["relationships"]["arguments"] == {
        "to": "source('medilink', 'dim_facilities')",
        "field": "facility_id",
    }


@pytest.mark.parametrize("form", [*tools.FORMATS])
def test_the_same_schema_is_described_alike(described, form):
    assert described(form) == described(form)

"""Every relation against the slow answer, its columns against its model, its lineage against PostgreSQL's catalog."""

from datetime import date

import pytest
from django.apps import apps
from django.db import connection

from analytics import models
from analytics.relations import MARTS, RELATIONS
from tests import rows
from tests.analytics import slow_answers, slow_codes

pytestmark = pytest.mark.django_db
MODELS = {
    "stg_facilities": models.StagedFacility,
    "stg_patients": models.StagedPatient,
    "stg_medical_records": models.StagedRecord,
    "stg_triage_visits": models.StagedVisit,
    "fct_medical_records": models.RecordFact,
    "fct_triage_visits": models.VisitFact,
    "dim_facilities": models.FacilityDimension,
    "dim_patients": models.PatientDimension,
    "patient_summary": models.PatientSummary,
    "facility_performance": models.FacilityPerformance,
    "patient_groups": models.PatientGroup,
    "triage_trends": models.TriageTrend,
    "condition_analysis": models.ConditionAnalysis,
    "condition_codes": models.ConditionCode,
}
SUPPRESSED = (models.SuppressedConditionAnalysis, models.SuppressedConditionCode)
GRAINS = {
    "patient_groups": ("facility_id", "age_group", "sex"),
    "triage_trends": ("state", "day"),
    "condition_analysis": ("condition", "month", "state", "age_group", "sex"),
    "condition_codes": ("code", "month", "state", "system"),
}
DEPENDENCIES = """
SELECT DISTINCT c.relname, below.relname
FROM pg_rewrite r
JOIN pg_class c ON c.oid = r.ev_class
JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
JOIN pg_class below ON below.oid = d.refobjid AND below.oid <> c.oid
WHERE c.relnamespace IN ('staging'::regnamespace, 'marts'::regnamespace)
"""


def query(sql, *params):
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def stored(name):
    """What the relation holds, by its grain."""
    return _by_grain(name, MODELS[name].objects.values())


def slow(name, today):
    return _by_grain(
        name, getattr(slow_codes if name == "condition_codes" else slow_answers, name)(slow_answers.Rows(today))
    )


def _by_grain(name, lines):
    grain = GRAINS.get(name) or (MODELS[name]._meta.pk.name,)
    lines = [{key: value for key, value in line.items() if key != "pk"} for line in lines]
    found = {tuple(line[column] for column in grain): line for line in lines}
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize(
    "today", [date(2024, 2, 29), date(2026, 1, 1), date(2026, 3, 1), date(2026, 11, 25)], ids=date.isoformat
)
def test_every_relation_is_what_slow_loops_over_the_rows_say(today):
    rows.stand_at(today)
    rows.make_many(seed=today.toordinal(), today=today)
    rows.refresh_all()
    for name in MODELS:
        assert stored(name) == slow(name, today), name


def test_without_a_row_every_mart_is_empty():
    rows.refresh_all()
    assert {name: MODELS[name].objects.count() for name in MODELS} == dict.fromkeys(MODELS, 0)


def test_what_is_deleted_is_in_no_relation():
    who = rows.patient()
    gone = {"deleted_at": rows.lagos(date(2026, 1, 2))}
    rows.record(who, date(2026, 1, 1), **gone)
    rows.visit(who, date(2026, 1, 1), conditions=["Malaria"], **gone)
    type(who).objects.update(**gone)
    who.facility.__class__.objects.update(**gone)
    rows.refresh_all()
    assert {name: MODELS[name].objects.count() for name in MODELS} == dict.fromkeys(MODELS, 0)


# --- Models and lineage


@pytest.mark.parametrize("model", [*MODELS.values(), *SUPPRESSED])
def test_a_models_columns_are_those_of_the_database(model):
    schema, name = model._meta.db_table.split('"."')
    found = query(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum",
        f"{schema}.{name}",
    )
    ours = {field.column: field.db_type(connection) for field in model._meta.concrete_fields if field.column}
    assert {column: _spelt(type_) for column, type_ in ours.items()} == dict(found)


def _spelt(type_):
    """As format_type() spells it."""
    return type_.replace("varchar", "character varying").replace(", ", ",")


def test_every_relation_has_a_model_and_is_made_by_no_model():
    unmanaged = {model for model in apps.get_app_config("analytics").get_models() if not model._meta.managed}
    ours = {model for model in unmanaged if "published_" not in model._meta.db_table}
    assert ours == {*MODELS.values(), *SUPPRESSED}


def test_relations_are_those_of_the_database_in_the_order_of_their_dependencies():
    kinds = {"v": "view", "m": "materialized view"}
    found = query(
        "SELECT relnamespace::regnamespace::text, relname, relkind FROM pg_class WHERE relkind IN ('v', 'm')"
        " AND relnamespace IN ('staging'::regnamespace, 'marts'::regnamespace)"
    )
    assert {(r.schema, r.name, r.kind) for r in RELATIONS} == {
        (schema, name, kinds[kind]) for schema, name, kind in found
    }
    for n, relation in enumerate(RELATIONS):
        assert set(relation.depends_on) <= {earlier.name for earlier in RELATIONS[:n]}


def test_relations_depend_on_and_read_what_the_catalog_says():
    below = {relation.name: set() for relation in RELATIONS}
    for name, other in query(DEPENDENCIES):
        below[name].add(other)

    def reads(name):
        return {name} if name not in below else set().union(*map(reads, below[name]))

    for relation in RELATIONS:
        assert set(relation.depends_on) == below[relation.name] & below.keys()
        assert relation.reads == reads(relation.name)


def test_each_mart_has_one_unique_index_on_plain_columns_which_is_its_grain():
    found = query(
        "SELECT c.relname, array_agg(a.attname ORDER BY k.n) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)"
        " LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
        " WHERE i.indisunique AND i.indpred IS NULL AND c.relnamespace = 'marts'::regnamespace"
        " GROUP BY c.relname, i.indexrelid"
    )
    expected = {r.name: GRAINS.get(r.name) or (MODELS[r.name]._meta.pk.name,) for r in MARTS}
    assert {name: tuple(columns) for name, columns in found} == expected
    assert len(found) == len(MARTS)

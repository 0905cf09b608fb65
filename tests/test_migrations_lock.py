"""Migrations of a release after the first one: nobody waits for them, and the release before them goes on."""

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q
from django.db.models.functions import Now

from tests import migration_lint
from tests.migration_lint import EXEMPT, FIRST_RELEASE, RULES

NOOP = migrations.RunSQL.noop
ADD = "ALTER TABLE patients ADD COLUMN x "


def nothing(apps, schema_editor): ...


def of_patients(apps, schema_editor):
    apps.get_model("clinical", "Patient")


def run(sql, reverse=NOOP):
    return migrations.RunSQL(sql, reverse)


def add(field):
    return migrations.AddField("patient", "x", field)


def index(name="patients_x"):
    return models.Index(fields=["sex"], name=name)


@pytest.fixture(scope="module")
def loader(django_db_setup, django_db_blocker):
    """Outside of any transaction, because nothing is written."""
    with django_db_blocker.unblock():
        yield MigrationLoader(connection)


def rules_broken(loader, *operations, atomic=True, earlier=""):
    migration = migrations.Migration("9999_next", "clinical")
    migration.operations, migration.atomic = operations, atomic
    return migration_lint.broken(migration, loader.project_state(), connection, earlier)


def is_newer(app, name):
    return app in FIRST_RELEASE and name[:4] > FIRST_RELEASE[app][:4]


def test_no_migration_of_a_later_release_keeps_anybody_waiting(loader):
    wrong, earlier = {}, ""
    for app, name in sorted(loader.disk_migrations):
        if is_newer(app, name):
            migration, state = loader.get_migration(app, name), loader.project_state((app, name), at_end=False)
            found = migration_lint.broken(migration, state, connection, earlier)
            assert EXEMPT.get((app, name), {}).keys() <= found  # what is exempt is needed
            for rule in found - EXEMPT.get((app, name), {}).keys():
                wrong[f"{app}.{name}", rule] = RULES[rule]
            earlier += migration_lint.sql(migration, state, connection)
    assert wrong == {}


def test_the_first_release_is_what_it_says(loader):
    assert {*FIRST_RELEASE.items()} <= loader.disk_migrations.keys()


@pytest.mark.parametrize(
    ("rule", "operation"),
    [
        ("irreversible", migrations.RunSQL("SELECT 1")),
        ("irreversible", migrations.RunPython(nothing)),
        ("own limit", run("SET LOCAL lock_timeout = '1h'")),
        ("column without default", add(models.IntegerField(default=0))),
        ("column without default", run(ADD + "int NOT NULL")),
        ("column without default", run("ALTER TABLE rules ADD COLUMN x int NOT NULL")),
        ("rewrite", run(ADD + "uuid DEFAULT gen_random_uuid()")),
        ("rewrite", run(ADD + "int GENERATED ALWAYS AS (1) STORED")),
        ("type", run("ALTER TABLE patients ALTER COLUMN sex TYPE text")),
        ("not null", run("ALTER TABLE patients ALTER sex SET NOT NULL")),
        ("constraint", migrations.AddConstraint("patient", models.CheckConstraint(condition=Q(sex="F"), name="x"))),
        ("constraint", run("ALTER TABLE patients ADD CONSTRAINT x FOREIGN KEY (id) REFERENCES patients (id)")),
        ("constraint", run("DO $$ BEGIN ALTER TABLE patients ADD CONSTRAINT x CHECK (id > 0); END $$")),
        (
            "validated at once",
            run("ALTER TABLE patients VALIDATE CONSTRAINT x, ADD CONSTRAINT x CHECK (true) NOT VALID"),
        ),
        ("unique", migrations.AddConstraint("patient", models.UniqueConstraint(fields=["phone"], name="x"))),
        ("unique", run(ADD + "int UNIQUE")),
        ("index", migrations.AddIndex("patient", index())),
        ("index", run("CREATE INDEX x ON public.triage_visits (id)")),
        ("concurrently", run("CREATE INDEX CONCURRENTLY x ON patients (id)")),
        ("gone", migrations.RemoveField("patient", "phone")),
        ("gone", migrations.RenameField("patient", "phone", "telephone")),
        ("gone", migrations.DeleteModel("Patient")),
        ("gone", run("ALTER TABLE rules RENAME TO orders")),
        ("gone", run("DROP VIEW restricted_rows")),
        ("rows", run("UPDATE patients SET sex = 'F'")),
        ("rows", run("-- quick\nDELETE FROM triage_visits")),
        ("whole table", run("TRUNCATE rejected_rows")),
        ("whole table", run("LOCK TABLE patients")),
        ("whole table", run("REFRESH MATERIALIZED VIEW marts.triage_trends")),
        ("python in one piece", migrations.RunPython(of_patients, nothing)),
    ],
)
def test_what_keeps_others_waiting_is_found(loader, rule, operation):
    assert rule in rules_broken(loader, operation)


@pytest.mark.parametrize(
    ("rule", "operations"),
    [
        ("two tables", [run(ADD + "int"), run("ALTER TABLE triage_visits ADD COLUMN x int")]),
        ("python beside tables", [run(ADD + "int"), migrations.RunPython(of_patients, nothing)]),
        ("fill", [run(ADD + "int"), run("CREATE MATERIALIZED VIEW marts.x AS SELECT 1")]),
    ],
)
def test_what_together_keeps_others_waiting_is_found(loader, rule, operations):
    assert rule in rules_broken(loader, *operations)


def test_two_operations_outside_of_a_transaction_are_found(loader):
    operations = [AddIndexConcurrently("patient", index("x")), AddIndexConcurrently("patient", index("y"))]
    assert rules_broken(loader, *operations, atomic=False) == {"not atomic"}


@pytest.mark.parametrize(
    "operation",
    [
        add(models.IntegerField(null=True)),
        add(models.DateTimeField(db_default=Now())),
        add(models.ForeignKey("clinical.facility", models.PROTECT, null=True, db_index=False)),
        migrations.CreateModel("Note", [("id", models.BigAutoField(primary_key=True)), ("text", models.TextField())]),
        run("CREATE TABLE x (id int); CREATE INDEX y ON x (id); INSERT INTO x SELECT id FROM patients"),
        run("ALTER TABLE patients ADD CONSTRAINT x CHECK (id > 0) NOT VALID"),
        run("ALTER TABLE patients VALIDATE CONSTRAINT x"),
        run("ALTER TABLE patients ADD CONSTRAINT x UNIQUE USING INDEX y"),
        run("ALTER TABLE patients DROP CONSTRAINT x, ALTER sex DROP NOT NULL, ALTER sex DROP DEFAULT"),
        run("CREATE OR REPLACE FUNCTION x() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM patients; END $$"),
        run("CREATE MATERIALIZED VIEW marts.x AS SELECT id FROM patients"),
        run("REFRESH MATERIALIZED VIEW CONCURRENTLY marts.triage_trends"),
        run("ALTER TABLE rules ADD CONSTRAINT x CHECK (id > 0)"),
    ],
)
def test_what_keeps_nobody_waiting_passes(loader, operation):
    assert rules_broken(loader, operation) == set()


def test_an_index_that_is_built_beside_the_work_passes(loader):
    assert rules_broken(loader, AddIndexConcurrently("patient", index()), atomic=False) == set()


def test_rows_that_are_changed_in_batches_pass(loader):
    assert rules_broken(loader, migrations.RunPython(of_patients, nothing), atomic=False) == set()


def test_not_null_passes_where_a_migration_before_has_proven_it(loader):
    made = 'ALTER TABLE patients ADD CONSTRAINT told CHECK ("sex" IS NOT NULL) NOT VALID;'
    last = run("ALTER TABLE patients ALTER sex SET NOT NULL")
    assert rules_broken(loader, last, earlier=made) == {"not null"}
    assert rules_broken(loader, last, earlier=made + "ALTER TABLE patients VALIDATE CONSTRAINT told") == set()

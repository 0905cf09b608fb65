"""Schema bi and the role that reads it: what it shows, what it withholds, and that there is no way round."""

import io
from contextlib import closing
from datetime import date

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection, transaction

from analytics import bi, dictionary
from tests import rows

MASKED = {
    *("first_name", "last_name", "full_name", "phone_number", "date_of_birth", "clinical_notes", "record_data"),
    *("treatment", "recommendations", "language_code", "provider_name", "chief_complaint", "vital_signs"),
    *("patient_number", "visit_id"),
}
NAMES = {
    *("stg_facilities", "stg_patients", "stg_medical_records", "stg_triage_visits"),
    *("fct_medical_records", "fct_triage_visits", "dim_facilities", "dim_patients", "patient_summary"),
    *("facility_performance", "triage_trends", "condition_analysis", "condition_codes"),
}


def make_role(**options):
    out = io.StringIO()
    call_command("create_bi_role", stdout=out, **options)
    return out.getvalue().strip()


@pytest.fixture
def reader(db):
    """This connection as the role, until the test ends."""
    make_role()
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL SESSION AUTHORIZATION {bi.ROLE}")
        yield cursor
        # What a test broke in the transaction is gone by now; the role must not outlive it on this connection.
        cursor.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")


def refusal(cursor, sql):
    """What PostgreSQL says against it; None where it is done."""
    try:
        with transaction.atomic():
            cursor.execute(sql)
    except ProgrammingError as error:
        return error.__cause__.pgcode
    return None


DENIED = "42501"


# --- What it shows


SAYS_WHAT_IS_SHOWN = {"is_small", "shows_total", "shows_share", "shown_frequency_rank", "shown_severity_rank"}


def test_bi_has_the_thirteen_relations_and_none_of_their_masked_columns(db):
    found = {
        entry.name: {column.name for column in entry.columns} for entry in dictionary.read() if entry.schema == "bi"
    }
    assert found.keys() == NAMES
    assert set().union(*found.values()) & MASKED == set()


def test_bi_withholds_nothing_but_what_is_masked(db):
    columns = {(entry.schema, entry.name): {c.name for c in entry.columns} for entry in dictionary.read()}
    for name in NAMES:
        source = columns.get(("marts", name)) or columns["staging", name]
        assert source - columns["bi", name] - MASKED <= SAYS_WHAT_IS_SHOWN
        assert columns["bi", name] - source <= {"birth_year", "suppressed"}


def test_no_relation_and_no_column_is_without_a_comment(db):
    entries = dictionary.read()
    silent = [(e.schema, e.name) for e in entries if not e.comment]
    silent += [(e.schema, e.name, c.name) for e in entries for c in e.columns if not c.comment]
    assert len(entries) == 28
    assert silent == []


def test_the_dictionary_says_type_kind_and_meaning(db):
    entry = next(e for e in dictionary.read() if (e.schema, e.name) == ("marts", "triage_trends"))
    assert entry.kind == "materialized view"
    assert entry.columns[0] == dictionary.Column("day", "date", "Africa/Lagos day")


def test_birth_year_stands_for_the_date(db):
    rows.patient(dob=date(1990, 12, 31))
    rows.refresh_all()
    with connection.cursor() as cursor:
        cursor.execute("SELECT s.birth_year, d.birth_year FROM bi.stg_patients s, bi.dim_patients d")
        assert cursor.fetchall() == [(1990, 1990)]


# --- The role


def test_the_role_reads_every_view_of_bi(reader):
    for name in NAMES:
        assert refusal(reader, f"SELECT count(*), count(x) FROM bi.{name} AS x") is None, name


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT FROM public.patients",
        "SELECT FROM public.clinical_user",
        "SELECT FROM staging.stg_patients",
        "SELECT FROM marts.dim_patients",
        "SELECT FROM marts.condition_analysis",
        "SELECT staging.lagos_today()",
        "INSERT INTO bi.stg_facilities (facility_id) VALUES (1)",
        "DELETE FROM bi.stg_patients",
        "UPDATE bi.stg_facilities SET lga = ''",
        "CREATE VIEW bi.mine AS SELECT 1",
        "CREATE TABLE public.mine ()",
        "CREATE SCHEMA mine",
        "SET ROLE medilink",
    ],
)
def test_the_role_is_denied(reader, sql):
    assert refusal(reader, sql) == DENIED


def test_the_role_cannot_move_today_to_find_a_birthday(db):
    rows.patient(dob=date(1990, 12, 31))
    make_role()
    with connection.cursor() as cursor:
        cursor.execute("SELECT age_years FROM bi.stg_patients")
        known = cursor.fetchone()
        cursor.execute(f"SET LOCAL SESSION AUTHORIZATION {bi.ROLE}")
        rows.stand_at(date(1999, 12, 31))
        cursor.execute("SELECT age_years FROM bi.stg_patients")
        found = cursor.fetchone()
        cursor.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
    assert found == known


def test_making_the_role_again_brings_it_back_into_shape(db):
    line = make_role()
    with connection.cursor() as cursor:
        cursor.execute(f"GRANT USAGE ON SCHEMA marts TO {bi.ROLE}; GRANT SELECT ON marts.dim_patients TO {bi.ROLE}")
        cursor.execute(f"ALTER ROLE {bi.ROLE} NOLOGIN INHERIT")
        assert make_role() == line
        cursor.execute(f"SELECT has_table_privilege('{bi.ROLE}', 'marts.dim_patients', 'SELECT')")
        assert cursor.fetchone() == (False,)
        cursor.execute("SELECT rolcanlogin, rolinherit, rolsuper FROM pg_roles WHERE rolname = %s", [bi.ROLE])
        assert cursor.fetchone() == (True, False, False)


def test_a_view_that_bi_gets_later_is_readable_too(db):
    make_role()
    with connection.cursor() as cursor:
        cursor.execute("CREATE VIEW bi.later AS SELECT 1 AS one")
        cursor.execute(f"SELECT has_table_privilege('{bi.ROLE}', 'bi.later', 'SELECT')")
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize(
    "sql",
    [
        f"ALTER ROLE {bi.ROLE} SUPERUSER",
        f"ALTER ROLE {bi.ROLE} CREATEROLE",
        f"GRANT pg_read_all_data TO {bi.ROLE}",
        "GRANT SELECT ON public.patients TO PUBLIC",
        "GRANT SELECT (first_name) ON public.patients TO PUBLIC",
    ],
)
def test_a_role_that_can_do_more_is_refused_with_the_reason(db, sql):
    make_role()
    with connection.cursor() as cursor:
        cursor.execute(sql)
    with pytest.raises(CommandError, match=r"powers|could reach patients"):
        make_role()


def test_a_database_user_who_may_not_make_roles_is_told(db):
    make_role()
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL SESSION AUTHORIZATION {bi.ROLE}")
        with pytest.raises(CommandError, match="give it CREATEROLE"):
            make_role()
        cursor.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")


def test_a_password_is_wanted_where_it_was_promised(db, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(CommandError) as raised:
        make_role(password_stdin=True)
    assert raised.value.returncode == 2


@pytest.fixture
def logged_in(transactional_db, monkeypatch):
    """A connection of the role's own, made with the line that the command prints; the role is dropped afterwards."""
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough secret\n"))
    line = make_role(password_stdin=True)
    assert "secret" not in line
    with closing(psycopg2.connect(line)) as own:
        own.autocommit = True
        yield own
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {bi.ROLE}; DROP ROLE {bi.ROLE}")


def test_the_role_logs_in_reads_bi_by_bare_names_and_writes_nothing(logged_in):
    with logged_in.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM dim_facilities")
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only')")
        settings = cursor.fetchone()
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            cursor.execute("CREATE TEMPORARY TABLE mine ()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = %s", [bi.ROLE])
        assert cursor.fetchone() == (True,)
    assert settings == ("1min", "on")

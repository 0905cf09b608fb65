"""The second wall: what the web's role sees in plain SQL, whatever the code in front of it has forgotten."""

import time
from contextlib import contextmanager
from datetime import date
from itertools import pairwise

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection, transaction
from django.test.utils import CaptureQueriesContext

from clinical import access, factors, row_security
from clinical.models import DuplicatePair, Membership, Table, User
from medilink import web_role
from tests.callers import Caller
from tests.ingestion.factories import batch
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
TABLES = ("facilities", "patients", "medical_records", "triage_visits", "rejected_rows")


@contextmanager
def the_web(claim=None):
    """Statements of this test as the web's role, bare: nothing is said for whom they stand but this."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {row_security.ROLE}")
        if claim is not None:
            cursor.execute("SELECT set_config('medilink.scope', %s, true)", [claim])
        yield cursor
        cursor.execute("RESET ROLE; SELECT set_config('medilink.scope', '', true)")


def seen(claim=None, tables=TABLES):
    with the_web(claim) as cursor:
        found = {}
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table}")
            found[table] = cursor.fetchone()[0]
        return found


def refusal(sql, claim=None):
    """The SQLSTATE with which it is refused; None where it goes through."""
    try:
        with the_web(claim) as cursor:
            cursor.execute(sql)
    except Error as error:
        return error.__cause__.pgcode
    return None


def holder(*pairs):
    return Caller(*pairs).user


def claim_of(*pairs):
    return row_security.claim(holder(*pairs).pk)


@pytest.fixture
def country():
    """A patient with a record, a visit and a refused row in Kano, and the same in Lagos."""
    places = []
    for state, lga in (("KANO", "Dala"), ("LAGOS", "Ikeja")):
        clinic = facility(state=state, lga=lga, lga_name=lga)
        someone = patient(clinic)
        record(someone, DAY)
        visit(someone, DAY)
        batch().rejected_rows.create(line=2, reasons=["X"], raw={"n": state}, dataset="patients", facility=clinic)
        places.append(clinic)
    return places


# --- Without a word, or with a false one, nothing is there


def test_a_statement_that_stands_for_nobody_sees_nothing(country):
    assert seen() == dict.fromkeys(TABLES, 0)


def test_a_made_up_scope_sees_nothing(country):
    true = claim_of(("steward",))
    user, ends, signature = true.split(":")
    forged = {
        "another user": f"{holder(('steward',)).pk}:{ends}:{signature}",
        "the application": f"0:{ends}:{signature}",
        "a later end": f"{user}:{int(ends) + 60}:{signature}",
        "no signature": f"{user}:{ends}",
        "not hexadecimal": f"{user}:{ends}:{'g' * 64}",
        "another key": row_security._claim(int(user), int(ends), b"another key"),
        "in plain words": "nation",
        "a statement": "1'; SELECT 1; --",
    }
    assert {name: sum(seen(claim).values()) for name, claim in forged.items()} == dict.fromkeys(forged, 0)
    assert sum(seen(true).values()) == 10


def test_a_claim_that_is_over_sees_nothing(country):
    user = holder(("steward",))
    assert sum(seen(row_security._claim(user.pk, int(time.time()) - 1, row_security.signing_keys()[0])).values()) == 0


def test_a_claim_ends_with_its_transaction(country):
    with the_web(claim_of(("steward",))):
        pass
    assert sum(seen().values()) == 0


def test_the_key_of_claims_and_what_is_known_of_the_wall_cannot_be_read_nor_changed():
    keys = ("SELECT * FROM row_security_keys", "INSERT INTO row_security_keys VALUES ('x')")
    for sql in (*keys, "SELECT * FROM wall", "DELETE FROM wall"):
        assert refusal(sql, claim_of(("steward",))) == "42501"


# --- With a true one, what the memberships say


@pytest.mark.parametrize("role", access.Role.values)
@pytest.mark.parametrize(
    "scope", [{}, {"state": "KANO"}, {"state": "KANO", "lga": "Dala"}, {"facility": 0}, {"facility": 1}]
)
def test_a_scope_is_what_plain_sql_finds(country, role, scope):
    scope = {name: country[value] if name == "facility" else value for name, value in scope.items()}
    in_scope = 2 if not scope else 1
    resources = dict(zip(TABLES, ("facilities", "patients", "records", "visits", "deliveries"), strict=True))
    expected = {
        table: in_scope if access.READ in access.ALLOWED[access.Role(role)][resource] else 0
        for table, resource in resources.items()
    }
    assert seen(claim_of((role, scope))) == expected


def test_the_union_of_pairs_counts_for_each_table(country):
    found = seen(claim_of(("clinician", {"facility": country[0]}), ("clerk", {"state": "LAGOS"})))
    assert (found["patients"], found["medical_records"], found["rejected_rows"]) == (2, 1, 0)


def test_a_role_taken_away_and_a_disabled_user_count_at_the_next_statement(country):
    user = holder(("clinician",))
    claim = row_security.claim(user.pk)
    assert seen(claim)["patients"] == 2
    Membership.objects.filter(user=user).update(role="auditor")
    assert seen(claim)["patients"] == 0
    Membership.objects.filter(user=user).update(role="clinician")
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert sum(seen(claim).values()) == 0


def test_a_refused_row_of_no_known_facility_is_of_the_state_that_row_or_folder_names(country):
    for folder, state in (("in/Kano State/x", None), ("x", "kano"), ("lagos", None), ("", None)):
        raw = {"facility_state": state} if state else {"n": folder}
        batch(folder=folder).rejected_rows.create(line=3, reasons=["X"], raw=raw, dataset="patients")
    assert seen(claim_of(("steward", {"state": "KANO"})))["rejected_rows"] == 1 + 2
    assert seen(claim_of(("steward",)))["rejected_rows"] == 2 + 4


@pytest.mark.parametrize("relation", ["patient_names", "facility_names", "scoped.fct_triage_visits", "revisions"])
def test_views_and_the_past_end_at_the_scope_too(country, relation):
    for clinic in country:
        someone = clinic.patients.get()
        someone.phone = "+2348031234567"
        someone.save()
    assert seen(tables=[relation])[relation] == 0
    assert seen(claim_of(("clinician", {"state": "KANO"})), [relation])[relation] == 1
    assert seen(claim_of(("clinician",)), [relation])[relation] == 2


def test_parts_of_names_are_searched_within_the_scope(country):
    search = "(SELECT patients_named(ARRAY['okaf'])) AS found"
    for claim, count in ((None, 0), (claim_of(("clerk", {"state": "KANO"})), 1), (claim_of(("auditor",)), 0)):
        assert seen(claim, [search])[search] == count
    assert seen(claim_of(("clerk",)), ["(SELECT patients_named(ARRAY['%', 'o_a'])) AS found"]).popitem()[1] == 0


# --- What may be written


def test_plain_sql_writes_only_where_the_role_may(country):
    new = "INSERT INTO patients (facility_id, first_name, last_name, dob, sex) VALUES ({}, 'A', 'B', '1990-01-01', 'F')"
    kano, lagos = (new.format(clinic.pk) for clinic in country)
    clerk, analyst = claim_of(("clerk", {"state": "KANO"})), claim_of(("analyst",))
    assert (refusal(kano, clerk), refusal(lagos, clerk), refusal(kano, analyst)) == (None, "42501", "42501")
    move = f"UPDATE patients SET facility_id = {country[1].pk} WHERE facility_id = {country[0].pk}"
    assert refusal(move, clerk) == "42501"
    with the_web(analyst) as cursor:
        cursor.execute("UPDATE patients SET phone = NULL")
        assert cursor.rowcount == 0
    with the_web(clerk) as cursor:
        cursor.execute("DELETE FROM triage_visits")
        assert cursor.rowcount == 0


POWERS = (
    "UPDATE clinical_user SET is_superuser = true",
    "UPDATE clinical_user SET is_active = true WHERE NOT is_active",
    "INSERT INTO memberships (user_id, role, state, lga) SELECT id, 'steward', '', '' FROM clinical_user",
    "INSERT INTO role_rights VALUES ('clerk', 'records', 'read')",
)


@pytest.mark.parametrize("sql", POWERS)
def test_nobody_gives_themselves_powers(sql):
    User.objects.create_user("asleep", is_active=False)
    assert refusal(sql, claim_of(("steward",))) == "42501"


def test_a_superuser_gives_powers(alice):
    claim = row_security.claim(alice.pk)
    User.objects.create_user("asleep", is_active=False)
    assert [refusal(sql, claim) for sql in POWERS] == [None, None, None, "42501"]


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER TABLE patients DISABLE ROW LEVEL SECURITY",
        "DROP POLICY scope_read ON patients",
        "CREATE TABLE mine (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "DELETE FROM revisions",
        "UPDATE django_migrations SET name = 'x'",
        "TRUNCATE patients",
        "SELECT * FROM marts.dim_patients",
        "SELECT * FROM staging.stg_patients",
        "COPY patients TO PROGRAM 'cat'",
    ],
)
def test_the_web_cannot_take_the_wall_down(sql):
    assert refusal(sql, claim_of(("steward",))) == "42501"


# --- Nothing is forgotten


def test_the_web_owns_nothing_and_is_a_member_of_nothing():
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = %s::regrole", [row_security.ROLE])
        assert cursor.fetchone() == (0,)
        cursor.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb,"
            " EXISTS (SELECT FROM pg_auth_members WHERE member = oid) FROM pg_roles WHERE rolname = %s",
            [row_security.ROLE],
        )
        assert cursor.fetchone() == (False,) * 5


def test_whatever_tells_of_a_patient_has_a_policy():
    """Every table and view that the web may read and that has a column of a patient or facility."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT c.oid::regclass::text, c.relkind, c.relrowsecurity, c.reloptions::text
            FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE a.attname IN ('patient_id', 'facility_id', 'first_name', 'first_name_key', 'dob', 'was', 'raw')
              AND c.relkind IN ('r', 'p', 'v', 'm') AND has_table_privilege(%s, c.oid, 'SELECT')
              AND c.relnamespace <> 'information_schema'::regnamespace
            """,
            [row_security.ROLE],
        )
        open_ones = {
            name
            for name, kind, has_policy, options in cursor.fetchall()
            if not (
                has_policy
                or (kind == "v" and ("security_invoker=true" in (options or "") or name.startswith("scoped.")))
            )
        }
    assert open_ones <= WITHOUT_NAMES


WITHOUT_NAMES = {
    "clinical_user",
    "memberships",
    "program_tokens",
    "rules",
    "rule_uses",
    "sightings",
    "restricted_rows",  # ids alone; it cuts by scope itself
    "facility_signals",
    "dhis2_org_units",
    "dhis2_sendings",
}


def test_functions_that_run_as_the_owner_can_be_led_astray_by_no_schema_of_the_caller():
    """Each names its relations with their schema, or has a search path of its own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, prosrc FROM pg_proc WHERE prosecdef AND proconfig IS NULL"
            " AND pronamespace = 'public'::regnamespace"
        )
        for name, body in cursor.fetchall():
            words = body.replace("epoch FROM", "").replace("(", " ").split()
            relations = [after for word, after in pairwise(words) if word in ("FROM", "JOIN")]
            assert all(one.startswith("public.") for one in relations), name


def test_the_database_knows_the_table_of_roles():
    with connection.cursor() as cursor:
        cursor.execute("SELECT role, resource, action FROM role_rights")
        assert {*cursor.fetchall()} == {
            (role.value, resource, action)
            for role, resources in access.ALLOWED.items()
            for resource, actions in resources.items()
            for action in actions
        }


# --- How the web comes to it


@pytest.mark.django_db(transaction=True)
def test_the_web_does_not_run_with_a_secret_that_the_database_does_not_know(settings):
    settings.SECRET_KEY = "another one " * 5
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {row_security.ROLE}")
    with pytest.raises(ImproperlyConfigured, match="migrate"):
        row_security.put_up(connection)


def test_a_claim_of_the_secret_before_the_last_rotation_is_known(settings, country):
    user = holder(("steward",))
    old = row_security.claim(user.pk)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new one " * 6, [settings.SECRET_KEY]
    web_role.prepare()
    assert sum(seen(old).values()) == sum(seen(row_security.claim(user.pk)).values()) == 10


def test_the_roles_limit_is_set_where_it_is_another(country, settings):
    """An administrator may have set it, where we may not and would only say so at each migrate."""
    settings.DB_STATEMENT_TIMEOUT_MS = 12_345
    for is_changed in (True, False):
        with CaptureQueriesContext(connection) as asked:
            web_role.prepare()
        assert ("SET statement_timeout = 12345" in str(asked.captured_queries)) is is_changed


def test_an_export_is_read_for_who_asked_though_the_request_is_over(country):
    response = Caller(("clinician", {"state": "KANO"})).get("/api/patients", {"format": "ndjson"})
    row_security.stand_for(None)
    with connection.execute_wrapper(row_security.guard), connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL ROLE {row_security.ROLE}")
        lines = b"".join(response.streaming_content).splitlines()
        cursor.execute("RESET ROLE")
    assert len(lines) == 1


@pytest.mark.django_db(transaction=True)
def test_what_a_worker_is_writing_holds_back_changed_since_for_the_web_too():
    worker = connection.copy()
    try:
        with worker.cursor() as cursor:
            cursor.execute("BEGIN; SELECT pg_current_xact_id(), now()")
            began = cursor.fetchone()[1]
        with the_web() as cursor:
            cursor.execute("SELECT oldest_writer() <= %s", [began])
            assert cursor.fetchone()[0]
    finally:
        worker.close()


@pytest.mark.django_db(transaction=True)
def test_the_web_does_not_go_on_as_a_user_whom_no_policy_binds():
    connection.ensure_connection()
    with pytest.raises(ImproperlyConfigured, match="create_web_role"):
        row_security.put_up(connection)
    assert connection.connection is None


def test_nobody_sets_the_password_of_another_nor_makes_a_token(alice):
    someone = holder(("steward",))
    another = "UPDATE clinical_user SET password = 'x' WHERE username = 'alice'"
    token = f"INSERT INTO program_tokens (user_id, digest, expires_at) VALUES ({alice.pk}, 'x', now())"
    claim = row_security.claim(someone.pk)
    assert (refusal(another, claim), refusal(token, claim)) == ("42501", "42501")
    assert refusal(f"UPDATE clinical_user SET password = 'x' WHERE id = {someone.pk}", claim) is None


# --- The logs, pairs and second factors


@pytest.mark.django_db(transaction=True)  # each transaction may read back what it has written itself
def test_the_audit_is_read_by_national_auditors_alone_and_written_by_anybody(country, alice):
    line = "INSERT INTO audit_events (action, \"table\") VALUES ('read', 'patients')"
    for claim in (None, claim_of(("steward",))):
        assert refusal(line, claim) is None
        assert refusal(f"{line} RETURNING id", claim) is None
    several = (claim_of(("auditor",)), row_security.claim(alice.pk))
    assert all(seen(claim, ["audit_events"])["audit_events"] >= 4 for claim in several)
    others = (None, claim_of(("steward",)), claim_of(("auditor", {"state": "KANO"})), claim_of(("clinician",)))
    assert [seen(claim, ["audit_events"])["audit_events"] for claim in others] == [0] * 4


def test_a_pair_is_seen_by_whom_both_its_sides_are_to_decide(country):
    kano, lagos = country
    for clinic in country:
        pair(Table.PATIENTS, clinic.patients.get(), patient(clinic, first_name="Adaobi"), clinic, clinic)
    pair(Table.FACILITIES, kano, lagos, kano, lagos)
    for pairs, count in (
        ([("steward",)], 3),
        ([("steward", {"state": "KANO"})], 1),
        ([("steward", {"state": "KANO"}), ("steward", {"facility": lagos})], 3),
        ([("clinician", {"facility": kano})], 1),
        ([("analyst",)], 0),
        ([("auditor",)], 0),
    ):
        assert seen(claim_of(*pairs), ["duplicate_pairs"])["duplicate_pairs"] == count, pairs
    assert seen(tables=["duplicate_pairs"])["duplicate_pairs"] == 0
    with the_web(claim_of(("steward",))) as cursor:
        cursor.execute("UPDATE duplicate_pairs SET score = 99")
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM duplicate_pairs")
        assert cursor.rowcount == 0


def pair(table, one, other, place, other_place):
    low, high = sorted((one.pk, other.pk))
    places = {"facility": place, "other_facility": other_place}
    return DuplicatePair.objects.create(
        table=table, low_id=low, high_id=high, score=1, evidence=[], version=1, **places
    )


def test_only_its_owner_changes_a_second_factor_and_only_a_superuser_takes_it_away(alice):
    owner, other = holder(("clinician",)), holder(("steward",))
    codes = factors.confirm(owner, factors.code_now(factors.begin(owner)))
    assert len(codes) == 10

    def rows_of(sql, user):
        with the_web(user and row_security.claim(user.pk)) as cursor, transaction.atomic():
            cursor.execute(sql)
            transaction.set_rollback(True)
            return cursor.rowcount

    change, away = "UPDATE second_factors SET last_step = 0", "DELETE FROM second_factors"
    assert [rows_of(change, user) for user in (None, other, owner)] == [0, 0, 1]
    assert [rows_of(away, user) for user in (None, other, owner, alice)] == [0, 0, 0, 1]
    assert [rows_of("DELETE FROM recovery_codes", user) for user in (None, other, owner, alice)] == [0, 0, 10, 10]
    mine = f"INSERT INTO second_factors (user_id, secret, last_step) VALUES ({other.pk}, '', 0)"
    assert [refusal(mine, row_security.claim(user.pk)) for user in (owner, other)] == ["42501", None]


def test_the_web_may_do_to_each_table_what_its_list_says_and_to_all_others_nothing_but_read():
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT c.relname, array_remove(array_agg(p.name) FILTER (
                WHERE has_table_privilege(%s, c.oid, p.name)), NULL)
            FROM pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
                 AS p (name)
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
            GROUP BY c.relname
            """,
            [row_security.ROLE],
        )
        granted = {table: {*(rights or ())} for table, rights in cursor.fetchall()}
    months = {table for table in granted if table.startswith("audit_events_")}
    expected = {table: {"SELECT", *web_role.WRITTEN.get(table, ())} for table in granted}
    assert granted == expected | {table: set() for table in (*web_role.HIDDEN, *months)}


def test_what_the_web_could_take_for_itself_or_wipe_out_is_not_on_its_list():
    assert web_role.WRITTEN["audit_events"] == ("INSERT",)
    assert web_role.WRITTEN["program_tokens"] == ("UPDATE",)
    assert "DELETE" not in web_role.WRITTEN["clinical_user"]
    assert not {
        *("role_rights", "revisions", "audit_seals", "erased_identities", "index_keys", "django_migrations", "backups"),
        *("clinical_user_user_permissions", "clinical_user_groups", "auth_permission", "auth_group", "alerts"),
    } & {*web_role.WRITTEN}

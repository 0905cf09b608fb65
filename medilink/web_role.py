"""The database role of the web: what it may touch, and what its policies go by (clinical/row_security.py).

After each migrate the grants are given anew, the database learns the table of roles and the keys of claims, and the
audit gets its months.
"""

import logging
from typing import Any

from django.conf import settings
from django.db import ProgrammingError, connection, transaction

from clinical import access, database_roles, geography, row_security
from clinical.audit import partitions

logger = logging.getLogger(__name__)
ROLE = row_security.ROLE
NEW, CHANGED, GONE = "INSERT", "UPDATE", "DELETE"
# What a page or a request of the API does to which table; whatever is not named here is only read. Where a page takes
# a row away it reverts a load, withdraws, or undoes. Triggers write what a page sets off.
WRITTEN = {
    **dict.fromkeys(("facilities", "patients", "medical_records", "triage_visits"), (NEW, CHANGED, GONE)),
    **dict.fromkeys(("facility_aliases", "patient_aliases", "duplicate_pairs"), (NEW, CHANGED, GONE)),
    **dict.fromkeys(("ingest_batches", "ingest_sources", "rules", "causes", "merges"), (NEW, CHANGED)),
    **dict.fromkeys(("ingest_runs", "ingest_sightings", "rejected_rows", "rule_uses"), (NEW, CHANGED, GONE)),
    "cause_comments": (NEW,),
    **dict.fromkeys(("facility_signals", "data_owners"), (CHANGED,)),
    "excluded_rows": (NEW,),
    "dhis2_org_units": (NEW, CHANGED),
    "term_decisions": (NEW,),
    "term_texts": (NEW, CHANGED),
    "erasures": (NEW, CHANGED, GONE),
    "audit_events": (NEW,),
    "clinical_user": (NEW, CHANGED),
    "memberships": (NEW, CHANGED, GONE),
    "program_tokens": (CHANGED,),
    "logins": (NEW, CHANGED),
    "second_factors": (NEW, CHANGED, GONE),
    "recovery_codes": (NEW, GONE),
    **dict.fromkeys(("login_failures", "django_session", "idempotency_keys"), (NEW, CHANGED, GONE)),
    **dict.fromkeys(("fhir_exports", "smart_clients"), (NEW, CHANGED)),
    "smart_tokens": (NEW,),
    "report_addressees": (NEW, CHANGED, GONE),
    "report_mails": (GONE,),
    "django_admin_log": (NEW,),
    "django_celery_beat_periodictask": (CHANGED,),
    "django_celery_beat_periodictasks": (NEW, CHANGED),
    **dict.fromkeys(
        (f"django_celery_beat_{name}schedule" for name in ("clocked", "crontab", "interval", "solar")), (NEW, CHANGED)
    ),
}
HIDDEN = ("row_security_keys", "wall")
FILLED = ("role_rights", "state_names")
GRANTS = f"""
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public, staging, marts, scoped TO {ROLE};
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE};
GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE};
{"".join(f"GRANT {', '.join(rights)} ON {table} TO {ROLE};" for table, rights in WRITTEN.items())}
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ROLE};
GRANT SELECT ON ALL TABLES IN SCHEMA scoped TO {ROLE};
REVOKE ALL ON {", ".join(HIDDEN)} FROM {ROLE};
DO $$
DECLARE
    month regclass;
BEGIN
    FOR month IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_events'::regclass LOOP
        EXECUTE format('REVOKE ALL ON %s FROM {ROLE}', month);
    END LOOP;
END $$;
"""  # noqa: S608  # our own names
# So that workers see in pg_stat_activity when a transaction of the web began (changed_since).
SEEN = f"GRANT {ROLE} TO CURRENT_USER WITH INHERIT TRUE, SET FALSE"
IS_SEEN = "SELECT pg_has_role(current_user, %(role)s, 'USAGE')"
IS_LIMITED = "SELECT FROM pg_roles WHERE rolname = %(role)s AND %(setting)s = ANY(rolconfig)"
ARE_THERE = "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest(%s) AS name"
MAY_SHAPE = """
SELECT rolsuper OR rolcreaterole OR EXISTS (SELECT FROM pg_roles WHERE rolname = %(role)s)
FROM pg_roles WHERE rolname = current_user
"""


def prepare() -> None:
    """After each migrate. Where our user may not make roles somebody else has to; the web says so when it starts."""
    with connection.cursor() as cursor:
        cursor.execute(ARE_THERE, [[*WRITTEN, *HIDDEN, *FILLED]])
        if not cursor.fetchone()[0]:  # migrated to an earlier state
            return
        with transaction.atomic():
            _remember_rights(cursor)
        cursor.execute(MAY_SHAPE, {"role": ROLE})
        if cursor.fetchone()[0]:
            with transaction.atomic():
                _shape(cursor)
    partitions.make_ahead()


def create(password: str | None) -> str:
    """Makes the role, or brings it back into shape; a password that is not given stays. Returns how to connect."""
    with database_roles.allowed(ROLE), transaction.atomic(), connection.cursor() as cursor:
        _shape(cursor)
        if password:
            database_roles.set_password(cursor, ROLE, password)
    return database_roles.address(ROLE)


def _shape(cursor: Any) -> None:
    database_roles.make(cursor, ROLE)
    cursor.execute(IS_SEEN, {"role": ROLE})
    if not cursor.fetchone()[0]:
        try:
            with transaction.atomic():
                cursor.execute(SEEN)
        except ProgrammingError:  # the role is somebody else's: who made it has to say this
            logger.warning(
                "Until an administrator runs GRANT %s TO our user WITH INHERIT TRUE, changed_since may miss"
                " what the web is writing at that moment.",
                ROLE,
            )
    cursor.execute(GRANTS)
    _limit(cursor)


def _limit(cursor: Any) -> None:
    """How long a statement of the web may take, for sessions that a pooler shares out (medilink/wsgi.py)."""
    cursor.execute(IS_LIMITED, {"role": ROLE, "setting": f"statement_timeout={settings.DB_STATEMENT_TIMEOUT_MS}"})
    if cursor.rowcount:
        return
    try:
        with transaction.atomic():
            cursor.execute(f"ALTER ROLE {ROLE} SET statement_timeout = %s", [settings.DB_STATEMENT_TIMEOUT_MS])
    except ProgrammingError:
        logger.warning(
            "An administrator has to run ALTER ROLE %s SET statement_timeout = %s where the web connects through a"
            " pooler.",
            ROLE,
            settings.DB_STATEMENT_TIMEOUT_MS,
        )


def _remember_rights(cursor: Any) -> None:
    rights = [
        (role.value, resource, action)
        for role, resources in access.ALLOWED.items()
        for resource, actions in resources.items()
        for action in sorted(actions)
    ]
    _fill(cursor, "role_rights", ("role", "resource", "action"), rights)
    _fill(cursor, "row_security_keys", ("key",), [(key,) for key in row_security.signing_keys()])
    _fill(cursor, "state_names", ("key", "state"), [*geography.STATES_BY_KEY.items()])


def _fill(cursor: Any, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Exactly these rows."""
    cursor.execute(f"DELETE FROM {table}")  # noqa: S608  # our own names, here and below
    marks = ", ".join([f"({', '.join(['%s'] * len(columns))})"] * len(rows))
    cursor.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks}", [cell for row in rows for cell in row])  # noqa: S608

"""What stands between people and rows inside the database, and was taken down: grants, policies, triggers."""

from collections.abc import Iterator

from django.db import Error, connection, transaction

from clinical import row_security
from ingestion.outages import sqlstate
from medilink import wall, web_role
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind

SHOWN = 5
LOCKED, LOCKED_MS = "55P03", 500
GRANTS = Kind(
    "web-grants-missing",
    Gravity.ERROR,
    "The web may not touch what it needs",
    "Pages and answers that need it end in an error. Somebody took the right away, or made a table by hand.",
    "Give the web's role its rights anew.",
    "manage.py create_web_role",
)
POLICY = Kind(
    "policy-open",
    Gravity.ERROR,
    "A policy of row-level security lets everybody read",
    "Only the code keeps people to their own state or facility there.",
    "Put the policy back as its migration has it, find out who changed it, and look in the audit for what was read.",
)
TRIGGERS = Kind(
    "trigger-off",
    Gravity.ERROR,
    "A trigger is switched off",
    "What it keeps is not kept: revisions, the audit's chain, counts, or a promise between tables.",
    "Switch it on as the owner, and find out what was written meanwhile.",
)
CHANGED = Kind(
    "wall-changed",
    Gravity.ERROR,
    "A policy, function, trigger or scoped view is not what migrate left",
    "Somebody changed by hand what keeps people to their own state or facility, or what keeps the audit and counts.",
    "See what it says now and who changed it, and put it back. Only then, or if it was meant: accept what stands.",
    "manage.py doctor --accept-wall",
)
OPEN_BY_DESIGN = ("memberships", "second_factors", "smart_clients")  # whose rows the log-in needs before it knows who

LACKING = """
WITH wanted AS (
    SELECT name, privilege FROM unnest(%(names)s, %(privileges)s) AS given (name, privilege)
    UNION ALL
    SELECT relname, 'SELECT' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND relname <> ALL (%(hidden)s)
)
SELECT format('%%s on %%s', string_agg(DISTINCT privilege, ', '), name) FROM wanted
WHERE to_regclass(format('public.%%I', name)) IS NOT NULL
    AND NOT has_table_privilege(%(role)s, format('public.%%I', name), privilege)
GROUP BY name ORDER BY name
"""
UNBOUND = """
SELECT format('%%s.%%s', polrelid::regclass, polname) FROM pg_policy
WHERE polpermissive AND polcmd IN ('r', '*')
    -- pg_get_expr() would wait for who has locked the table.
    AND polqual::text LIKE '{CONST :consttype 16 %%:constvalue 1 [ 1 %%'
    AND polrelid::regclass::text <> ALL (%(by_design)s)
ORDER BY 1
"""
SWITCHED_OFF = """
SELECT tgrelid::regclass::text, count(*), CASE WHEN bool_or(tgisinternal) THEN 'ALL' ELSE 'USER' END
FROM pg_trigger WHERE tgenabled NOT IN ('O', 'A') GROUP BY 1 ORDER BY 1
"""


@check("database", GRANTS)
def web_has_its_rights() -> Iterator[Finding]:
    wanted = [(table, right) for table, rights in web_role.WRITTEN.items() for right in rights]
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [row_security.ROLE])
        if cursor.fetchone() is None:  # web-role-missing
            return
        cursor.execute(
            LACKING,
            {
                "names": [table for table, _ in wanted],
                "privileges": [right for _, right in wanted],
                "hidden": [*web_role.HIDDEN],
                "role": row_security.ROLE,
            },
        )
        lacking = [row[0] for row in cursor.fetchall()]
    if lacking:
        more = f"; {len(lacking) - SHOWN} more tables" if len(lacking) > SHOWN else ""
        yield GRANTS.seen(f"{row_security.ROLE} lacks {'; '.join(lacking[:SHOWN])}{more}.")


@check("database", POLICY)
def policies_bind() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(UNBOUND, {"by_design": [*OPEN_BY_DESIGN]})
        for (policy,) in cursor.fetchall():
            yield POLICY.seen(f"{policy} holds for every row.")


@check("database", TRIGGERS)
def triggers_are_on() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(SWITCHED_OFF)
        for table, number, which in cursor.fetchall():  # those of foreign keys are an administrator's
            yield TRIGGERS.seen(f"{number} of {table}.", command=f"ALTER TABLE {table} ENABLE TRIGGER {which};")


@check("database", CHANGED)
def wall_is_as_migrated() -> Iterator[Finding]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(LOCKED_MS)])
            known, found = wall.kept(), wall.standing()
    except Error as error:
        if sqlstate(error) != LOCKED:
            raise
        return  # a migrate is at work, or lock-held tells
    if not known:
        yield CHANGED.seen("What migrate has left was deleted.")
    elif others := wall.changed(known, found):
        more = f"; {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        yield CHANGED.seen(f"{'; '.join(others[:SHOWN])}{more}.")

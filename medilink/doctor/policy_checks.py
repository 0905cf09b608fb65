"""Row-level security, table by table: in force, and with all the policies that the migrations made."""

from collections.abc import Iterator

from django.db import connection

from medilink import migrating
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind

EACH = {"scope_read", "scope_create", "scope_update", "scope_delete"}
READ, OWN, WRITE = {"scope_read"}, {"scope_own"}, {"scope_write"}
POLICIES: dict[str, set[str]] = {
    **dict.fromkeys(("patients", "medical_records", "triage_visits"), EACH | {"unrestricted"}),
    **dict.fromkeys(("facilities", "facility_aliases", "patient_aliases", "rejected_rows", "second_factors"), EACH),
    **dict.fromkeys(("memberships", "duplicate_pairs", "term_texts", "excluded_rows", "smart_clients"), READ | WRITE),
    **dict.fromkeys(("audit_events", "term_decisions"), READ | {"scope_create"}),
    **dict.fromkeys(("erased_identities", "vital_readings", "vital_signs", "visit_scores", "term_counts"), READ),
    **dict.fromkeys(("monitor_results", "nightly_reports", "fhir_export_parts"), READ),
    **dict.fromkeys(("idempotency_keys", "recovery_codes", "fhir_exports"), OWN),
    **dict.fromkeys(("report_addressees", "report_mails"), WRITE),
    "revisions": READ | {"scope_of_refused_rows"},
    "erasures": {"scope_stewards"},
}

OPEN = Kind(
    "row-security-off",
    Gravity.ERROR,
    "Row-level security is switched off on a table",
    "The second wall is down: only the code keeps people to their own state or facility there.",
    "Switch it on as the owner, find out who switched it off, and look in the audit for what was read meanwhile.",
)
DROPPED = Kind(
    "policy-missing",
    Gravity.ERROR,
    "A policy of row-level security was dropped",
    "Without `unrestricted` people whose data is restricted are seen again; without another one rows are not found.",
    "Make it anew with the words of its migration, find out who dropped it, and look in the audit for what was read.",
    "manage.py sqlmigrate clinical 0010",
)
FOUND = """
SELECT c.oid::regclass::text, c.relrowsecurity, array_remove(array_agg(p.polname::text), NULL)
FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') GROUP BY c.oid ORDER BY 1
"""


@check("database", OPEN, DROPPED)
def row_security_is_on() -> Iterator[Finding]:
    missing: dict[str, list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(FOUND)
        for table, is_on, policies in cursor.fetchall():
            expected = POLICIES.get(table, set())
            if (policies or expected) and not is_on:
                command = f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
                yield OPEN.seen(f"{table} is open to every scope.", command=command)
            if gone := expected.difference(policies):
                missing[table] = sorted(gone)
    if missing and not migrating.is_ahead(connection):  # a newer release may do without
        for table, names in missing.items():
            yield DROPPED.seen(f"{table} lacks {', '.join(names)}.")

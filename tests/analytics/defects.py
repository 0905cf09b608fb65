"""A small clean country, and for each data check one defect that it must find: where, how, and in how many rows.

What is checked is put behind a copy of the same name that no constraint or trigger guards, so that also what the
database refuses can be planted.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from django.db import connection, transaction

from analytics.checks.catalogue import CHECKS
from analytics.checks.check import Check, Kind
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from tests.rows import NOTHING, lagos

TODAY = date(2026, 11, 20)
AT = datetime(2026, 11, 20, 8, tzinfo=UTC)


class Defect(NamedTuple):
    """`sql` plants it in `table` (the check's relation where none is said); `rows` fail then."""

    sql: str
    rows: int
    table: str = ""


def found_a_country() -> None:
    """240 patients of two facilities in two states, with a visit and a record each."""
    known = {"type": "Clinic", "created_at": AT, "updated_at": AT}
    facilities = Facility.objects.bulk_create(
        [
            Facility(name="A", state="LAGOS", lga="Ikeja", lga_name="Ikeja", lat="6.6018", lon="3.3515", **known),
            Facility(name="B", state="KANO", lga="Dala", lga_name="Dala", lat="12.0022", lon="8.5167", **known),
        ]
    )
    patients = Patient.objects.bulk_create(_patient(facilities[n % 2], n) for n in range(240))
    TriageVisit.objects.bulk_create(_visit(whose, n) for n, whose in enumerate(patients))
    MedicalRecord.objects.bulk_create(_record(whose, n) for n, whose in enumerate(patients))


def _patient(at: Facility, n: int) -> Patient:
    dob = date(1951, 3, 2) + timedelta(days=n * 97)
    return Patient(
        facility=at,
        first_name="Ngozi" if n % 3 else "Musa",
        last_name=f"Okafor{chr(97 + n // 26)}{chr(97 + n % 26)}",
        sex="F" if n % 3 else "M",
        dob=dob,
        phone=f"+23480{31_415_926 + n * 7_919}",
        created_at=AT,
        updated_at=AT,
    )


def _event(whose: Patient, n: int) -> dict:
    return {
        "patient": whose,
        "facility_id": whose.facility_id,
        "fingerprint": f"{n:032x}",
        "created_at": AT,
        "updated_at": AT,
    }


def _visit(whose: Patient, n: int) -> TriageVisit:
    return TriageVisit(
        triage_level=n // 2 % 5 + 1,
        visited_at=lagos(TODAY - timedelta(days=n % 25), 9, n % 60),
        conditions=["Malaria"],
        chief_complaint=f"fever for {n} days",
        vital_signs=f"BP: {110 + n % 7 * 3}/70",
        **_event(whose, n),
    )


def _record(whose: Patient, n: int) -> MedicalRecord:
    at = lagos(TODAY - timedelta(days=n % 25), 10, n % 60)
    data = NOTHING | {"diagnosis": "Malaria", "notes": f"seen {n}"}
    return MedicalRecord(recorded_at=at, record_type="Lab", data=data, **_event(whose, n))


@contextmanager
def planted(check: Check, defect: Defect) -> Iterator[None]:
    """Until its end the table has the defect."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in (defect.table or check.relation).split():
            _copy(cursor, table)
        cursor.execute(defect.sql)
        yield
        transaction.set_rollback(True)


def _copy(cursor, table: str) -> None:
    schema, _, name = table.rpartition(".")
    cursor.execute("SELECT relkind FROM pg_class WHERE oid = %s::regclass", [table])
    kind = {"r": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}[cursor.fetchone()[0]]
    cursor.execute(f"ALTER {kind} {table} RENAME TO of_before_{name}")
    cursor.execute(f"CREATE TABLE {table} AS SELECT * FROM {schema or 'public'}.of_before_{name}")


# --- What follows from a check's kind


def defect_of(check: Check) -> Defect | None:
    return DEFECTS.get(check.name) or _usual(check)


def _usual(check: Check) -> Defect | None:
    table, column = check.relation, check.name.split(".")[1]
    one = f"ctid = (SELECT min(ctid) FROM {table})"
    if check.kind == Kind.NOT_NULL:
        empty = check.failing.rpartition("WHERE ")[2].split(" IS NULL")[0]
        return Defect(f"UPDATE {table} SET {empty} = NULL WHERE {one}", 1)
    if check.kind == Kind.UNIQUE:
        return Defect(f"INSERT INTO {table} SELECT * FROM {table} WHERE {one}", 1)
    if check.kind == Kind.ACCEPTED:
        return Defect(f"UPDATE {table} SET {column} = 'zz' WHERE {one}", 1)
    if check.name.endswith(".exists"):
        return Defect(f"UPDATE {table} SET {column} = -1 WHERE {one}", 1)
    if check.name.endswith(".range"):
        value = "DATE '1850-01-01'" if column in ("dob", "event_on") else "-1"
        return Defect(f"UPDATE {table} SET {column} = {value} WHERE {one}", 1)
    if check.name.endswith("_before_created"):
        instant = column.partition("_")[0] + "_at"
        return Defect(f"UPDATE {table} SET {instant} = created_at - interval '1 day' WHERE {one}", 1)
    if "_as_in_" in check.name and column.startswith("rows_as_in"):
        return Defect(f"DELETE FROM {table} WHERE {one}", 1)
    if "_as_in_" in check.name and column.partition("_as_in_")[0] in COUNTS:
        counted = column.partition("_as_in_")[0]
        return Defect(f"UPDATE {table} SET {counted} = {counted} + 1 WHERE {one}", 1)
    return None


COUNTS = (
    *("total_patients", "total_medical_records", "total_triage_visits"),
    *("visits_30d", "records_last_12_months", "visits_last_12_months"),
)


def _of(n: int, table: str = "patients") -> str:
    """The first rows of a table."""
    return f"id IN (SELECT id FROM {table} ORDER BY id LIMIT {n})"


AT_A = "facility_id = (SELECT id FROM facilities WHERE name = 'A')"
PARENTS = {"patients": "facilities", "medical_records": "patients", "triage_visits": "patients"}
DEFECTS = {
    **{
        f"{table}.parent_not_deleted": Defect(
            f"UPDATE {parent} SET deleted_at = now() WHERE {_of(1, parent)}",
            120 if parent == "facilities" else 1,
            parent,
        )
        for table, parent in PARENTS.items()
    },
    **{
        f"{table}.not_before_birth": Defect(f"UPDATE {table} SET event_on = '1950-01-01' WHERE {_of(2, table)}", 2)
        for table in ("medical_records", "triage_visits")
    },
    "patient_groups.patients_as_in_dim_facilities": Defect(
        "UPDATE marts.patient_groups SET patients = patients + 1 WHERE ctid = '(0,1)'", 1
    ),
    "triage_trends.visits_of_each_day": Defect(
        f"UPDATE marts.triage_trends SET total_visits = total_visits + 1 WHERE state = 'ALL' AND day = '{TODAY}'",
        1,
    ),
    "triage_trends.visits_of_each_state": Defect(
        f"UPDATE marts.triage_trends SET total_visits = total_visits + 1 WHERE state = 'KANO' AND day = '{TODAY}'", 1
    ),
    "triage_trends.states_add_up": Defect(
        f"UPDATE marts.triage_trends SET total_visits = total_visits + 1 WHERE state = 'KANO' AND day = '{TODAY}'", 1
    ),
    "triage_trends.levels_add_up": Defect(
        f"UPDATE marts.triage_trends SET critical_count = critical_count + 1 WHERE state = 'KANO' AND day = '{TODAY}'",
        1,
    ),
    "condition_analysis.occurrences_as_in_triage_visits": Defect(
        "UPDATE marts.condition_analysis SET condition = 'Typhoid'", 2
    ),
    "condition_analysis.lines_add_up_to_the_condition": Defect(
        "UPDATE marts.condition_analysis SET condition_total = condition_total + 1", 1
    ),
    "condition_analysis.shares_of_a_month_add_up_to_100": Defect(
        "UPDATE marts.condition_analysis SET share_of_month_pct = 0 WHERE month = '2026-11-01'", 1
    ),
    "condition_codes.occurrences_as_in_condition_analysis": Defect(
        "UPDATE marts.condition_codes SET occurrence_count = occurrence_count + 1"
        " WHERE (code, month, state) = (SELECT code, month, state FROM marts.condition_codes ORDER BY 1, 2, 3 LIMIT 1)",
        1,
    ),
    "dim_patients.engagement_as_in_patient_summary": Defect(
        "UPDATE marts.dim_patients SET engagement_score = 101 - engagement_score"
        " WHERE patient_id = (SELECT min(patient_id) FROM marts.dim_patients)",
        1,
    ),
    # Places: enough more of them that a share can be said at all.
    **{
        f"facilities.{what}": Defect(
            "INSERT INTO facilities (id, name, state, lga, lga_name, lat, lon, type, created_at, updated_at)"
            f" SELECT 900000 + n, 'P ' || n, 'KANO', {lga}, {lga}, {lat}, 8.5 + n * 0.001, {kind}, now(), now()"
            " FROM generate_series(1, 40) n",
            40,
        )
        for what, lga, lat, kind in (
            ("coordinates_missing", "'Dala'", "NULL", "'Clinic'"),
            ("lga_missing", "''", "12", "'Clinic'"),
            ("lga_unknown", "'Ikeja'", "12", "'Clinic'"),
            ("type_missing", "'Dala'", "12", "NULL"),
            ("without_patients", "'Dala'", "12", "'Clinic'"),
        )
    },
    "facilities.same_point": Defect(
        "INSERT INTO facilities (id, name, state, lga, lga_name, lat, lon, created_at)"
        " SELECT 900000 + n, 'P ' || n, 'KANO', 'Dala', 'Dala', 12, 8.5, now() FROM generate_series(1, 40) n",
        40,
    ),
    "facilities.far_from_state": Defect("UPDATE facilities SET state = 'KANO' WHERE name = 'A'", 1),
    "facilities.state_without_visits": Defect(
        f"UPDATE triage_visits SET deleted_at = now() WHERE {AT_A}", 1, "triage_visits"
    ),
}
# People: how many of the 240, and how.
DEFECTS |= {
    f"patients.{what}": Defect(f"UPDATE patients SET {change} WHERE {where}", rows)
    for what, change, where, rows in (
        ("phone_missing", "phone = NULL", _of(200), 200),
        ("sex_unknown", "sex = 'Unknown'", _of(30), 30),
        ("dob_estimated", "dob_is_estimated = true", _of(130), 130),
        ("phone_abroad", "phone = '+1' || id", _of(20), 20),
        ("name_with_digits", "last_name = last_name || '2'", _of(2), 2),
        ("name_is_no_name", "last_name_key = 'unknown'", _of(2), 2),
        ("phone_made_up", "phone = '+2348035555555'", _of(2), 2),
        ("phone_of_many", "phone = '+2348031415926'", _of(11), 11),
        ("dob_default", "dob = '1970-01-01'", _of(6), 6),
        ("same_person_elsewhere", "first_name_key = 'a', last_name_key = 'b', dob = '1999-05-05'", _of(30), 30),
        ("older_than_110", "dob = '1910-05-05'", _of(2), 2),
        ("january_heaping", "dob = date_trunc('year', dob)", AT_A, 1),
        ("year_heaping", "dob = '1985-04-07'", AT_A, 1),
        ("day_heaping", "dob = '1986-04-10'", AT_A, 1),
        ("one_sex", "sex = 'M'", AT_A, 1),
    )
}
DEFECTS["rejected_rows.waiting_long"] = Defect(
    "INSERT INTO rejected_rows (id, state, first_seen_at) SELECT n, 'open', now() - interval '40 days'"
    " FROM generate_series(1, 1001) n",
    1001,
)
DEFECTS["publications.each_day"] = Defect(f"INSERT INTO publications (day) VALUES ('{TODAY - timedelta(days=3)}')", 2)
# Events.
for _table, _instant in (("triage_visits", "visited_at"), ("medical_records", "recorded_at")):
    DEFECTS |= {
        f"{_table}.{what}": Defect(f"UPDATE {_table} SET {change} WHERE {where}", rows)
        for what, change, where, rows in (
            ("time_estimated", "time_is_estimated = true", _of(130, _table), 130),
            ("in_the_future", f"event_on = '{TODAY + timedelta(days=1)}'", _of(1, _table), 1),
            ("long_ago", "event_on = '2010-01-01'", _of(3, _table), 3),
            ("said_twice", "ordinal = 2", _of(5, _table), 5),
            ("at_midnight", f"{_instant} = '2026-11-10T00:00+01:00'", AT_A, 1),
            ("many_on_a_day", "event_on = '2026-11-10', patient_id = patient_id % 6", "true", 6),
        )
    }
WOMAN = "patient_id = (SELECT min(id) FROM patients WHERE sex = 'F')"
MAN = "patient_id = (SELECT min(id) FROM patients WHERE sex = 'M')"
DEFECTS |= {
    f"{table}.{what}": Defect(f"UPDATE {table} SET {change} WHERE {where}", rows)
    for table, what, change, where, rows in (
        ("triage_visits", "impossible_for_sex", "conditions = '{Eclampsia}'", MAN, 1),
        ("medical_records", "impossible_for_sex", """data = data || '{"diagnosis": "Prostate cancer"}'""", WOMAN, 1),
        ("triage_visits", "conditions_missing", "conditions = '{}'", _of(130, "triage_visits"), 130),
        ("triage_visits", "complaint_missing", "chief_complaint = ''", _of(130, "triage_visits"), 130),
        ("triage_visits", "vital_signs_missing", "vital_signs = NULL", _of(200, "triage_visits"), 200),
        ("triage_visits", "condition_is_none", "conditions = '{Nil}'", _of(13, "triage_visits"), 13),
        ("triage_visits", "no_conditions_at_facility", "conditions = '{}'", AT_A, 1),
        ("triage_visits", "level_1_share", "triage_level = 1", AT_A, 1),
        ("triage_visits", "one_level", "triage_level = 3", AT_A, 1),
        ("triage_visits", "pressure_rounded", "vital_signs = 'BP: 120/80'", AT_A, 1),
        ("triage_visits", "same_text", "chief_complaint = 'fever'", AT_A, 1),
        ("medical_records", "same_text", """data = data || '{"notes": "as before"}'""", AT_A, 1),
        ("medical_records", "diagnosis_missing", """data = data || '{"diagnosis": ""}'""", "id > 0", 240),
        ("medical_records", "diagnosis_is_none", """data = data || '{"diagnosis": "N/A"}'""", "id > 0", 240),
    )
}
NAMES = [check.name for check in CHECKS]

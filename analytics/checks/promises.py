"""What the contract promises of tables and marts, and that each mart agrees with what it is made of.

What compares a mart with its tables or with another mart means something only while each of them is fresh.
"""

from django.apps import apps
from django.db.models import Model

from analytics.checks.check import Check, Kind, Owner, Severity
from analytics.relations import RELATIONS


def _models() -> dict[str, type[Model]]:
    """The model of each relation, by the relation's name with its schema; of a mart it reads the view in front."""
    models = apps.get_app_config("analytics").get_models()
    return {
        model._meta.db_table.replace('"', "").replace("scoped.", "marts."): model
        for model in models
        if not model._meta.managed
    }


def _keys(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.pk_fields]


def _generic() -> list[Check]:
    """What each model says of its relation: columns that are never null, and its grain."""
    found = []
    for relation in RELATIONS:
        model = _models().get(relation.table)
        if model is None:
            continue
        keys = ", ".join(_keys(model))
        filled = [field.column for field in model._meta.concrete_fields if not field.null]
        empty = " OR ".join(f"{column} IS NULL" for column in filled)
        found += [
            Check(
                f"{relation.name}.not_null",
                relation.table,
                Kind.NOT_NULL,
                f"SELECT {keys} FROM {relation.table} WHERE {empty}",
                "A column that every row must fill is empty.",
            ),
            Check(
                f"{relation.name}.unique",
                relation.table,
                Kind.UNIQUE,
                f"SELECT {keys} FROM {relation.table} GROUP BY {keys} HAVING count(*) > 1",
                "A row stands in the relation more than once.",
                severity=Severity.CRITICAL,
                owner=Owner.DEVELOPERS,
            ),
        ]
    return found


def _accepted(relation: str, keys: str, column: str, *values: str) -> Check:
    listed = ", ".join(f"'{value}'" for value in values)
    name = relation.partition(".")[2] or relation
    failing = f"SELECT {keys} FROM {relation} WHERE {column}::text NOT IN ({listed})"
    why = "A value that the contract does not name."
    return Check(f"{name}.{column}.accepted", relation, Kind.ACCEPTED, failing, why, owner=Owner.DEVELOPERS)


def _between(relation: str, keys: str, column: str, low: str, high: str) -> Check:
    name = relation.partition(".")[2] or relation
    failing = f"SELECT {keys} FROM {relation} WHERE {column} NOT BETWEEN {low} AND {high}"
    return Check(f"{name}.{column}.range", relation, Kind.RANGE, failing, f"Outside of {low} to {high}.")


def _refers(relation: str, keys: str, column: str, to: str, to_column: str) -> Check:
    name = relation.partition(".")[2]
    failing = (
        f"SELECT {keys} FROM {relation} AS child WHERE NOT EXISTS"
        f" (SELECT FROM {to} AS parent WHERE parent.{to_column} = child.{column})"
    )
    why = f"It points at nothing in {to}."
    return Check(f"{name}.{column}.exists", relation, Kind.RELATIONSHIP, failing, why, (relation, to))


def _reconciles(mart: str, what: str, failing: str, *others: str) -> Check:
    """Of a mart with its tables, or with `others`."""
    why = f"The mart and {' and '.join(others) or 'its tables'} disagree."
    relation = f"marts.{mart}"
    return Check(
        f"{mart}.{what}",
        relation,
        Kind.RECONCILIATION,
        failing,
        why,
        (relation, *others),
        Severity.CRITICAL,
        Owner.DEVELOPERS,
    )


def _counted(mart: str, key: str, column: str, table: str, table_key: str, since: str = "") -> Check:
    """A count per facility or patient equals that in the table; of the events from `since` to today, where given."""
    window = f"AND event_on >= {since} AND event_on <= staging.lagos_today()" if since else ""
    return _reconciles(
        mart,
        f"{column}_as_in_{table}",
        f"""
        SELECT m.{key} FROM marts.{mart} m
        LEFT JOIN (
            SELECT {table_key} AS key, count(*) AS n FROM {table} WHERE deleted_at IS NULL {window} GROUP BY 1
        ) t ON t.key = m.{key}
        WHERE m.{column} <> coalesce(t.n, 0)
        """,
    )


def _same_rows(mart: str, key: str, table: str) -> Check:
    return _reconciles(
        mart,
        f"rows_as_in_{table}",
        f"""
        SELECT coalesce(m.{key}, t.id) AS {key} FROM marts.{mart} m
        FULL JOIN (SELECT id FROM {table} WHERE deleted_at IS NULL) t ON t.id = m.{key}
        WHERE m.{key} IS NULL OR t.id IS NULL
        """,
    )


VISIT_CONDITIONS = """
    SELECT DISTINCT v.id, lower(c COLLATE pg_c_utf8) AS condition FROM triage_visits v, unnest(v.conditions) c
    WHERE v.deleted_at IS NULL
"""
GROUPED = """
    SELECT d.facility_id FROM marts.dim_facilities d
    LEFT JOIN (
        SELECT facility_id, sum(patients) AS people, sum(records) AS records, sum(visits) AS visits
        FROM marts.patient_groups GROUP BY facility_id
    ) g ON g.facility_id = d.facility_id
    WHERE (d.total_patients, d.total_medical_records, d.total_triage_visits)
        <> (coalesce(g.people, 0), coalesce(g.records, 0), coalesce(g.visits, 0))
"""
THIRTY_DAYS = "staging.lagos_today() - 29"
TWELVE_MONTHS = "(staging.lagos_today() - interval '12 months')::date + 1"

PROMISES: tuple[Check, ...] = (
    *_generic(),
    _accepted("patients", "id", "sex", "M", "F", "Other", "Unknown"),
    *(
        _accepted(relation, key, column, "Infant", "Child", "Adolescent", "Adult", "Senior")
        for relation, key, column in (
            ("staging.stg_patients", "patient_id", "age_group"),
            ("marts.dim_patients", "patient_id", "age_group"),
            ("marts.fct_triage_visits", "triage_id", "patient_age_group"),
            ("marts.fct_medical_records", "record_id", "patient_age_group"),
            ("marts.condition_analysis", "condition, month, state, age_group, sex", "age_group"),
        )
    ),
    _accepted("marts.fct_triage_visits", "triage_id", "priority_category", "Critical", "High", "Medium", "Low"),
    _accepted("marts.fct_triage_visits", "triage_id", "time_of_day", "Morning", "Afternoon", "Evening", "Night"),
    *(
        _accepted(
            relation, "facility_id", "facility_category", "Hospital", "Pharmacy", "Clinic", "Health Center", "Other"
        )
        for relation in ("marts.dim_facilities", "marts.facility_performance")
    ),
    _accepted("marts.facility_performance", "facility_id", "volume_category", "Inactive", "High", "Medium", "Low"),
    _accepted("marts.facility_performance", "facility_id", "acuity_category", "High", "Medium", "Low"),
    _accepted("marts.patient_groups", "facility_id, age_group, sex", "sex", "M", "F", "Other", "Unknown"),
    _accepted("marts.patient_summary", "patient_id", "risk_level", "High", "Medium", "Low"),
    _between("triage_visits", "id", "triage_level", "1", "5"),
    _between("patients", "id", "dob", "DATE '1900-01-01'", "staging.lagos_today()"),
    _between("triage_visits", "id", "event_on", "DATE '2000-01-01'", "staging.lagos_today() + 1"),
    _between("medical_records", "id", "event_on", "DATE '2000-01-01'", "staging.lagos_today() + 1"),
    _between("marts.dim_facilities", "facility_id", "avg_triage_level", "1", "5"),
    _between("marts.dim_patients", "patient_id", "engagement_score", "0", "100"),
    _between("marts.dim_patients", "patient_id", "age_years", "0", "130"),
    _between("marts.triage_trends", "state, day", "total_visits", "0", "100000000"),
    _between("marts.triage_trends", "state, day", "critical_pct", "0", "100"),
    _between(
        "marts.condition_analysis", "condition, month, state, age_group, sex", "occurrence_count", "1", "100000000"
    ),
    _between("marts.condition_analysis", "condition, month, state, age_group, sex", "share_of_month_pct", "0", "100"),
    *(
        Check(
            f"{table}.not_before_birth",
            table,
            Kind.TEMPORAL,
            f"SELECT e.id FROM {table} e JOIN patients p ON p.id = e.patient_id"
            " WHERE e.event_on < p.dob AND e.deleted_at IS NULL",
            "An event lies before the birth of its patient.",
        )
        for table in ("medical_records", "triage_visits")
    ),
    *(
        Check(
            f"{table}.parent_not_deleted",
            table,
            Kind.RELATIONSHIP,
            f"SELECT c.id FROM {table} c JOIN {parent} p ON p.id = c.{column}"
            " WHERE c.deleted_at IS NULL AND p.deleted_at IS NOT NULL",
            f"It belongs to a deleted row of {parent}.",
        )
        for table, parent, column in (
            ("patients", "facilities", "facility_id"),
            ("medical_records", "patients", "patient_id"),
            ("triage_visits", "patients", "patient_id"),
        )
    ),
    _refers("marts.dim_patients", "patient_id", "facility_id", "marts.dim_facilities", "facility_id"),
    _refers("marts.patient_summary", "patient_id", "patient_id", "marts.dim_patients", "patient_id"),
    _refers("marts.facility_performance", "facility_id", "facility_id", "marts.dim_facilities", "facility_id"),
    _refers(
        "marts.patient_groups", "facility_id, age_group, sex", "facility_id", "marts.dim_facilities", "facility_id"
    ),
    _same_rows("dim_facilities", "facility_id", "facilities"),
    _same_rows("dim_patients", "patient_id", "patients"),
    _same_rows("facility_performance", "facility_id", "facilities"),
    _same_rows("patient_summary", "patient_id", "patients"),
    _counted("dim_facilities", "facility_id", "total_patients", "patients", "facility_id"),
    _counted("dim_facilities", "facility_id", "total_medical_records", "medical_records", "facility_id"),
    _counted("dim_facilities", "facility_id", "total_triage_visits", "triage_visits", "facility_id"),
    _counted("dim_patients", "patient_id", "total_medical_records", "medical_records", "patient_id"),
    _counted("dim_patients", "patient_id", "total_triage_visits", "triage_visits", "patient_id"),
    _counted("facility_performance", "facility_id", "total_patients", "patients", "facility_id"),
    _counted("facility_performance", "facility_id", "visits_30d", "triage_visits", "facility_id", THIRTY_DAYS),
    _reconciles("patient_groups", "patients_as_in_dim_facilities", GROUPED, "marts.dim_facilities"),
    _counted("patient_summary", "patient_id", "records_last_12_months", "medical_records", "patient_id", TWELVE_MONTHS),
    _counted("patient_summary", "patient_id", "visits_last_12_months", "triage_visits", "patient_id", TWELVE_MONTHS),
    _reconciles(
        "triage_trends",
        "visits_of_each_day",
        """
        SELECT coalesce(m.day, t.day) AS day
        FROM (SELECT day, total_visits FROM marts.triage_trends WHERE state = 'ALL') m
        FULL JOIN (
            SELECT event_on AS day, count(*) AS n FROM triage_visits
            WHERE deleted_at IS NULL AND event_on <= staging.lagos_today() GROUP BY 1
        ) t ON t.day = m.day
        WHERE coalesce(m.total_visits, 0) <> coalesce(t.n, 0)
        """,
    ),
    _reconciles(
        "triage_trends",
        "visits_of_each_state",
        """
        SELECT coalesce(m.state, t.state) AS state
        FROM (SELECT state, sum(total_visits) AS n FROM marts.triage_trends WHERE state <> 'ALL' GROUP BY 1) m
        FULL JOIN (
            SELECT f.state, count(*) AS n FROM triage_visits v JOIN facilities f ON f.id = v.facility_id
            WHERE v.deleted_at IS NULL AND v.event_on <= staging.lagos_today() GROUP BY 1
        ) t ON t.state = m.state
        WHERE coalesce(m.n, 0) <> coalesce(t.n, 0)
        """,
    ),
    _reconciles(
        "triage_trends",
        "states_add_up",
        """
        SELECT day FROM marts.triage_trends GROUP BY day
        HAVING sum(total_visits) FILTER (WHERE state = 'ALL') <> sum(total_visits) FILTER (WHERE state <> 'ALL')
        """,
    ),
    _reconciles(
        "triage_trends",
        "levels_add_up",
        """
        SELECT state, day FROM marts.triage_trends
        WHERE total_visits <> critical_count + high_count + medium_count + low_count
        """,
    ),
    _reconciles(
        "condition_analysis",
        "occurrences_as_in_triage_visits",
        f"""
        SELECT coalesce(m.key, t.condition) AS condition
        FROM (
            SELECT lower(condition COLLATE pg_c_utf8) AS key, sum(occurrence_count) AS n
            FROM marts.condition_analysis GROUP BY 1
        ) m
        FULL JOIN (SELECT condition, count(*) AS n FROM ({VISIT_CONDITIONS}) c GROUP BY 1) t ON t.condition = m.key
        WHERE coalesce(m.n, 0) <> coalesce(t.n, 0)
        """,
    ),
    _reconciles(
        "condition_analysis",
        "lines_add_up_to_the_condition",
        """
        SELECT condition FROM marts.condition_analysis GROUP BY condition
        HAVING sum(occurrence_count) <> min(condition_total) OR min(condition_total) <> max(condition_total)
        """,
    ),
    _reconciles(
        "condition_analysis",
        "shares_of_a_month_add_up_to_100",
        """
        SELECT month FROM marts.condition_analysis GROUP BY month
        HAVING abs(sum(share_of_month_pct) - 100) > 0.05 * count(*)  -- each is rounded
        """,
    ),
    _reconciles(
        "condition_codes",
        "occurrences_as_in_condition_analysis",
        """
        SELECT coalesce(c.state, a.state) AS state, coalesce(c.month, a.month) AS month
        FROM (SELECT state, month, sum(occurrence_count) AS n FROM marts.condition_codes GROUP BY 1, 2) c
        FULL JOIN (SELECT state, month, sum(occurrence_count) AS n FROM marts.condition_analysis GROUP BY 1, 2) a
            ON a.state = c.state AND a.month = c.month
        WHERE coalesce(c.n, 0) <> coalesce(a.n, 0)
        """,
        "marts.condition_analysis",
    ),
    _reconciles(
        "dim_patients",
        "engagement_as_in_patient_summary",
        """
        SELECT p.patient_id FROM marts.dim_patients p JOIN marts.patient_summary s USING (patient_id)
        WHERE p.engagement_score <> s.engagement_score
        """,
        "marts.patient_summary",
    ),
    Check(
        "publications.each_day",
        "publications",
        Kind.RECONCILIATION,
        """
        SELECT owed.day::date AS day
        FROM (SELECT min(day) AS first FROM publications) AS began CROSS JOIN generate_series(
            greatest(began.first, staging.lagos_today() - 30), staging.lagos_today() - 1, interval '1 day'
        ) AS owed (day)
        WHERE began.first IS NOT NULL AND NOT EXISTS (SELECT FROM publications p WHERE p.day = owed.day::date)
        """,
        "Of such a day `?as_of=` has no figures, and nobody can say later what was known on it.",
        severity=Severity.WARNING,
        owner=Owner.DEVELOPERS,
        own_remedy="The day stays without. Look why its night did not end, or why `manage.py publish_marts` refuses.",
    ),
)

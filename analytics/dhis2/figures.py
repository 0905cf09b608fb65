"""The numbers of a month by facility, age group and sex: from the facts that every mart is made of.

Read through schema scoped, so that the web counts only what its user may see.
"""

from collections import defaultdict
from datetime import date
from typing import Any

from analytics.dhis2.mapping import CONDITION, Cell
from clinical.months import next_month
from clinical.replica import connection

Counts = dict[int, dict[Cell, int]]

EVENTS = """
SELECT facility_id, patient_age_group, patient_sex, {counts} FROM scoped.{relation}
WHERE {day} >= %(first)s AND {day} < %(end)s AND (%(state)s = '' OR facility_state = %(state)s)
GROUP BY 1, 2, 3
"""
VISITS = EVENTS.format(
    counts="count(*), count(*) FILTER (WHERE triage_level <= 2)", relation="fct_triage_visits", day="visit_date"
)
RECORDS = EVENTS.format(counts="count(*)", relation="fct_medical_records", day="record_date")
# Once per visit, in whatever spelling: as marts.condition_analysis counts.
CONDITIONS = """
WITH wanted AS (SELECT name, lower(name COLLATE pg_c_utf8) AS key FROM unnest(%(names)s::text[]) AS name)
SELECT v.facility_id, v.patient_age_group, v.patient_sex, w.name, count(DISTINCT v.triage_id)
FROM scoped.fct_triage_visits v
CROSS JOIN unnest(v.likely_conditions) AS item
JOIN wanted w ON w.key = lower(item COLLATE pg_c_utf8)
WHERE v.visit_date >= %(first)s AND v.visit_date < %(end)s AND (%(state)s = '' OR v.facility_state = %(state)s)
GROUP BY 1, 2, 3, 4
"""


def read(month: date, conditions: list[str], state: str = "") -> Counts:
    """Of each facility with an event in the month; what is not there is 0."""
    given: dict[str, Any] = {"first": month, "end": next_month(month), "state": state, "names": conditions}
    found: Counts = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(VISITS, given)
        for facility, age, sex, visits, critical in cursor.fetchall():
            found[facility][Cell("visits", age, sex)] = visits
            if critical:
                found[facility][Cell("critical_visits", age, sex)] = critical
        cursor.execute(RECORDS, given)
        for facility, age, sex, records in cursor.fetchall():
            found[facility][Cell("records", age, sex)] = records
        cursor.execute(CONDITIONS, given)
        for facility, age, sex, name, visits in cursor.fetchall():
            found[facility][Cell(CONDITION + name, age, sex)] = visits
    return dict(found)

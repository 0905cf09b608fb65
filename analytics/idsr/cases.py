"""One line per event that names a notifiable disease, without anybody's name; read within the user's scope.

Conditions of visits and diagnoses of records are compared with the synonyms as names are. A case is suspected: nobody
has confirmed it.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from analytics.idsr.diseases import all_of_them
from clinical.replica import connection

CASES = """
WITH names AS (
    SELECT code, lower(name COLLATE pg_c_utf8) AS key FROM unnest(%(codes)s::text[], %(names)s::text[]) AS t(code, name)
)
SELECT DISTINCT n.code, 'visit', v.triage_id, v.patient_id, v.facility_id, v.visit_date, v.patient_age,
    v.patient_age_group, v.patient_sex, v.triage_level::integer
FROM scoped.fct_triage_visits v
CROSS JOIN unnest(v.likely_conditions) AS item
JOIN names n ON n.key = lower(item COLLATE pg_c_utf8)
WHERE v.visit_date >= %(first)s AND v.visit_date < %(end)s AND (%(state)s = '' OR v.facility_state = %(state)s)
UNION ALL
SELECT DISTINCT n.code, 'record', r.record_id, r.patient_id, r.facility_id, r.record_date, r.patient_age,
    r.patient_age_group, r.patient_sex, NULL::integer
FROM scoped.fct_medical_records r
CROSS JOIN regexp_split_to_table(r.diagnosis, '[;|,]') AS item
JOIN names n ON n.key = lower(btrim(item) COLLATE pg_c_utf8)
WHERE r.record_date >= %(first)s AND r.record_date < %(end)s AND (%(state)s = '' OR r.facility_state = %(state)s)
ORDER BY 6, 5, 1, 2, 3
"""
REPORTING = """
SELECT facility_id FROM scoped.fct_triage_visits
WHERE visit_date >= %(first)s AND visit_date < %(end)s AND (%(state)s = '' OR facility_state = %(state)s)
UNION
SELECT facility_id FROM scoped.fct_medical_records
WHERE record_date >= %(first)s AND record_date < %(end)s AND (%(state)s = '' OR facility_state = %(state)s)
"""


@dataclass(frozen=True)
class Span:
    """From `first` to before `end`, of a state or of everything in scope."""

    first: date
    end: date
    state: str = ""

    @property
    def given(self) -> dict[str, Any]:
        known = [(one.code, name) for one in all_of_them().values() for name in one.synonyms]
        codes, names = zip(*known, strict=True)
        return {"first": self.first, "end": self.end, "state": self.state, "codes": [*codes], "names": [*names]}


class Case(NamedTuple):
    """`source` visit or record, `event_id` Medilink's number of it."""

    disease: str
    source: str
    event_id: int
    patient_id: int
    facility_id: int
    day: date
    age: int
    age_group: str
    sex: str
    triage_level: int | None

    @property
    def week(self) -> str:
        year, week, _ = self.day.isocalendar()
        return f"{year}-W{week:02}"


def read(span: Span) -> list[Case]:
    with connection.cursor() as cursor:
        cursor.execute(CASES, span.given)
        return [Case(*row) for row in cursor.fetchall()]


def reporting(span: Span) -> set[int]:
    """The facilities with any event at all: of these alone a 0 is a 0."""
    with connection.cursor() as cursor:
        cursor.execute(REPORTING, span.given)
        return {facility for (facility,) in cursor.fetchall()}

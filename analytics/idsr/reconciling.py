"""The sheet of a month: the visits of the line list beside marts.condition_analysis. All differences are 0."""

from collections import Counter
from typing import NamedTuple

from analytics.idsr.cases import Case, Span
from analytics.idsr.diseases import all_of_them
from clinical.replica import connection

# A visit that names two synonyms is one line here, and one in each condition of the mart.
BESIDE = """
WITH names AS (
    SELECT code, lower(name COLLATE pg_c_utf8) AS key FROM unnest(%(codes)s::text[], %(names)s::text[]) AS t(code, name)
),
mart AS (
    SELECT n.code, sum(c.occurrence_count) AS occurrences
    FROM scoped.condition_analysis c JOIN names n ON n.key = lower(c.condition COLLATE pg_c_utf8)
    WHERE c.month = %(first)s AND (%(state)s = '' OR c.state = %(state)s)
    GROUP BY 1
),
twice AS (
    SELECT code, sum(spelt - 1) AS more FROM (
        SELECT n.code, v.triage_id, count(DISTINCT n.key) AS spelt
        FROM scoped.fct_triage_visits v
        CROSS JOIN unnest(v.likely_conditions) AS item
        JOIN names n ON n.key = lower(item COLLATE pg_c_utf8)
        WHERE v.visit_date >= %(first)s AND v.visit_date < %(end)s AND (%(state)s = '' OR v.facility_state = %(state)s)
        GROUP BY 1, 2
    ) AS said GROUP BY 1
)
SELECT mart.code, mart.occurrences::bigint, coalesce(twice.more, 0)::bigint FROM mart LEFT JOIN twice USING (code)
"""


class Line(NamedTuple):
    disease: str
    visits: int
    named_twice: int
    condition_analysis: int
    difference: int
    records: int


def lines(span: Span, cases: list[Case]) -> list[Line]:
    """`span` is a calendar month: the mart knows no weeks."""
    with connection.cursor() as cursor:
        cursor.execute(BESIDE, span.given)
        known = {code: (mart, twice) for code, mart, twice in cursor.fetchall()}
    counts = Counter((case.disease, case.source) for case in cases)
    found = []
    for code in all_of_them():
        mart, twice = known.get(code, (0, 0))
        visits, records = counts[code, "visit"], counts[code, "record"]
        found.append(Line(code, visits, twice, mart, visits + twice - mart, records))
    return found

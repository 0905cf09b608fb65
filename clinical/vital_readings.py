"""What visits say of vital signs, read and kept beside them: found from the database, whoever wrote the visit.

A pass reads whatever has no reading by the versions of today; it may be run at any time, twice, or be killed. What has
become stale is gone already (triggers of migration 0018), so that a visit without a reading is all there is to find.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from clinical import scores
from clinical.locks import alone
from clinical.models import TriageVisit, VisitScore, VitalReading, VitalSign
from clinical.scores import Score
from clinical.vitals import VERSION, Reading, parse

LOCK = 0x6D656469_76697461
AT_ONCE = 2_000  # visits of one transaction, which are locked against changes for a part of a second
ELSEWHERE = "Another process reads vital signs."


class AlreadyReading(Exception):
    """It finds what this one would have."""


@dataclass
class Done:
    visits: int = 0
    values: int = 0
    scores: int = 0


# Whoever writes one of these visits at this moment keeps it to the next pass; nobody waits for us longer than a batch.
DUE = """
SELECT v.id, v.vital_signs, p.dob, v.event_on
FROM triage_visits v JOIN patients p ON p.id = v.patient_id
WHERE v.id > %(after)s AND v.vital_signs IS NOT NULL AND NOT EXISTS (
    SELECT FROM vital_readings r
    WHERE r.visit_id = v.id AND r.parser_version = %(parser)s AND r.scores_version = %(scores)s
      AND (%(since)s::timestamptz IS NULL OR r.read_at >= %(since)s)
)
ORDER BY v.id LIMIT %(limit)s FOR SHARE OF v, p SKIP LOCKED
"""
# Changes are noted for an hour (clinical/api/counting.py); the night looks whether anything was missed.
HAS_CHANGED = "SELECT EXISTS (SELECT FROM row_changes WHERE table_name IN ('triage_visits', 'patients'))"
COPY = "COPY {table} ({columns}) FROM STDIN"
READINGS = ("visit_id", "parser_version", "scores_version", "leftover", "read_at")
SIGNS = ("visit_id", "position", "code", "value", "unit", "coded", "written", "flag")
SCORES = ("visit_id", "score", "version", "minimum", "maximum", "missing", "reds")


def read_changed() -> Done | None:
    """For the sweep: leaves early where no visit or patient was written lately."""
    with connection.cursor() as cursor:
        cursor.execute(HAS_CHANGED)
        if not cursor.fetchone()[0]:
            return None
    return read_due()


def read_due(*, since: datetime | None = None, tell: Callable[[Done], None] = lambda _: None) -> Done:
    """Reads what is due; with `since` also what was read before it. Raises AlreadyReading."""
    done = Done()
    with alone(LOCK, AlreadyReading(ELSEWHERE)):
        after = 0
        while batch := _read_batch(after, since):
            after, read = batch
            done.visits, done.values = done.visits + read.visits, done.values + read.values
            done.scores += read.scores
            tell(done)
    return done


@transaction.atomic
def _read_batch(after: int, since: datetime | None) -> tuple[int, Done] | None:
    """The id of its last visit, and what was read."""
    due = {"after": after, "parser": VERSION, "scores": scores.VERSION, "since": since, "limit": AT_ONCE}
    with connection.cursor() as cursor:
        cursor.execute(DUE, due)
        rows = cursor.fetchall()
        if not rows:
            return None
        cursor.execute("DELETE FROM vital_readings WHERE visit_id = ANY (%s)", [[pk for pk, *_ in rows]])
        return rows[-1][0], _keep(cursor, rows)


def _keep(cursor: Any, rows: list[tuple[int, str, date, date]]) -> Done:
    read = [(pk, parse(text), age(born, day)) for pk, text, born, day in rows]
    at = timezone.now()
    readings = [(pk, VERSION, scores.VERSION, reading.leftover, at) for pk, reading, _ in read]
    signs = [
        (pk, at, one.code, one.value, one.unit, one.coded, one.written, one.flag)
        for pk, reading, _ in read
        for at, one in enumerate(reading.signs, 1)
    ]
    kept = [
        (pk, one.name, scores.VERSION, one.minimum, one.maximum, _array(one.missing), _array(one.reds))
        for pk, reading, years in read
        for one in scores_of(reading, years)
    ]
    _copy(cursor, VitalReading, READINGS, readings)
    _copy(cursor, VitalSign, SIGNS, signs)
    _copy(cursor, VisitScore, SCORES, kept)
    return Done(len(readings), len(signs), len(kept))


def age(born: date, day: date) -> int:
    """In years, on that day."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def scores_of(reading: Reading, years: int) -> list[Score]:
    return scores.all_scores(scores.inputs_of(reading.signs), years)


def _array(words: tuple[str, ...]) -> str:
    return "{" + ",".join(f'"{word}"' for word in words) + "}"


ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def _copy(cursor: Any, model: Any, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    lines = ("\t".join(r"\N" if cell is None else str(cell).translate(ESCAPES) for cell in row) for row in rows)
    sql = COPY.format(table=model._meta.db_table, columns=", ".join(columns))
    cursor.copy_expert(sql, io.StringIO("".join(f"{line}\n" for line in lines)))


# --- One visit


@dataclass
class Vitals:
    """What one visit says."""

    reading: Reading
    scores: list[Score]
    age: int


def of_visit(visit: TriageVisit) -> Vitals:
    """Made of its words: the same as what is kept by these versions, and never behind it."""
    reading, years = parse(visit.vital_signs or ""), age(visit.patient.dob, visit.event_on)
    return Vitals(reading, scores_of(reading, years), years)


def read_at(visit: TriageVisit) -> datetime | None:
    """When this was kept; None where a pass is still to come."""
    kept = VitalReading.objects.filter(pk=visit.pk, parser_version=VERSION, scores_version=scores.VERSION)
    return kept.values_list("read_at", flat=True).first()

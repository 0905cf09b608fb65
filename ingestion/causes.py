"""What many refused rows have in common: a reason and the text that it is about, so that one decision serves them all.

A cause is named by one of its rows and which of that row's reasons is meant: texts may be a person's, and have no place
in an address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat, Now

from clinical import audit
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import Cause, CauseComment, RejectedRow, Rule
from ingestion.refusals import code_of
from ingestion.rules import CELLS, CellKey, cell
from ingestion.stewards import NotPossible

if TYPE_CHECKING:
    from clinical.models import User

OF_FACILITY = ("FACILITY_NOT_FOUND", "FACILITY_AMBIGUOUS")
OF_PATIENT = ("PATIENT_NOT_FOUND", "PATIENT_AMBIGUOUS")
SHOWN = 100
_ALL_COLUMNS = sorted({column for columns in COLUMNS.values() for column in columns.all})

# The cell that a reason is about: by its column, or by what its code means. In a table of its own for each row, so that
# the key is made once. A person's name is told with the facility, since it means nothing without.
GROUPS = r"""
SELECT reason, lower(btrim(regexp_replace(value, '\s+', ' ', 'g')) COLLATE pg_c_utf8) AS key,
       btrim(min(value)) AS value, count(*) AS total, count(*) FILTER (WHERE cardinality(reasons) = 1) AS freed,
       min(id) AS example, array_agg(DISTINCT dataset) AS datasets, count(DISTINCT source) AS sources,
       min(first_seen_at) AS since, (array_agg(n ORDER BY id))[1] - 1 AS number
FROM (
    SELECT r.id, n, r.reasons, r.dataset, r.source, r.first_seen_at, reason, coalesce(CASE
        WHEN reason IN ('FACILITY_NOT_FOUND', 'FACILITY_AMBIGUOUS') THEN cells ->> 'facility_name'
        WHEN reason IN ('PATIENT_NOT_FOUND', 'PATIENT_AMBIGUOUS', 'IDENTITY_CONFLICT:patient') THEN concat_ws(
            ' ', cells ->> 'patient_first_name', cells ->> 'patient_last_name', '·', cells ->> 'facility_name')
        WHEN reason LIKE '%%:%%' THEN cells ->> split_part(reason, ':', 2) END, '') AS value
    FROM rejected_rows r CROSS JOIN LATERAL (SELECT r.raw || r.corrections AS cells) c
    CROSS JOIN LATERAL unnest(r.reasons) WITH ORDINALITY AS u (reason, n)
    WHERE r.id IN ({rows})
) told
GROUP BY reason, key ORDER BY freed DESC, total DESC, reason, key LIMIT %s OFFSET %s
"""


@dataclass(frozen=True)
class Group:
    """Open rows of one cause. `freed`: those that nothing else stands against."""

    reason: str
    key: str
    value: str
    total: int
    freed: int
    example: int  # one of its rows
    datasets: Sequence[str]
    sources: int
    since: datetime
    number: int  # which of that row's reasons it is
    known: Cause | None = None

    @property
    def code(self) -> str:
        return code_of(self.reason)

    @property
    def about(self) -> str | None:
        """What a rule could be about that would free them."""
        return rule_about(self.reason)


def groups(rows: "QuerySet[RejectedRow]", *, first: int = 0, most: int = SHOWN) -> list[Group]:
    """Of the open ones among the rows, those first that one decision frees most of."""
    open_rows = rows.filter(state=RejectedRow.State.OPEN).order_by().values("pk")
    sql, params = open_rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(GROUPS.format(rows=sql), [*params, most, first])
        found = [Group(*row) for row in cursor.fetchall()]
    known = {(cause.reason, cause.value_key): cause for cause in _known(found)}
    return [_with(group, known.get((group.reason, group.key))) for group in found]


def _known(found: Sequence[Group]) -> "QuerySet[Cause]":
    mine = Q(pk__in=[])
    for reason in {group.reason for group in found}:
        mine |= Q(reason=reason, value_key__in=[group.key for group in found if group.reason == reason])
    return Cause.objects.filter(mine).select_related("assigned_to").prefetch_related("comments")


def _with(group: Group, cause: Cause | None) -> Group:
    return Group(**{**group.__dict__, "known": cause})


def of_row(row: RejectedRow, reason: str, rows: "QuerySet[RejectedRow]") -> Group | None:
    """The cause of one row; None where none of its rows is open any more."""
    alike = like(row, reason, rows)
    found = groups(alike)
    return next((group for group in found if group.reason == reason), None)


def like(row: RejectedRow, reason: str, rows: "QuerySet[RejectedRow]") -> "QuerySet[RejectedRow]":
    """The open rows among `rows` that are refused for the same reason and text."""
    key = _key(reason)
    wanted = RejectedRow.objects.filter(pk=row.pk).annotate(key=key).values_list("key", flat=True).get()
    rows = rows.filter(state=RejectedRow.State.OPEN, reasons__contains=[reason])
    return rows.alias(cause_key=key).filter(cause_key=wanted)


def _key(reason: str) -> Func:
    """As GROUPS has it, for one reason."""
    return CellKey(_value(reason))


def _value(reason: str) -> Any:
    def said(column: str) -> Any:
        return Func(cell(column), Value(""), function="coalesce", output_field=TextField())

    code, _, column = reason.partition(":")
    if code in OF_FACILITY:
        return said("facility_name")
    if code in OF_PATIENT or reason == "IDENTITY_CONFLICT:patient":
        names = ("patient_first_name", "patient_last_name", "facility_name")
        first, last, facility = map(cell, names)
        return Func(Value(" "), first, last, Value("·"), facility, function="concat_ws", output_field=TextField())
    return said(column) if column in _ALL_COLUMNS else Concat(Value(""), Value(""), output_field=TextField())


def rule_about(reason: str) -> str | None:
    code, _, column = reason.partition(":")
    if code in OF_FACILITY:
        return Rule.About.FACILITY.value
    if code != "ENUM":
        return None
    about = [about for about, cells in CELLS.items() if column in cells.values() and about != Rule.About.FACILITY]
    return str(about[0]) if about else None


# --- Who sees to it, and what was said


@transaction.atomic
def assign(group: Group, to: "User | None", *, by: "User") -> None:
    cause = _kept(group)
    with audit.acting(by, "assign", "causes", cause.pk):
        Cause.objects.filter(pk=cause.pk).update(assigned_to=to, assigned_at=Now() if to else None)


@transaction.atomic
def comment(group: Group, text: str, *, by: "User") -> CauseComment:
    if not text.strip():
        raise NotPossible("Write the comment first.")
    cause = _kept(group)
    audit.note(by, "comment", "causes", cause.pk)
    return CauseComment.objects.create(cause=cause, by=by, text=text.strip())


def _kept(group: Group) -> Cause:
    cause, _ = Cause.objects.get_or_create(reason=group.reason, value_key=group.key)
    return cause


def dataset_names(group: Group) -> list[str]:
    return [Dataset(name).label for name in group.datasets]

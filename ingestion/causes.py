"""What many refused rows have in common: a reason and the text that it is about, so that one decision serves them all.

A cause is named by one of its rows and which of that row's reasons is meant: texts may be a person's, and have no place
in an address.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Concat, Now

from clinical import audit
from ingestion.cells import OF_FACILITY, OF_PATIENT, PERSON, value_of
from ingestion.datasets import Dataset
from ingestion.models import Cause, CauseComment, RejectedRow, Rule
from ingestion.refusals import code_of
from ingestion.rules import CELLS
from ingestion.stewards import NotPossible

if TYPE_CHECKING:
    from clinical.models import User

SHOWN = 100

# The hash of the cell that a reason is about: by its column, or by what its code means. A person's name goes with the
# facility, since it means nothing without. The text itself is sealed, and read from one of the rows.
GROUPS = r"""
SELECT reason, key, count(*) AS total, count(*) FILTER (WHERE cardinality(reasons) = 1) AS freed,
       (array_agg(id ORDER BY batch_id, line))[1] AS example,
       array_agg(DISTINCT dataset) AS datasets, count(DISTINCT source) AS sources,
       min(first_seen_at) AS since, (array_agg(n ORDER BY batch_id, line))[1] - 1 AS number
FROM (
    SELECT r.id, r.batch_id, r.line, n, r.reasons, r.dataset, r.source, r.first_seen_at, reason, coalesce(CASE
        WHEN reason IN ('FACILITY_NOT_FOUND', 'FACILITY_AMBIGUOUS') THEN cell_keys ->> 'facility_name'
        WHEN reason IN ('PATIENT_NOT_FOUND', 'PATIENT_AMBIGUOUS', 'IDENTITY_CONFLICT:patient') THEN concat(
            cell_keys ->> 'patient_first_name', '.', cell_keys ->> 'patient_last_name', '.',
            cell_keys ->> 'facility_name')
        WHEN reason LIKE '%%:%%' THEN cell_keys ->> split_part(reason, ':', 2) END, '') AS key
    FROM rejected_rows r CROSS JOIN LATERAL unnest(r.reasons) WITH ORDINALITY AS u (reason, n)
    WHERE r.id IN ({rows})
) told
GROUP BY reason, key ORDER BY freed DESC, total DESC, reason, key LIMIT %s OFFSET %s
"""


@dataclass(frozen=True)
class Group:
    """Open rows of one cause. `freed`: those that nothing else stands against."""

    reason: str
    key: str  # hashes
    total: int
    freed: int
    example: int  # one of its rows
    datasets: Sequence[str]
    sources: int
    since: datetime
    number: int  # which of that row's reasons it is
    value: str = ""  # the text, as it stands in that row
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
    examples = RejectedRow.objects.in_bulk([group.example for group in found])
    return [
        replace(
            group,
            value=value_of(examples[group.example].cells, group.reason),
            known=known.get((group.reason, group.key)),
        )
        for group in found
    ]


def _known(found: Sequence[Group]) -> "QuerySet[Cause]":
    mine = Q(pk__in=[])
    for reason in {group.reason for group in found}:
        mine |= Q(reason=reason, value_key__in=[group.key for group in found if group.reason == reason])
    return Cause.objects.filter(mine).select_related("assigned_to").prefetch_related("comments")


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


def _key(reason: str) -> Any:
    """As GROUPS has it, for one reason."""

    def key(column: str) -> Any:
        return Coalesce(KT(f"cell_keys__{column}"), Value(""), output_field=TextField())

    code, _, column = reason.partition(":")
    if code in OF_FACILITY:
        return key("facility_name")
    if code in OF_PATIENT or reason in OF_PATIENT:
        first, last, facility = map(key, PERSON)
        return Concat(first, Value("."), last, Value("."), facility, output_field=TextField())
    return key(column) if column else Value("", TextField())


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

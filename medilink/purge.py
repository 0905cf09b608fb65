"""What is kept no longer: each night, in batches, each kind with a line of the audit that says how many.

Twice does no harm, and two at once leave each other alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.models import Model, Q, QuerySet
from django.utils import timezone

from analytics.history import CheckRun, MartRefresh
from analytics.monitor_results import MonitorResult
from analytics.nightly_reports import NightlyReport
from clinical import audit, sessions
from clinical.audit import partitions
from clinical.fhir.bulk import jobs
from clinical.models import FhirExport, IdempotencyKey, Login, LoginFailures, ProgramToken, SmartToken
from clinical.rotation import RESEALING
from ingestion.models import ExcludedRows, RejectedRow
from medilink.models import Alert, Backup

ROWS = 2_000
CELLS = timedelta(days=180)
ANSWERS = timedelta(hours=24)
AN_HOUR = timedelta(hours=1)
A_DAY = timedelta(days=1)
A_YEAR = timedelta(days=365)
FIGURES = timedelta(days=400)
REPORTS = timedelta(days=5 * 366)  # a plan period of the ministry, so that a night can be set beside those of its years


@dataclass(frozen=True)
class Kind:
    """`table` as the audit names it; `rows` are those whose time is over; `forget` ends a batch of them."""

    table: str
    what: str
    rows: "Callable[[], QuerySet[Any]]"
    forget: Callable[[list[int]], None] | None = None


def purge(*, is_dry: bool = False) -> dict[str, int]:
    """How many of each kind went, or would go. Kinds of which there are none are not told to the audit."""
    if not is_dry:
        ExcludedRows.objects.fold()
    done = {kind.what: kind.rows().count() if is_dry else _purged(kind) for kind in KINDS}
    return done | {"months of the audit": len(partitions.expired() if is_dry else partitions.drop_expired())}


def _purged(kind: Kind) -> int:
    done = 0
    while True:
        with transaction.atomic():
            pks = [*kind.rows().select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:ROWS]]
            if not pks:
                break
            (kind.forget or _delete(kind.rows().model))(pks)
            done += len(pks)
    if done:
        audit.note(None, "purge", kind.table, what=kind.what, count=done)
    return done


def _delete(model: type[Model]) -> Callable[[list[Any]], None]:
    def delete(pks: list[Any]) -> None:
        model._base_manager.filter(pk__in=pks).delete()

    return delete


def _settled_rows() -> "QuerySet[RejectedRow]":
    settled = RejectedRow.objects.exclude(state=RejectedRow.State.OPEN)
    has_cells = Q(raw_sealed__isnull=False) | Q(corrections_sealed__isnull=False)
    return settled.filter(has_cells, settled_at__lt=timezone.now() - CELLS)


def _forget_cells(pks: list[int]) -> None:
    """The row stays with its reasons and what became of it; its cells go, also out of its history."""
    audit.set_local(RESEALING, "on")
    RejectedRow.objects.filter(pk__in=pks).update(
        raw_sealed=None,
        corrections_sealed=None,
        cell_keys={},
        facility_key=None,
        first_name_key=None,
        last_name_key=None,
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE revisions SET was = was - %(columns)s::text[], became = became - %(columns)s::text[]"
            " WHERE \"table\" = 'rejected_rows' AND object_id = ANY(%(pks)s)"
            " AND (was ?| %(columns)s::text[] OR became ?| %(columns)s::text[])",
            {"columns": _CELLS, "pks": pks},
        )
    audit.set_local(RESEALING, "")


_CELLS = ["raw_sealed", "corrections_sealed", "cell_keys", "facility_key", "first_name_key", "last_name_key"]


def _before(model: Any, column: str, age: timedelta, **more: Any) -> "Callable[[], QuerySet[Any]]":
    return lambda: model.objects.filter(**{f"{column}__lt": timezone.now() - age}, **more)


def _over_exports() -> "QuerySet[FhirExport]":
    return FhirExport.objects.filter(expires_at__lt=timezone.now())


KINDS = (
    Kind("rejected_rows", "cells of refused rows", _settled_rows, _forget_cells),
    Kind("idempotency_keys", "answers to repeated requests", _before(IdempotencyKey, "created_at", ANSWERS)),
    Kind("program_tokens", "tokens of programs", _before(ProgramToken, "expires_at", A_YEAR)),
    Kind("alerts", "alerts that are over", _before(Alert, "closed_at", A_YEAR)),
    Kind("data_check_runs", "runs of the data checks", _before(CheckRun, "started_at", FIGURES)),
    Kind("monitor_results", "what monitors of sources saw", _before(MonitorResult, "found_at", FIGURES)),
    Kind("nightly_reports", "nightly reports", _before(NightlyReport, "made_at", REPORTS)),
    Kind("mart_refreshes", "refreshes of marts", _before(MartRefresh, "started_at", FIGURES)),
    Kind("logins", "log-ins long over", _before(Login, "seen_at", sessions.KEPT)),
    Kind("login_failures", "counts of failed log-ins", _before(LoginFailures, "since", A_DAY)),
    Kind("django_session", "sessions of browsers", _before(Session, "expire_date", timedelta())),
    Kind("fhir_exports", "files of FHIR exports", _over_exports, jobs.forget),
    Kind("smart_tokens", "tokens of SMART clients", _before(SmartToken, "expires_at", AN_HOUR)),
    Kind("backups", "lines on backups", _before(Backup, "started_at", FIGURES)),
)

"""Running the data checks and keeping what they found."""

import time
from collections.abc import Callable, Collection
from typing import Any

import orjson
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from analytics import marts
from analytics.checks.catalogue import BY_NAME, CHECKS
from analytics.checks.check import Check
from analytics.history import CheckResult, CheckRun, CheckRunQuerySet
from analytics.relations import MARTS

SAMPLE = 100
Status = CheckResult.Status


class UnknownCheck(Exception):
    """There is no check of that name."""


def run(only: Collection[str] = (), *, say: Callable[[CheckResult], None] | None = None) -> CheckRun:
    """All checks, or those named, in one snapshot; what each found is kept for good."""
    unknown = set(only) - set(BY_NAME)
    if unknown:
        raise UnknownCheck(f"There is no check {', '.join(sorted(unknown))}; `check_data --list` names them all.")
    chosen = [check for check in CHECKS if not only or check.name in only]
    started_at = timezone.now()
    results = _looked(chosen, say)
    with transaction.atomic():
        kept = CheckRun.objects.create(
            started_at=started_at,
            finished_at=timezone.now(),
            passed=_count(results, Status.PASSED),
            failed=_count(results, Status.FAILED) + _count(results, Status.BROKEN),
            warned=_count(results, Status.WARNED),
            skipped=_count(results, Status.SKIPPED) + _count(results, Status.NOT_APPLICABLE),
        )
        for result in results:
            result.run = kept
        CheckResult.objects.bulk_create(results)
    return kept


def whole_runs() -> CheckRunQuerySet:
    """Those of the whole catalogue, not of a few checks only."""
    return CheckRun.objects.spanning(CHECKS[0].name, CHECKS[-1].name)


def _count(results: Collection[CheckResult], status: str) -> int:
    return sum(result.status == status for result in results)


def _looked(chosen: Collection[Check], say: Callable[[CheckResult], None] | None) -> list[CheckResult]:
    """In one REPEATABLE READ transaction, so that what is fresh at its beginning is so for every check."""
    results = []
    is_outermost = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if is_outermost:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        stale = _stale()
        for check in chosen:
            result = look(check, stale)
            results.append(result)
            if say:
                say(result)
    return results


def _stale() -> frozenset[str]:
    known = marts.states()
    return frozenset(mart.table for mart in MARTS if mart.name not in known or known[mart.name].is_stale)


def look(check: Check, stale: frozenset[str] = frozenset()) -> CheckResult:
    """What the check finds now, not stored."""
    result = CheckResult(name=check.name, relation=check.relation, kind=check.kind)
    result.severity, result.category = check.severity, check.category
    if stale.intersection(check.compared):
        result.status = Status.SKIPPED
        return result
    started = time.monotonic()
    try:
        with transaction.atomic():
            result.failing_rows, result.sample = _failing(check)
            result.among_rows = _among(check) if check.most_share is not None else None
        result.status = _status(check, result)
    except DatabaseError as error:
        result.status, result.error = Status.BROKEN, type(error.__cause__ or error).__name__
    result.seconds = round(time.monotonic() - started, 3)
    return result


def _status(check: Check, result: CheckResult) -> Status:
    if result.among_rows is not None and result.among_rows < check.least:
        return Status.NOT_APPLICABLE
    if not check.is_beyond(result.failing_rows, result.among_rows):
        return Status.PASSED
    return Status.FAILED if check.severity.is_failure else Status.WARNED


def _among(check: Check) -> int:
    with connection.cursor() as cursor:
        cursor.execute(check.among)
        return int(cursor.fetchone()[0])


def _failing(check: Check) -> tuple[int, list[Any]]:
    """Their number, and the keys of the first of them."""
    failing = check.failing.replace("%", "%%")  # where parameters are given a single one would begin a mark
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH failing AS MATERIALIZED ({failing}) SELECT (SELECT count(*) FROM failing),"  # ours
            " coalesce((SELECT jsonb_agg(to_jsonb(f)) FROM (SELECT * FROM failing LIMIT %s) f), '[]')::text",
            [SAMPLE],
        )
        rows, sample = cursor.fetchone()
    return rows, orjson.loads(sample)

"""Looks at everything within ten seconds, whatever hangs: a thread for each lane, and what is late is told as late."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from django.db import Error, connection, connections

from ingestion.outages import sqlstate
from medilink.doctor.checks import Check, chosen
from medilink.doctor.findings import BROKE, SLOW, Finding

PATIENCE = 9.0  # seconds for all of it
STATEMENT_MS = 2_000


@dataclass
class Examination:
    """`well`: by subject, how many checks found nothing. `unseen`: subjects that could not be looked at whole."""

    findings: list[Finding] = field(default_factory=list)
    well: Counter[str] = field(default_factory=Counter)
    unseen: set[str] = field(default_factory=set)
    seconds: float = 0.0


class Lane:
    """Checks that run one after the other; what they found so far may be read at any time."""

    def __init__(self, name: str, checks: list[Check], *, limits_statements: bool) -> None:
        self.name, self.checks, self._limits_statements = name, checks, limits_statements
        self.found: list[tuple[Check, list[Finding]]] = []
        self.is_over = False

    def run(self) -> None:
        for one in self.checks:
            findings = self._look(one)
            self.found.append((one, findings))
            if any(finding.kind.ends for finding in findings):
                break
            if one.is_first and self.name == "database" and self._limits_statements:
                with connection.cursor() as cursor:
                    cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(STATEMENT_MS)])
        self.is_over = True

    def run_apart(self) -> None:
        try:
            self.run()
        finally:
            connections.close_all()

    def _look(self, one: Check) -> list[Finding]:
        try:
            return one.findings()
        except Exception as error:  # the edge of a check: that it broke is a finding, and no end
            state = sqlstate(error) if isinstance(error, Error) else ""
            if state == "57014":
                return [SLOW.seen(f"{_told(one)}: a query took longer than {STATEMENT_MS // 1000} s.")]
            return [BROKE.seen(f"{_told(one)}: {type(error).__name__}{f' ({state})' if state else ''}.")]


def examine(only: Collection[str] = (), *, is_thorough: bool = False) -> Examination:
    """`is_thorough`: in this thread and to the end, however long it takes."""
    began, checks = time.monotonic(), chosen(only)
    names = dict.fromkeys(one.lane for one in checks)
    lanes = [
        Lane(name, [one for one in checks if one.lane == name], limits_statements=not is_thorough) for name in names
    ]
    logging.disable(logging.ERROR)  # what libraries say of a server that is away, the findings say better
    try:
        _run(lanes, None if is_thorough else began + PATIENCE)
    finally:
        logging.disable(logging.NOTSET)
    result = Examination(seconds=time.monotonic() - began)
    for lane in lanes:
        _sum_up(lane, result)
    if only:
        result.findings = [
            one
            for one in result.findings
            if one.kind.code in only or one.kind.ends or only_has_subject(one, checks, only)
        ]
    result.findings.sort(key=lambda finding: finding.kind.gravity)
    return result


def only_has_subject(finding: Finding, checks: list[Check], only: Collection[str]) -> bool:
    return finding.kind in (BROKE, SLOW) or any(finding.kind in one.kinds and one.subject in only for one in checks)


def _run(lanes: list[Lane], deadline: float | None) -> None:
    if deadline is None:
        for lane in lanes:
            lane.run()
        return
    threads = [threading.Thread(target=lane.run_apart, daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def _sum_up(lane: Lane, result: Examination) -> None:
    is_over, found = lane.is_over, [*lane.found]
    for one, findings in found:
        result.findings += findings
        result.well[one.subject] += not findings
    left = lane.checks[len(found) :]
    result.unseen |= {one.subject for one in left}
    if left and not is_over:
        silent = left[0]
        late = f"no answer within {PATIENCE:.0f} s"
        result.findings.append(
            silent.kinds[0].seen(f"{late.capitalize()}.") if silent.is_first else SLOW.seen(f"{_told(silent)}: {late}.")
        )


def _told(one: Check) -> str:
    return f"{one.subject}, {one.look.__name__.replace('_', ' ')}"

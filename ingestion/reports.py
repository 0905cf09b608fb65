"""How a run is told: a JSON line per batch for programs, a line per batch and the totals for people."""

import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ingestion.models import COUNTS, IngestBatch
from ingestion.pipeline import Report
from ingestion.refusals import CODES, code_of

if TYPE_CHECKING:  # which tells by this module
    from ingestion.runs import Outcome

COLOURS = {"loaded": "green", "archived": "green", "duplicate": "cyan", "discarded": "dim"}


def as_dict(batch: IngestBatch) -> dict[str, Any]:
    """The fixed fields of contract and scripts; the object's key is all that is said of the file."""
    seconds = (batch.finished_at - batch.started_at).total_seconds() if batch.finished_at and batch.started_at else 0.0
    return {
        "batch_id": batch.pk,
        "key": batch.object_key,
        "dataset": batch.dataset,
        "status": batch.status,
        "reasons": batch.reasons,
        "warnings": batch.warnings,
        "counts": counts_of(batch),
        "seconds": round(max(seconds, 0.0), 3),
    }


def counts_of(batch: IngestBatch) -> dict[str, int]:
    return {name.removeprefix("rows_"): getattr(batch, name) for name in COUNTS}


def totals(outcome: "Outcome") -> dict[str, Any]:
    total = Counter(dict.fromkeys((name.removeprefix("rows_") for name in COUNTS), 0))
    for report in outcome.reports:
        total.update(counts_of(report.batch))
    return {"totals": dict(total), "batches": len(outcome.reports)}


class JsonLines:
    """Writes to standard output, and nothing else does."""

    def foresee(self, files: int, size: int) -> None:
        pass

    def __call__(self, report: Report) -> None:
        self._write(as_dict(report.batch))

    def close(self) -> None:
        pass

    def end(self, outcome: "Outcome") -> None:
        self._write(totals(outcome))

    def _write(self, line: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class Lines:
    """A line per batch as it ends, with what to do where a file did not load; on a terminal, a bar below them."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.fields[files]} of {task.fields[all_files]} files, {task.fields[speed]}, left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._began, self._rows, self._files = time.monotonic(), 0, 0

    def foresee(self, files: int, size: int) -> None:
        """By bytes, because a night has files of every size."""
        if self._task is None and files > 1:
            self._task = self._bar.add_task("", total=size, files=0, all_files=files, speed="0 rows/s")
            self._began = time.monotonic()
            self._bar.start()

    def __call__(self, report: Report) -> None:
        batch, counts = report.batch, counts_of(report.batch)
        said = ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)
        colour = COLOURS.get(batch.status, "red")
        self._console.print(f"[{colour}]{batch.status:>10}[/]  {batch.pk:>6}  ", end="")
        self._console.print(f"{batch.object_key}  {said}", markup=False, soft_wrap=True)
        for reason in batch.reasons:
            code = CODES.get(code_of(reason))
            advice = f": {code.meaning} {code.action}" if code else ""
            self._console.print(f"{'':20}{reason}{advice}", markup=False, soft_wrap=True)
        self._advance(batch)

    def _advance(self, batch: IngestBatch) -> None:
        if self._task is not None and batch.parent_id is None:
            self._files += 1
            self._rows += batch.rows_read
            speed = f"{self._rows / max(time.monotonic() - self._began, 0.001):,.0f} rows/s"
            self._bar.update(self._task, advance=batch.size, files=self._files, speed=speed)

    def close(self) -> None:
        self._bar.stop()

    def end(self, outcome: "Outcome") -> None:
        total = totals(outcome)
        said = ", ".join(f"{name} {count:,}" for name, count in total["totals"].items() if count) or "nothing was due"
        self._console.print(f"{total['batches']} batches: {said}", markup=False, soft_wrap=True)


def reporter(*, is_json: bool) -> JsonLines | Lines:
    return JsonLines() if is_json else Lines()

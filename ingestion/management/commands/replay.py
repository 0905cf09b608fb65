"""Try refused rows again."""

from argparse import ArgumentParser
from typing import Any

from ingestion import doors, stewards
from ingestion.models import IngestBatch, RejectedRow
from ingestion.pipeline import Report
from ingestion.refusals import PARENT_CODES
from ingestion.runs import Outcome


class Command(doors.Door):
    help = "Try open refused rows again, as corrected. Exit codes as of `ingest`; 2 also for an unknown id."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, metavar="ID", help="only rows of this batch")
        parser.add_argument(
            "--reason", metavar="CODE", help="only rows refused for this, for instance ENUM:sex or ENUM"
        )
        parser.add_argument("--json", action="store_true", help="JSON lines on standard output, and nothing else there")

    def handle(self, *_args: Any, **options: Any) -> None:
        rows = RejectedRow.objects.filter(state=RejectedRow.State.OPEN)
        if options["batch"] is not None:
            if not IngestBatch.objects.filter(pk=options["batch"]).exists():
                doors.refuse(f"There is no batch {options['batch']}.")
            rows = rows.filter(batch_id=options["batch"])
        if options["reason"]:
            rows = rows.with_reason(options["reason"])
        tried = RejectedRow.objects.filter(pk__in=[*rows.values_list("pk", flat=True)])
        batches = stewards.replay(rows, by=None)
        still = tried.filter(state=RejectedRow.State.OPEN).exclude(reasons__contained_by=sorted(PARENT_CODES))
        stuck = {*still.values_list("batch_id", flat=True)}
        outcome = Outcome([Report(batch, has_own_refusals=batch.parent_id in stuck) for batch in batches])
        doors.tell(outcome, is_json=options["json"])

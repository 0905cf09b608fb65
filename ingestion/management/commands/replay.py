"""Try refused rows again."""

from argparse import ArgumentParser
from typing import Any

from ingestion import doors, stewards
from ingestion.models import IngestBatch, RejectedRow
from ingestion.pipeline import Report
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
        outcome = Outcome([Report(batch) for batch in stewards.replay(rows, by=None)])
        doors.tell(outcome, is_json=options["json"])

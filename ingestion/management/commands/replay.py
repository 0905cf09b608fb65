"""Try refused rows again."""

from argparse import ArgumentParser
from typing import Any

from ingestion import doors, stewards
from ingestion.models import RejectedRow
from ingestion.pipeline import Report
from ingestion.runs import Outcome


class Command(doors.Door):
    help = "Try open refused rows again, as corrected. Exit codes as of `ingest`: 3 where rows are still refused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, metavar="ID", help="only rows of this batch")
        parser.add_argument(
            "--reason", metavar="CODE", help="only rows refused for this, for instance ENUM:sex or ENUM"
        )
        parser.add_argument("--json", action="store_true", help="JSON lines on standard output, and nothing else there")

    def handle(self, *_args: Any, **options: Any) -> None:
        rows = RejectedRow.objects.all()
        if options["batch"]:
            rows = rows.filter(batch_id=options["batch"])
        if options["reason"]:
            rows = rows.with_reason(options["reason"])
        batches = stewards.replay(rows, by=None)
        outcome = Outcome([Report(batch, has_own_refusals=batch.rejected > 0) for batch in batches])
        doors.tell(outcome, is_json=options["json"])

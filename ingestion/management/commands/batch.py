"""A steward's answer about one batch, from a terminal."""

import json
from argparse import ArgumentParser
from typing import Any

from ingestion import doors, reverting, runs, stewards
from ingestion.models import IngestBatch, Kind, Release


class Command(doors.Door):
    help = (
        "Release a held batch, discard it, or try a rejected or failed one again; what is due then loads at once. "
        "Or take back a loaded one: its rows go, what it changed is as before; where later changes rest on it, they "
        "are listed, nothing is touched and the exit code is 1. "
        "Exit codes as of `ingest`; 2 also for an unknown id or an answer that does not fit the batch's state."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        shared = ArgumentParser(add_help=False)
        shared.add_argument("id", type=int, help="the batch's id")
        shared.add_argument("--json", action="store_true", help="JSON lines on standard output")
        answers = parser.add_subparsers(dest="answer", required=True, parser_class=ArgumentParser)
        release = answers.add_parser("release", parents=[shared], help="load a held batch")
        release.add_argument(
            "--as",
            dest="release_as",
            required=True,
            choices=Release.values,
            help="loaded: as it is; new_events: as events of their own day; snapshot: as the same events again",
        )
        release.add_argument("--remember", action="store_true", help="answer so for every later file of its source")
        discard = answers.add_parser("discard", parents=[shared], help="load nothing of it")
        discard.add_argument("--reason", required=True, help="why")
        answers.add_parser("retry", parents=[shared], help="try a rejected or failed batch again")
        revert = answers.add_parser("revert", parents=[shared], help="take a loaded batch back")
        revert.add_argument("--reason", required=True, help="why")

    def handle(self, *_args: Any, **options: Any) -> None:
        batch = IngestBatch.objects.filter(pk=options["id"]).first()
        if batch is None:
            doors.refuse(f"There is no batch {options['id']}.")
        if options["answer"] == "revert":
            self._revert(batch, options)
            return
        try:
            _answer(batch, options)
        except stewards.NotPossible as error:
            doors.refuse(str(error))
        run = runs.request(Kind.REPLAY)
        doors.carry_out(run, find=doors.only(batch), is_dry=False, is_json=options["json"])

    def _revert(self, batch: IngestBatch, options: dict[str, Any]) -> None:
        try:
            done = reverting.revert(batch, reason=options["reason"], by=None)
        except reverting.Obstructed as error:
            for obstacle in error.obstacles:
                self.stderr.write(f"{obstacle.table} {obstacle.object_id} {obstacle.what}")
            raise SystemExit(runs.STOPPED_SOME) from None
        except stewards.NotPossible as error:
            doors.refuse(str(error))
        told = {"batch_id": batch.pk, "new_rows": done.new_rows, "changed_rows": done.changed_rows}
        if options["json"]:
            self.stdout.write(json.dumps(told))
        else:
            self.stdout.write(
                "Batch {batch_id}: {new_rows} rows are gone, {changed_rows} are as before.".format(**told)
            )


def _answer(batch: IngestBatch, options: dict[str, Any]) -> None:
    match options["answer"]:
        case "release":
            stewards.release(batch, release_as=options["release_as"], by=None, remember=options["remember"])
        case "discard":
            stewards.discard(batch, reason=options["reason"], by=None)
        case "retry":
            stewards.retry(batch, by=None)

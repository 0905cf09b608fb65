"""A steward's answer about one batch, from a terminal."""

from argparse import ArgumentParser
from typing import Any

from ingestion import doors, runs, stewards
from ingestion.models import IngestBatch, Kind, Release


class Command(doors.Door):
    help = (
        "Release a held batch, discard it, or try a rejected or failed one again; what is due then loads at once. "
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

    def handle(self, *_args: Any, **options: Any) -> None:
        batch = IngestBatch.objects.filter(pk=options["id"]).first()
        if batch is None:
            doors.refuse(f"There is no batch {options['id']}.")
        try:
            _answer(batch, options)
        except stewards.NotPossible as error:
            doors.refuse(str(error))
        run = runs.request(Kind.REPLAY)
        doors.carry_out(run, find=doors.only(batch), is_dry=False, is_json=options["json"])


def _answer(batch: IngestBatch, options: dict[str, Any]) -> None:
    match options["answer"]:
        case "release":
            stewards.release(batch, release_as=options["release_as"], by=None, remember=options["remember"])
        case "discard":
            stewards.discard(batch, reason=options["reason"], by=None)
        case "retry":
            stewards.retry(batch, by=None)

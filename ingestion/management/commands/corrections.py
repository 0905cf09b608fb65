"""Refused rows as files to correct, and the way back, from a terminal."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, NoReturn

from django.utils import timezone

from clinical import audit
from ingestion import doors, reader, runs, sources
from ingestion.corrections import lists, returned
from ingestion.models import RejectedRow
from ingestion.objects import lagos_day
from ingestion.refusals import FileRefused


class Command(doors.Door):
    help = (
        "write: the open refused rows as CSVs, a file per facility and dataset, into the bucket or a folder. "
        "read: takes one back, corrected, and tries its rows once. Exit codes as of `ingest`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        shared = ArgumentParser(add_help=False)
        shared.add_argument("--json", action="store_true", help="JSON lines on standard output, and nothing else there")
        ways = parser.add_subparsers(dest="way", required=True, parser_class=ArgumentParser)
        write = ways.add_parser("write", parents=[shared], help="write the files of today")
        write.add_argument("--facility", type=int, metavar="ID", help="only rows of this facility")
        write.add_argument("--to", type=Path, metavar="DIR", help="a folder of this machine, instead of the bucket")
        read = ways.add_parser("read", parents=[shared], help="take a corrected file back")
        read.add_argument("file", type=Path, metavar="FILE")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["way"] == "read":
            _read(options["file"], is_json=options["json"])
        rows = RejectedRow.objects.all()
        if options["facility"] is not None:
            rows = rows.filter(facility_id=options["facility"])
        try:
            written = _write_to(options["to"], rows) if options["to"] else lists.write_all(rows)
        except lists.AlreadyWriting as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(runs.ALREADY_RUNNING)
        for name in written:
            _say({"file": name} if options["json"] else name)
        if not options["json"]:
            sys.stderr.write(f"{len(written)} files\n")


def _write_to(folder: Path, rows: Any) -> list[str]:
    written = []
    for file in lists.files(rows, lagos_day(timezone.now())):
        path = folder / file.folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.body)
        written.append(str(path))
    if written:
        open_rows = rows.filter(state=RejectedRow.State.OPEN)
        audit.note_file("rejected_rows", "corrections", rows=open_rows.count(), files=len(written))
    return written


def _read(path: Path, *, is_json: bool) -> NoReturn:
    if not path.is_file():
        doors.refuse(f"There is no file {path}.")
    headers = sources.Headers(path.stat().st_size, None)
    try:
        with (
            path.open("rb") as body,
            reader.fetch(body, headers, is_gzip=False, max_bytes=returned.MOST_BYTES) as fetched,
        ):
            compared = returned.compare(fetched, RejectedRow.objects.all())
    except FileRefused as refused:
        _say({"reasons": [refused.reason]} if is_json else refused.reason)
        sys.exit(runs.STOPPED_SOME)
    told = compared.told() | returned.apply(compared.edits, by=None)[0]
    if is_json:
        _say(told)
    else:
        for sentence in returned.sentences(told):
            _say(sentence)
    sys.exit(runs.REFUSED_SOME if told["still_refused"] else runs.DONE)


def _say(what: Any) -> None:
    sys.stdout.write(f"{what if isinstance(what, str) else json.dumps(what)}\n")

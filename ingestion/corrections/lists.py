"""Open refused rows as CSVs for the people who sent them: a file per facility and dataset, with what is wrong and why.

Where the facility is not known, a file per source. Each morning's files lie below S3_CORRECTIONS_PREFIX; written again,
they say what is open now. Old ones are left to the bucket's own rules.
"""

import csv
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.text import slugify

from clinical.locks import need_own_session
from clinical.models import Facility
from ingestion import sources
from ingestion.corrections.suggestions import BETWEEN, Suggestions, cells_of
from ingestion.corrections.tokens import token_of
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import RejectedRow
from ingestion.objects import folder_state, lagos_day
from ingestion.refusals import CODES, code_of
from ingestion.spreadsheets import protected

# Behind the dataset's own columns. By `first_refused_on`, whose cells we know, a returned file tells how its
# spreadsheet writes dates. The token stands last: a row cut short has none, rather than empty cells.
ERROR, SUGGESTION, LINE, FIRST_REFUSED_ON, ROW_TOKEN = ABOUT = (
    "error",
    "suggestion",
    "line",
    "first_refused_on",
    "row_token",
)
LOCKS_LISTS = 0x6D71  # the first key of our advisory locks, beside those of ingestion/load/context.py
ROWS = 2_000


@dataclass(frozen=True)
class CorrectionFile:
    """`folder` names state and facility, or state and source; `name` the dataset and the day."""

    folder: str
    name: str
    rows: int
    body: bytes


class AlreadyWriting(Exception):
    """Somebody else writes the morning's files at this moment."""


def write_all(rows: "QuerySet[RejectedRow] | None" = None) -> list[str]:
    """Puts the files of today into the bucket and returns their keys. Doing it again is harmless."""
    day = lagos_day(timezone.now())
    with _alone():
        return [_put(file, day) for file in files(RejectedRow.objects.all() if rows is None else rows, day)]


def files(rows: "QuerySet[RejectedRow]", day: date) -> Iterator[CorrectionFile]:
    """The open ones among the rows, in the order in which they stood in the files they came from."""
    rows = rows.filter(state=RejectedRow.State.OPEN).order_by()
    # Of an ambiguous name the row bears one facility of several; its people are nothing for the others to read.
    in_doubt = Q(facility=None) | Q(reasons__contains=["FACILITY_AMBIGUOUS"])
    known, unknown = rows.exclude(in_doubt), rows.filter(in_doubt)
    for facility_id, dataset in sorted(known.values_list("facility_id", "dataset").distinct()):
        folder = f"{slugify(Facility.objects.get(pk=facility_id).state)}/{facility_id}"
        yield _file(known.filter(facility_id=facility_id, dataset=dataset), Dataset(dataset), folder, day)
    for source, dataset in sorted(unknown.values_list("source", "dataset").distinct()):
        folder = f"{slugify(folder_state(source.rpartition('/')[0]) or 'no state')}/{_slug(source)}"
        yield _file(unknown.filter(source=source, dataset=dataset), Dataset(dataset), folder, day)


def _put(file: CorrectionFile, day: date) -> str:
    key = f"{settings.S3_CORRECTIONS_PREFIX}{day:%Y-%m-%d}/{file.folder}/{file.name}"
    sources.upload(key, file.body)
    return key


def _slug(source: str) -> str:
    """Readable, and another one for each source."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:6]
    return f"{slugify(source.removesuffix('.gz').removesuffix('.csv').replace('/', '-'))[:80]}-{digest}".strip("-")


def _file(rows: "QuerySet[RejectedRow]", dataset: Dataset, folder: str, day: date) -> CorrectionFile:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    columns = COLUMNS[dataset].all
    writer.writerow((*columns, *ABOUT))
    suggestions, count = Suggestions(), 0
    for row in rows.order_by("batch_id", "line", "pk").iterator(ROWS):
        writer.writerow(map(protected, _cells(row, columns, suggestions)))
        count += 1
    body = out.getvalue().encode("utf-8-sig")  # the mark by which Excel knows UTF-8
    return CorrectionFile(folder, f"{dataset.value}-corrections-{day:%Y-%m-%d}.csv", count, body)


def _cells(row: RejectedRow, columns: Iterable[str], suggestions: Suggestions) -> Iterator[str]:
    cells = cells_of(row)
    yield from (cells.get(column, "") for column in columns)
    yield BETWEEN.join(map(_in_words, row.reasons))
    yield suggestions.of(row)
    yield str(row.line)
    yield lagos_day(row.first_seen_at).isoformat()
    yield token_of(row)


def _in_words(reason: str) -> str:
    code, column = code_of(reason), reason.partition(":")[2]
    meaning = CODES[code].meaning if code in CODES else reason
    return f"{column}: {meaning}" if column else meaning


@contextmanager
def _alone() -> Iterator[None]:
    """A lock that ends with the connection, however this process ends."""
    keys = [LOCKS_LISTS, zlib.crc32(settings.S3_BUCKET_NAME.encode()) - 2**31]
    need_own_session()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", keys)
        if not cursor.fetchone()[0]:
            raise AlreadyWriting("Another one is writing the correction files at this moment.")
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", keys)

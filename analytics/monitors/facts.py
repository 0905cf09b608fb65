"""What came of each source on a day: counts of its batches, and what is in the rows they loaded. Set-based."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, NamedTuple

from django.db import connection

from ingestion.datasets import Dataset
from ingestion.models import LOADED, STOPPED, IngestBatch, IngestBatchQuerySet, Kind

Series = tuple[str, str]  # source and dataset

EMPTY = {
    Dataset.FACILITIES: {"lat": "r.lat IS NULL", "type": "r.type IS NULL", "lga": "r.lga = ''"},
    Dataset.PATIENTS: {
        "phone": "r.phone IS NULL",
        "sex": "r.sex = 'Unknown'",
        "patient_number": "r.patient_number IS NULL",
    },
    Dataset.MEDICAL_RECORDS: {
        "record_type": "r.record_type IS NULL",
        **{
            column: f"coalesce(r.data ->> '{column}', '') = ''"
            for column in ("diagnosis", "treatment", "medications", "notes")
        },
        "record_id": "r.record_id IS NULL",
    },
    Dataset.TRIAGE_VISITS: {
        "chief_complaint": "coalesce(r.chief_complaint, '') = ''",
        "vital_signs": "coalesce(r.vital_signs, '') = ''",
        "conditions": "r.conditions = '{}'",
        "recommendations": "r.recommendations = '{}'",
        "visit_id": "r.visit_id IS NULL",
        "visited_at": "r.time_is_estimated",
    },
}
AGE = "staging.age_group(staging.age_on({on}, {dob}))"
PATIENT = "JOIN patients p ON p.id = r.patient_id"
SPREAD = {
    Dataset.FACILITIES: {},
    Dataset.PATIENTS: {"sex": ("r.sex", ""), "age_group": (AGE.format(on="b.business_date", dob="r.dob"), "")},
    Dataset.MEDICAL_RECORDS: {
        "record_type": ("coalesce(r.record_type, '')", ""),
        "sex": ("p.sex", PATIENT),
        "age_group": (AGE.format(on="r.event_on", dob="p.dob"), PATIENT),
    },
    Dataset.TRIAGE_VISITS: {
        "triage_level": ("r.triage_level::text", ""),
        "sex": ("p.sex", PATIENT),
        "age_group": (AGE.format(on="r.event_on", dob="p.dob"), PATIENT),
    },
}


class Seen(NamedTuple):
    """A measure that is made of rows."""

    series: Series
    measure: str
    value: float
    among: int
    shares: dict[str, float] | None = None


class Delivered(NamedTuple):
    """All of a series' files of one business date."""

    folder: str
    rows: int
    refused: int
    last_at: datetime
    is_waiting: bool


def _files(first: date, last: date) -> IngestBatchQuerySet:
    """Not replays, bundles, nor correction files, which say nothing about their day; what was reverted never came."""
    files = IngestBatch.objects.filter(business_date__range=(first, last), parent=None, reverted_at=None)
    return files.exclude(kind=Kind.BUNDLE).exclude(dataset=None).exclude(evidence__has_key="corrections")


def deliveries(first: date, last: date) -> dict[Series, dict[date, Delivered]]:
    found: dict[Series, dict[date, Delivered]] = defaultdict(dict)
    columns = ("source", "dataset", "business_date", "folder", "rows_read", "refused_own", "status", "last_modified")
    files = _files(first, last).filter(status__in=(*LOADED, *STOPPED)).order_by("business_date", "id")
    for source, dataset, day, folder, rows, refused, status, at in files.values_list(*columns).iterator(10_000):
        series = found[source, str(dataset)]
        before = series.get(day, Delivered(folder, 0, 0, at, False))
        series[day] = Delivered(
            folder,
            before.rows + rows,
            before.refused + refused,
            max(before.last_at, at),
            before.is_waiting or status in STOPPED,
        )
    return found


def rows_of(day: date) -> Iterator[Seen]:
    """How often columns are empty and how values are spread, in the rows that the day's files wrote."""
    batches: dict[str, list[int]] = defaultdict(list)
    written = _files(day, day).filter(status__in=LOADED).exclude(inserted=0, updated=0)
    for pk, dataset in written.values_list("pk", "dataset"):
        batches[str(dataset)].append(pk)
    for name, pks in batches.items():
        dataset = Dataset(name)
        yield from _emptiness(dataset, pks)
        for column, (value, join) in SPREAD[dataset].items():
            yield from _spread(dataset, column, value, join, pks)


def _emptiness(dataset: Dataset, batches: list[int]) -> Iterator[Seen]:
    counted = ", ".join(f"count(*) FILTER (WHERE {empty})" for empty in EMPTY[dataset].values())
    for source, total, *empty in _asked(
        f"SELECT b.source, count(*), {counted} FROM {dataset} r JOIN ingest_batches b ON b.id = r.batch_id"  # noqa: S608  # our own names
        " WHERE r.batch_id = ANY(%s) AND r.deleted_at IS NULL GROUP BY 1",
        batches,
    ):
        for column, count in zip(EMPTY[dataset], empty, strict=True):
            yield Seen((source, dataset.value), f"empty:{column}", count / total, total)


def _spread(dataset: Dataset, column: str, value: str, join: str, batches: list[int]) -> Iterator[Seen]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for source, key, count in _asked(
        f"SELECT b.source, {value}, count(*) FROM {dataset} r JOIN ingest_batches b ON b.id = r.batch_id {join}"  # noqa: S608  # our own names
        " WHERE r.batch_id = ANY(%s) AND r.deleted_at IS NULL GROUP BY 1, 2",
        batches,
    ):
        counts[source][str(key)] = count
    for source, of_source in counts.items():
        total = sum(of_source.values())
        shares = {key: count / total for key, count in of_source.items()}
        yield Seen((source, dataset.value), f"spread:{column}", 0.0, total, shares)


def _asked(sql: str, batches: list[int]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, [batches])
        return cursor.fetchall()

"""What came on each day: from the batches what each source delivered, from their shares whose rows it was.

A facility is delivered by the sources in whose files its events came. Patients and facilities are not asked: their
files say everything again each time.
"""

from collections.abc import Iterable
from datetime import date, timedelta
from itertools import groupby
from typing import NamedTuple

import numpy as np

from analytics import shares
from analytics.facility_signals import BatchShare
from analytics.silence.judgement import WINDOW, Bools, Came, Facts, Ints
from clinical.models import Merge
from ingestion.datasets import Dataset
from ingestion.models import LOADED, IngestBatch, IngestBatchQuerySet, Status

USUAL_SHARE = 0.1  # of a facility's rows: a source that brought less is not one that it is expected to come from


class Delivery(NamedTuple):
    """What is asked of a batch."""

    source: str
    business_date: date
    status: str
    reasons: list[str]
    rows_read: int
    inserted: int
    updated: int
    sha256: str | None


def _batches(first: date, last: date) -> IngestBatchQuerySet:
    """Files and replays of events; a replay's rows came with its parent's file. What was reverted never came."""
    events = [dataset for dataset in Dataset if dataset.is_event]
    return IngestBatch.objects.filter(dataset__in=events, reverted_at=None, business_date__range=(first, last))


def read(day: date) -> tuple[Ints, Facts]:
    """The ids of the facilities that anything came from in the window before the day, and what came."""
    days = [day - timedelta(days=back) for back in range(WINDOW, -1, -1)]
    shares.count_new()
    sources = by_source(_deliveries(days[0], day), days)
    names = {source: number for number, source in enumerate(sources)}
    facilities, rows_of = _shares(days, names)
    nothing = (np.zeros(len(days), np.int64), np.zeros(len(days), bool))
    told = [sources.get(source, nothing) for source in names]
    states = np.array([came for came, _ in told], np.int64).reshape(len(names), len(days))
    waits = np.array([waiting for _, waiting in told], bool).reshape(len(names), len(days))
    return facilities, of_sources(days, rows_of, states, waits)


def _deliveries(first: date, last: date) -> Iterable[Delivery]:
    # A correction file says nothing about its day.
    files = _batches(first, last).filter(parent=None).exclude(evidence__has_key="corrections")
    files = files.order_by("source", "business_date")
    return map(Delivery._make, files.values_list(*Delivery._fields).iterator(chunk_size=10_000))


def _shares(days: list[date], sources: dict[str, int]) -> tuple[Ints, Ints]:
    """The facilities, and their rows by (facility, source, day) as lines of (facility's index, source, day, rows)."""
    counted = BatchShare.objects.filter(batch__in=_batches(days[0], days[-1]).loaded())
    lines = [np.empty((4, 0), np.int64)]
    found = counted.values_list("batch__source", "batch__business_date", "facilities", "rows")
    for source, day, facilities, rows in found.iterator(chunk_size=1_000):
        number, column = sources.setdefault(source, len(sources)), (day - days[0]).days
        lines.append(np.array([facilities, [number] * len(rows), [column] * len(rows), rows], np.int64))
    of_facility = np.concatenate(lines, axis=1)
    for merged, survivor in _merged():
        of_facility[0][of_facility[0] == merged] = survivor
    ids, of_facility[0] = np.unique(of_facility[0], return_inverse=True)
    return ids, of_facility


def _merged() -> list[tuple[int, int]]:
    """(facility, the one that it was merged into), in the order in which it was done: one may follow another."""
    merges = Merge.objects.filter(table=Merge.Of.FACILITIES, undone_at=None).order_by("id")
    return [*merges.values_list("merged_id", "survivor_id")]


# --- What a source delivered, from its batches


def by_source(deliveries: Iterable[Delivery], days: list[date]) -> dict[str, tuple[Ints, Bools]]:
    """For each source what came on each day, and on which a file of it waits. Sorted by source and business date."""
    found = {}
    for source, of_source in groupby(deliveries, key=lambda delivery: delivery.source):
        came, waits = np.zeros(len(days), np.int64), np.zeros(len(days), bool)
        before: set[str | None] = set()
        for day, files in groupby(of_source, key=lambda delivery: delivery.business_date):
            told = [*files]
            column = (day - days[0]).days
            states = [_state(file, before) for file in told]
            came[column] = max((state for state in states if state is not None), default=Came.NOTHING)
            waits[column] = None in states
            before = {file.sha256 for file in told if file.sha256} or before
        found[source] = (came, waits)
    return found


def _state(file: Delivery, before: set[str | None]) -> Came | None:
    """What one file says of its day; None where a steward or the next run decides. `before`: its last delivery's."""
    if "SAME_CONTENT_NEW_DATE" in file.reasons:
        return Came.SAME
    if "EMPTY_FILE" in file.reasons:
        return Came.EMPTY
    if "OBJECT_OVERWRITTEN" in file.reasons:
        return Came.NOTHING  # the version that took its place is a delivery of its own
    if file.status == Status.DUPLICATE:
        return Came.ROWS  # of the same day: its rows came with the other one
    if file.status not in LOADED:
        return None
    if not file.rows_read:
        return Came.EMPTY
    return Came.SAME if file.sha256 in before and not file.inserted + file.updated else Came.ROWS


# --- What a facility's sources delivered


def of_sources(days: list[date], rows_of: Ints, states: Ints, waits: Bools) -> Facts:
    """Facts of facilities from those of their sources.

    `rows_of` has columns (facility, source, day, rows); a facility's usual sources are told from the days before the
    last one.
    """
    facility, source, column, rows = rows_of
    facilities = int(facility.max()) + 1 if facility.size else 0
    counts = np.zeros((facilities, len(days)), np.int64)
    np.add.at(counts, (facility, column), rows)
    before = column < len(days) - 1
    pairs, of_pair = np.unique(rows_of[:2, before], axis=1, return_inverse=True)
    sums = np.bincount(of_pair.ravel(), weights=rows[before], minlength=pairs.shape[1])
    usual = sums >= USUAL_SHARE * counts[pairs[0], :-1].sum(1)
    of_file = np.zeros(states.shape, np.int64)
    np.add.at(of_file, (source, column), rows)
    came, is_waiting = np.zeros(counts.shape, np.int64), np.zeros(counts.shape, bool)
    file_rows = np.zeros(counts.shape, np.int64)
    for number in np.unique(pairs[1, usual]):
        its = pairs[0, usual & (pairs[1] == number)]
        came[its] = np.maximum(came[its], states[number])
        is_waiting[its] |= waits[number]
        file_rows[its] += of_file[number]
    came[counts > 0] = Came.ROWS
    return Facts(days, counts, file_rows, came, is_waiting)

"""Who works on a batch: a lease by the database's clock, numbered by attempts, so that a late worker can do nothing.

Nothing here trusts a worker's own clock or memory; the batch's row decides.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import Error, connection, transaction
from django.db.models import DateTimeField, F, Func, IntegerField
from django.db.models.functions import Now

from clinical.locks import need_own_session
from ingestion.models import LEASE, MAX_ATTEMPTS, IngestBatch, IngestBatchQuerySet, Status

HEARTBEAT = 10.0  # seconds
LOOK_AGAIN = 0.1


class ClaimLost(Exception):
    """Another worker has taken the batch over; what this one did is undone."""


@dataclass(frozen=True)
class Claim:
    batch_id: int
    attempt: int


class _Pid(Func):
    template = "pg_backend_pid()"
    output_field = IntegerField()
    arity = 0


class _BackendStart(Func):
    template = "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
    output_field = DateTimeField()
    arity = 0


def take(batch_id: int) -> Claim | None:
    """The claim for one caller only; None where somebody alive has it, it is not due, or its attempts are used up."""
    need_own_session()
    end_expired(batch_id)
    with transaction.atomic():
        batches = IngestBatch.objects.claimable().select_for_update(skip_locked=True, of=("self",))
        batch = batches.filter(pk=batch_id).first()
        if batch is None:
            return None
        row = IngestBatch.objects.filter(pk=batch_id)
        if batch.attempts >= MAX_ATTEMPTS:
            row.update(status=Status.FAILED, reasons=["ATTEMPTS_EXHAUSTED"], lease_until=None, finished_at=Now())
            return None
        row.update(
            status=Status.LOADING,
            reasons=[],
            attempts=F("attempts") + 1,
            lease_until=Now() + LEASE,
            holder_pid=_Pid(),
            holder_started_at=_BackendStart(),
            started_at=Now(),
            finished_at=None,
        )
        return Claim(batch_id, batch.attempts + 1)


def end_expired(batch_id: int | None = None) -> None:
    """Ends the session of a holder, or of all, whose lease is over: a worker that was only paused must not wake up and
    commit, and the locks that it holds would keep others waiting."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(a.pid) FROM ingest_batches b JOIN pg_stat_activity a"
            " ON a.pid = b.holder_pid AND a.backend_start = b.holder_started_at"
            " WHERE b.status = 'loading' AND b.lease_until < now() AND a.pid <> pg_backend_pid()"
            " AND b.id = coalesce(%s, b.id)",
            [batch_id],
        )


def wait_for_the_dead() -> None:
    """A worker that has just died looks alive until its connection is seen to be gone, or its lease is over. Waits for
    that, and for those that live until their lease is renewed: then what may be taken over is known."""
    leases = _leases()
    while leases:
        time.sleep(LOOK_AGAIN)
        now = _leases()
        leases = {batch: lease for batch, lease in leases.items() if now.get(batch) == lease}


def _leases() -> dict[int, datetime | None]:
    return dict(IngestBatch.objects.filter(parent=None).held().values_list("pk", "lease_until"))


def settle(claim: Claim, status: Status, **columns: object) -> None:
    """Ends the claim with this status. Raises ClaimLost where it is no longer ours."""
    columns = {"lease_until": None, "holder_pid": None, "holder_started_at": None, "finished_at": Now()} | columns
    if not _ours(claim).update(status=status, **columns):
        raise ClaimLost(f"Batch {claim.batch_id} was taken over by another worker.")


def give_back(claim: Claim, *, counts: bool) -> None:
    """The batch is due again; with `counts` the attempt counts, else it was nobody's fault (a service was away)."""
    attempts = claim.attempt if counts else claim.attempt - 1
    _ours(claim).update(status=Status.DISCOVERED, attempts=attempts, lease_until=None, holder_pid=None)


def _ours(claim: Claim) -> IngestBatchQuerySet:
    return IngestBatch.objects.filter(pk=claim.batch_id, status=Status.LOADING, attempts=claim.attempt)


def renew(claim: Claim) -> None:
    _ours(claim).update(lease_until=Now() + LEASE)


@contextmanager
def heartbeat(renew: Callable[[], object]) -> Iterator[None]:
    """Renews a lease every HEARTBEAT seconds while the block runs, on a connection of its own."""
    is_over = threading.Event()
    beat = threading.Thread(target=_beat, args=(renew, is_over), daemon=True)
    beat.start()
    try:
        yield
    finally:
        is_over.set()
        beat.join()


def _beat(renew: Callable[[], object], is_over: threading.Event) -> None:
    try:
        while not is_over.wait(HEARTBEAT):
            try:
                renew()
            except Error:
                connection.close()  # the next beat tries a new one; meanwhile the lease runs
    finally:
        connection.close()

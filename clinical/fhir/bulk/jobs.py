"""An export from its beginning to its end: taken by one worker, written, and settled.

The broker is only a hint: what is to do stands in the database, where the sweep looks every few minutes.
"""

import logging
import time
from datetime import datetime, timedelta

from celery import current_app
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from clinical.fhir.bulk import callers, claims, files, writing
from clinical.fhir.bulk.selection import Selection
from clinical.locks import oldest_writer
from clinical.models import FhirExport

logger = logging.getLogger(__name__)
Status = FhirExport.Status
TASK = "medilink.tasks.export_fhir"
TICK = timedelta(microseconds=1)  # no instant lies between two of these
A_MOMENT = 0.02  # seconds; for a transaction to be seen that has just begun


def send(export_id: int) -> None:
    """Once the transaction is committed; a broker that is away is no reason to fail."""
    transaction.on_commit(lambda: _send(export_id))


def _send(export_id: int) -> None:
    try:
        current_app.send_task(TASK, [export_id], retry=False)
    except OperationalError:
        logger.warning("The broker is away; the sweep will take up export %s", export_id)


def sweep() -> None:
    """Carries out what nobody has taken, or a worker has left behind; ends what was tried too often."""
    left = FhirExport.objects.filter(Q(status=Status.QUEUED) | Q(status=Status.RUNNING, lease_until__lt=Now()))
    left.filter(attempts__gte=claims.MOST_ATTEMPTS).update(
        status=Status.FAILED, lease_until=None, finished_at=Now(), expires_at=Now() + claims.KEPT
    )
    for export_id in [*left.order_by("id").values_list("pk", flat=True)]:
        carry_out(export_id)


def carry_out(export_id: int) -> bool:
    """Whether this call has brought it to its end; comes twice or late without harm."""
    claim = claims.take(export_id)
    if claim is None:
        return False
    try:
        return _carry_out(FhirExport.objects.get(pk=export_id), claim)
    except claims.ClaimLost as error:
        logger.info("%s", error)
        return False
    except files.NotThere as error:  # the store is away: the sweep tries again
        logger.warning("Export %s waits for its store: %s", export_id, error)
        claim.give_back()
        return False
    finally:
        claim.close()


def _carry_out(export: FhirExport, claim: claims.Claim) -> bool:
    user = callers.of_export(export)
    if user is None:
        claim.finish(Status.FAILED)  # who asked for it may no longer have it
        return True
    horizon = settled()
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        until = min(horizon, export.until or horizon) - TICK
        claim.begin(until, callers.grants_of(user))
        writing.write(Selection(export, user, until), claim)
    claim.finish(Status.DONE)
    return True


def settled() -> datetime:
    """All that bears an earlier instant is committed or gone, for each snapshot that is taken after this.

    A transaction shows when it began a moment after it has begun: so it is looked at twice.
    """
    first = oldest_writer()
    time.sleep(A_MOMENT)
    return min(first, oldest_writer())


def forget(export_ids: list[int]) -> None:
    """With their files; for the nightly purge. What the store does not let go of is given to nobody, and waits."""
    for export_id in export_ids:
        export = FhirExport.objects.filter(pk=export_id)
        try:
            files.remove_all(export_id)
        except files.NotThere as error:
            logger.warning("The files of export %s wait for their store: %s", export_id, error)
            export.update(status=Status.CANCELLED, lease_until=None, expires_at=Now() + claims.KEPT)
        else:
            export.delete()

"""Leases by the database's clock: whatever a worker's own clock says, who has a batch is decided in one place. F67."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection

from ingestion import claims
from ingestion.models import LEASE, IngestBatch, Status
from tests.ingestion import factories

pytestmark = pytest.mark.django_db(transaction=True)


def elsewhere(call):
    """On a connection of its own, as another worker has."""
    found = []

    def work():
        try:
            found.append(call())
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(minutes=10)])
def test_a_lease_is_as_long_when_the_workers_clock_is_wrong(skew):
    batch = factories.batch()
    with time_machine.travel(datetime.now(UTC) + skew):
        assert claims.take(batch.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT lease_until - now() FROM ingest_batches")
        (left,) = cursor.fetchone()
    assert LEASE - timedelta(seconds=20) < left <= LEASE
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1)):
        assert elsewhere(lambda: claims.take(batch.pk)) is None


def test_a_holder_whose_lease_is_over_loses_its_session_to_its_successor():
    batch = factories.batch()
    assert claims.take(batch.pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (mine,) = cursor.fetchone()
    IngestBatch.objects.update(lease_until=datetime(2020, 1, 1, tzinfo=UTC))

    def look():
        claim = claims.take(batch.pk)
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = %s", [mine])
            return claim, cursor.fetchone()[0]

    claim, sessions = elsewhere(look)
    assert (claim.attempt, sessions) == (2, 0)
    connection.close()
    assert IngestBatch.objects.get().status == Status.LOADING

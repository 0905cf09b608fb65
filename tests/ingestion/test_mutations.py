"""Valid files with bytes changed at random: never a crash, the counts always add up, and again means unchanged."""

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.models import STOPPED, IngestBatch, Status
from tests.deliveries import FILES, counts, deliver, digest, night

pytestmark = pytest.mark.django_db
PIECES = st.sampled_from(
    [b"", b"\n", b"\r", b'"', b",", b"\x00", b"\xff", b"9", b"Z", b";", b"\xe2\x80\xae", b"\xc2\xa0", b"''"]
)
CHANGES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), PIECES), min_size=1, max_size=6)


def mutated(text: str, changes: list[tuple[int, int, bytes]]) -> bytes:
    data = text.encode()
    for at, length, piece in changes:
        data = data[:at] + piece + data[at + length :]
    return data


@pytest.mark.parametrize("dataset", FILES)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_a_mutated_file_never_crashes_and_its_counts_add_up(a_night, dataset, changes):
    with transaction.atomic():
        deliver(f"{dataset}-2026-11-20x.csv", mutated(FILES[dataset], changes))
        night()
        batch = IngestBatch.objects.filter(object_key__contains="20x").latest("id")
        assert batch.status in {Status.ARCHIVED, Status.DUPLICATE, Status.REJECTED, Status.HELD}
        read, *parts = counts(batch)
        assert read == sum(parts)
        before = digest()
        deliver(f"{dataset}-2026-11-20y.csv", mutated(FILES[dataset], changes) + b"\n")
        night()
        again = IngestBatch.objects.filter(object_key__contains="20y").latest("id")
        assert digest() == before
        assert (again.inserted, again.updated) == (0, 0) or batch.status in STOPPED
        transaction.set_rollback(True)

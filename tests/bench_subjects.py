"""What a patient's rights cost, of one with 500 events: `python -m pytest -s tests/bench_subjects.py`."""

from datetime import date, timedelta
from time import perf_counter

import pytest

from clinical import audit, subjects
from clinical.models import User
from ingestion import dossier, erasure
from tests import rows

pytestmark = pytest.mark.django_db(transaction=True)
EVENTS, READS, NEIGHBOURS = 500, 300, 2000


def test_what_they_cost(alice):
    bob = User.objects.create_superuser("bob", password="not-a-secret-of-anybody")
    at = rows.facility()
    whose = rows.patient(at)
    for other in [rows.patient(at) for _ in range(NEIGHBOURS // 10)]:
        rows.visits(other, date(2026, 1, 1), [3] * 10)
    for n in range(EVENTS // 2):
        rows.record(whose, date(2025, 1, 1) + timedelta(days=n), diagnosis="Malaria")
        rows.visit(whose, date(2025, 1, 1) + timedelta(days=n), chief_complaint="Cough")
    for _ in range(READS):
        audit.note(alice, "read", "patients", whose.pk)
    timed("export", lambda: dossier.export(whose.pk, by=alice))
    timed("restrict", lambda: subjects.restrict(whose.pk, why="request", by=alice))
    timed("unrestrict", lambda: subjects.unrestrict(whose.pk, why="request", by=alice))
    asked = subjects.ask_to_erase(whose.pk, why="request", by=alice)
    subjects.confirm_erasure(asked, by=bob)
    asked.refresh_from_db()
    timed("erase", lambda: erasure.erase(asked))


def timed(what, do):
    began = perf_counter()
    do()
    print(f"\n{what}: {1000 * (perf_counter() - began):.0f} ms", end="")

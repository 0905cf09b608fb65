"""Files of plausible rows in any combination: whatever meets whatever, nothing fails, and again changes nothing.

Damage to the bytes of a file is in test_mutations.py.
"""

import csv
import io

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical.models import Facility, Patient
from ingestion.datasets import COLUMNS, Dataset
from ingestion.models import IngestBatch, RejectedRow, Status
from tests.deliveries import counts, deliver, digest, night

pytestmark = pytest.mark.django_db
NAMES = ("Kuje General Hospital", *("ikeja clinic", "Ikeja Clinic") * 3, "Health Post", "Ikeja General", "Nowhere")
TEXTS = (
    *[""] * 12,
    "Hb 11",
    "Malaria",
    '"',
    "\\u0000",
    "\x00",
    "\\N",
    "é\u0301\u200b",
    "a\tb\r\nc",
    "'; drop table",
    "null",
)
INSTANTS = (*[""] * 5, "2026-11-19", "2026-11-19T23:30Z", "1989-01-01", "tomorrow")
PHONES = ("", "07021000001", "07021000002", "0702")
# Values that meet what `deliver_all` has stored, each other, or the limits. Good ones come often enough to land.
CELLS = {
    "name": NAMES,
    "facility_name": NAMES,
    "state": ("LAGOS", "lagos state", "KANO", "OYO", "FCT", "Atlantis"),
    "facility_state": (*[""] * 6, "LAGOS", "lagos", "Kano", "Atlantis"),
    "lga": ("", "Ikeja", "IKEJA LGA", "Kuje", "Dala", "somewhere"),
    "facility_lga": (*[""] * 6, "Ikeja", "ikeja lga", "dala", "somewhere"),
    "lat": ("", "6.6018", "6.7", "95", "x"),
    "lon": ("", "3.3515", "3.3515", "0"),
    "sex": ("", "M", "F", "F", "Unknown", "X"),
    "dob": ("1990-01-01", "1988-05-05", "1975-12-31", "1975", "31/12/1975"),
    "patient_dob": (*[""] * 4, "1990-01-01", "1975-12-31", "1975-12-30"),
    "phone": PHONES,
    "patient_phone": PHONES,
    "triage_level": (*["2"] * 6, "1", "9", "x"),
    "conditions": ("", "Angina", "Hypertension; Angina", '{"a",;null', "|;|"),
    "record_id": (*[""] * 3, "7", "7", "8", "x" * 101),
    "visit_id": (*[""] * 3, "7", "7", "8", "x" * 101),
    "recorded_at": INSTANTS,
    "visited_at": INSTANTS,
}
FIRST, LAST = ("Amina", "NGOZI", "Ngozi", "Ngozi", "Musa", "Ngo", ""), ("Bello", "OKAFOR", "Okafor", "Okafor")
CELLS |= {"first_name": FIRST, "patient_first_name": FIRST, "last_name": LAST, "patient_last_name": LAST}


def rows_of(dataset):
    cells = {column: st.sampled_from(CELLS.get(column, TEXTS)) for column in COLUMNS[dataset].all}
    return st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=12)


def file_of(dataset, rows):
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS[dataset].all)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def load(dataset, text, number):
    """The batch of this delivery of the day on which everything else was delivered."""
    deliver(f"{dataset}-2026-11-20_{number}.csv", text)
    night()
    return IngestBatch.objects.get(object_key__contains=f"20_{number}.csv", parent=None)


def people_at_work():
    """A renamed facility, a corrected patient and one who has moved: each leaves an alias."""
    Facility.objects.filter(name="Ikeja Clinic").update(name="Ikeja General")
    Patient.objects.filter(first_name="Ngozi").update(first_name="Ngo", phone="+2347021000001")
    Patient.objects.filter(first_name="Musa").update(facility=Facility.objects.get(state="KANO"))


@pytest.mark.parametrize("dataset", Dataset)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), is_edited=st.booleans())
def test_any_rows_load_or_are_refused_and_again_change_nothing(a_night, dataset, data, is_edited):
    text = file_of(dataset, data.draw(rows_of(dataset)))
    with transaction.atomic():
        if is_edited:
            people_at_work()
        batch = load(dataset, text, 1)
        assert batch.status == Status.ARCHIVED
        read, *parts = counts(batch)
        assert read == sum(parts)
        before, refused = digest(), RejectedRow.objects.count()
        again = load(dataset, text + "\r\n", 2)
        assert digest() == before
        assert (again.rows_read, again.inserted, again.updated) in {(read, 0, 0), (0, 0, 0)}
        assert (again.rejected, RejectedRow.objects.count()) in {(batch.rejected, refused), (0, refused)}
        transaction.set_rollback(True)

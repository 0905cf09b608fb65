"""Where a corrected row may land: a steward's deed sees every facility of a name, and writes in the scope alone."""

import pytest

from clinical.models import Facility, Patient
from ingestion import stewards
from ingestion.models import RejectedRow
from tests.callers import Caller
from tests.deliveries import PATIENTS, deliver, deliver_all, night
from tests.rows import facility

pytestmark = [pytest.mark.usefixtures("bucket"), pytest.mark.django_db]


@pytest.fixture
def refused():
    """A row of Kuje, in the FCT, that waits for its sex; and a facility of KANO."""
    deliver_all()
    row = "Kuje General Hospital,Zainab,Sule,woman,1990-01-01,\n"
    deliver("patients-more-2026-11-20.csv", PATIENTS.split("\n")[0] + "\n" + row)
    night()
    return RejectedRow.objects.get(dataset="patients", facility__name="Kuje General Hospital")


def replayed(row, cells):
    steward = Caller(("steward", {"state": Facility.objects.get(name="Kuje General Hospital").state}))
    return steward.send("post", f"/api/rejected-rows/{row.pk}/replay", {"cells": cells})


def test_a_row_that_is_corrected_lands_where_its_steward_may_decide(refused):
    assert replayed(refused, {"sex": "F"}).status_code == 200
    assert Patient.objects.filter(first_name="Zainab").exists()


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_row_does_not_land_in_another_state(refused, by):
    kano = facility(state="KANO", lga="Dala", lga_name="Dala", name="Dala Clinic")
    where = {
        "id": {"facility_id": str(kano.pk)},
        "name": {"facility_name": "Dala Clinic", "facility_state": "KANO"},
    }
    steward = Caller(("steward", {"state": "FCT"})).user
    rows = RejectedRow.objects.filter(pk=refused.pk)
    stewards.correct(rows, {"sex": "F"} | where[by], by=steward)
    stewards.replay(rows, by=steward)
    assert not Patient.objects.filter(facility=kano).exists()
    refused.refresh_from_db()
    assert (refused.state, refused.reasons) == ("open", ["FACILITY_NOT_FOUND"])

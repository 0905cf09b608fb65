"""Lists in cells: an item is what stands between two separators, whatever is in it."""

import pytest

from clinical.models import TriageVisit
from tests.deliveries import VISITS, deliver, deliver_all, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bucket")]
ITEMS = ["Fever, high", "null", "{a}", "b\\c", "Cough"]


@pytest.mark.parametrize("beside", ["", '"', "é\u0301"])
def test_an_item_is_kept_whole_whatever_stands_in_the_rows_beside_it(beside):
    deliver_all()
    night()
    header = VISITS.partition("\n")[0]
    cells = "; ".join(ITEMS)
    rows = f'Ikeja Clinic,Ngozi,Okafor,3,"{beside * 2}",,"{cells}","{cells}"\n'
    deliver("triage_visits-2026-11-21.csv", f"{header}\n{rows}")
    night()
    visit = TriageVisit.objects.get(triage_level=3)
    assert (visit.conditions, visit.recommendations) == (ITEMS, ITEMS)

"""What is masked for an analyst cannot be found out either: every question that would narrow it down is refused."""

import base64
import re
from datetime import date, timedelta

import pytest

from clinical.api.patients import PatientViewSet
from clinical.models import MedicalRecord, Patient, TriageVisit
from tests.callers import codes
from tests.places import VEIL, VIEWS, as_text, caller, kept
from tests.rows import past_all_triggers

pytestmark = pytest.mark.django_db
MASKED = {
    "api/patients": ("first_name", "last_name", "phone", "dob", "patient_number"),
    "api/medical-records": ("treatment", "medications", "notes", "record_id"),
    "api/triage-visits": (*("chief_complaint", "vital_signs", "recommendations", "language", "provider", "visit_id"),),
}
NAMED = [(address, name) for address, names in MASKED.items() for name in names]
PLAIN = (
    *("id", "facility_id", "patient_id", "sex", "created_at", "updated_at", "record_type", "data", "recorded_at"),
    *("time_is_estimated", "dob_is_estimated", "triage_level", "visited_at", "conditions"),
)


@pytest.fixture(scope="module")
def places(django_db_setup, django_db_blocker):
    with kept(django_db_blocker) as places:
        yield places


@pytest.fixture
def analyst(places):
    return caller("analyst", "nation", places["own"])


@pytest.mark.parametrize("address", MASKED)
def test_each_column_is_masked_or_is_known_to_be_open(address):
    """A new column is seen by analysts only once somebody has said so here."""
    assert set(VIEWS[address].columns) - set(PLAIN) - set(MASKED[address]) == set()


@pytest.mark.parametrize(("address", "name"), NAMED)
@pytest.mark.parametrize("form", ["{}", "{}__startswith", "{}__gt", "data__{}", "{}_after", "{}_before", "search"])
def test_no_list_is_filtered_by_what_is_masked(analyst, address, name, form):
    for guess in ("2000-01-01",):
        refused = analyst.get(f"/{address}", {form.format(name): guess})
        assert refused.status_code == 400
        assert codes(refused)[0][0] in ("unknown_parameter", "masked_field")


@pytest.mark.parametrize(("address", "name"), NAMED)
@pytest.mark.parametrize("sign", ["", "-"])
def test_no_list_is_ordered_by_what_is_masked(analyst, address, name, sign):
    for query in ({}, {"cursor": ""}, {"format": "csv"}):
        assert analyst.get(f"/{address}", query | {"ordering": sign + name}).status_code == 400


def test_a_birthday_is_not_found_by_halves(analyst):
    """Twenty questions would be enough to find it in a century."""
    low, high = date(1920, 1, 1), date(2026, 1, 1)
    while high - low > timedelta(days=1):
        middle = low + (high - low) / 2
        for query in ({"dob_after": middle}, {"dob_before": middle}, {"dob_after": low, "dob_before": middle}):
            for kind in ({}, {"format": "csv"}, {"format": "ndjson"}, {"cursor": ""}, {"changed_since": "2020-01-01"}):
                assert codes(analyst.get("/api/patients", query | kind))[0][0] == "masked_field"
        low = middle


@pytest.mark.parametrize("known", [{"name": VEIL}, {"phone": "+2348031234001"}, {"name": VEIL, "dob": "1981-03-04"}])
def test_nobody_is_searched_by_who_sees_no_names(analyst, known):
    found, unknown = (
        analyst.send("post", "/api/patients/search", asked)
        for asked in (known, known | {"name": "Nobody"} if "name" in known else {"phone": "+2348099999999"})
    )
    assert found.status_code == unknown.status_code == 400
    assert found.json() == unknown.json()


@pytest.mark.parametrize("address", MASKED)
@pytest.mark.parametrize("query", [{}, {"cursor": "", "per_page": "1"}, {"changed_since": "2020-01-01"}])
@pytest.mark.parametrize("kind", ["json", "csv", "ndjson"])
def test_no_answer_holds_what_is_masked(analyst, address, query, kind):
    if kind != "json" and "cursor" in query:
        query = {"ordering": "-id"}
    answer = analyst.get(f"/{address}", query | {"format": kind})
    text = as_text(answer) + str(answer.headers)
    for cursor in re.findall(r"cursor=([\w%=-]+)", text):
        text += base64.urlsafe_b64decode(cursor.replace("%3D", "=") + "==").decode(errors="replace")
    assert VEIL not in text
    assert "+23480" not in text
    assert "1981-03" not in text


@pytest.mark.parametrize("address", MASKED)
def test_an_etag_is_not_made_of_what_is_masked(places, analyst, address):
    """Else who guesses a phone could compute it, and see that the guess was right."""
    thing = places["own"].things[{"api/patients": "patient", "api/medical-records": "record"}.get(address, "visit")]
    before = analyst.get(f"/{address}/{thing.pk}")["ETag"]
    with past_all_triggers():
        Patient.objects.filter(pk=thing.pk).update(phone="+2348030000000", first_name="Other")
        MedicalRecord.objects.filter(pk=thing.pk).update(record_id="Other")
        TriageVisit.objects.filter(pk=thing.pk).update(chief_complaint="Other", provider="Other")
    assert analyst.get(f"/{address}/{thing.pk}")["ETag"] == before


@pytest.mark.parametrize("write", ["post", "put", "patch", "delete"])
def test_no_refusal_of_a_write_tells_whether_a_guess_is_right(places, analyst, write):
    someone = places["own"].things["patient"]
    paths = {"post": "/api/patients"}
    for guess in (someone.last_name, "Nobody"):
        body = {"facility_id": someone.facility_id, "first_name": VEIL, "last_name": guess, "dob": "1981-03-04"}
        answer = analyst.send(write, paths.get(write, f"/api/patients/{someone.pk}"), body)
        assert answer.status_code == 403
        assert guess not in answer.content.decode()


def test_an_analyst_reads_no_delivery_and_no_passport(places, analyst):
    of = places["own"].things
    for path in (
        *("batches", f"batches/{of['batch'].pk}", f"batches/{of['batch'].pk}/lines/2", "rejected-rows"),
        *(f"rejected-rows/{of['refused'].pk}", f"patients/{of['patient'].pk}/passport", "audit-events"),
        *(f"medical-records/{of['record'].pk}/passport", f"triage-visits/{of['visit'].pk}/passport"),
    ):
        assert analyst.get(f"/api/{path}").status_code == 403, path


def test_the_columns_that_are_masked_are_those_of_the_views():
    assert PatientViewSet.masked == set(MASKED["api/patients"])

"""Two states side by side: whatever is asked of a list, and however, it says nothing of the other one.

And it forgets nothing: what the two are told, together, is what the nation is told.
"""

import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.places import LISTS, ROLES, VEIL, as_text, caller, filters_of, kept, leaks, some

pytestmark = pytest.mark.django_db
SHOWN = {  # lists of the desk, and what of a place stands in each
    "clinical_facility": "facility",
    "clinical_patient": "patient",
    "clinical_medicalrecord": "record",
    "clinical_triagevisit": "visit",
    "clinical_duplicatepair": "pair",
    "ingestion_ingestbatch": "batch",
    "ingestion_rejectedrow": "refused",
    "ingestion_auditlog": "batch",
    "ingestion_sighting": "sighting",
    "analytics_facilitysignal": "signal",
    "analytics_batchshare": "share",
}
COMPLETED = {  # the fields of forms that offer rows while one types
    ("clinical", "patient", "facility"): "facility",
    ("clinical", "medicalrecord", "facility"): "facility",
    ("clinical", "medicalrecord", "patient"): "patient",
    ("clinical", "triagevisit", "patient"): "patient",
}


@pytest.fixture(scope="module")
def kept_places(django_db_setup, django_db_blocker):
    with kept(django_db_blocker) as places:
        yield places


@pytest.fixture
def places(kept_places, settings):
    settings.THROTTLE_USER = settings.THROTTLE_PATIENTS = "off"
    settings.REQUIRE_TOTP = False
    return kept_places


def of_state(places, role, name):
    """A caller of the state of that place, and what must not be told to them."""
    return caller(role, "state", places[name]), places[name]


def queries(address, there):
    """Each way to ask a list, most of them for the other state's rows by name."""
    today = timezone.localdate()
    tried = {
        "state": there.state,
        "lga": there.lga,
        "type": "Clinic",
        "search": there.word,
        "facility_id": there.facility.pk,
        "patient_id": there.things["patient"].pk,
        "diagnosis": f"{there.word} fever",
        "condition": f"{there.word} pox",
        "code": f"{there.word} code",
        "record_type": there.word,
        "sex": "F",
        "age_group": "Adult",
        "triage_level": "2",
        "batch_id": there.things["batch"].pk,
        "run_id": "1",
        "reason": "DATE_AMBIGUOUS",
        "status": "open" if "rejected" in address else "held",
        "dataset": "patients",
        "source": there.things["batch"].source,
        "kind": "manual",
        "business_date": "2026-11-22",
        "actor": "user-1",
        "action": "list",
        "table": "patients",
        "object_id": there.things["patient"].pk,
        "facility_category": "Clinic",
        "priority_category": "Medium",
        "volume_category": "Low",
        "acuity_category": "Low",
        "risk_level": "Low",
        "time_of_day": "Morning",
        "is_active_last_90_days": "true",
        "facility_type": "Clinic",
        "month": f"{today:%Y-%m}-01",
    }
    for name in sorted(filters_of(address)):
        if name.endswith(("_after", "_from", "_since")):
            yield {name: f"{today - timedelta(days=36_000)}"}
        elif name.endswith(("_before", "_to")):
            yield {name: f"{today}"}
        elif name not in ("date", "dob"):
            assert name in tried, f"{address}: say what the filter {name} is to be tried with"
            yield {name: tried[name]}
    yield from ({"format": kind} for kind in ("json", "csv", "ndjson"))
    yield from ({"ordering": order} for order in ("-id", "created_at", "updated_at", "name", "-state", "visited_at"))
    yield from ({"changed_since": "2020-01-01"}, {"changed_since": "2020-01-01", "format": "ndjson"})
    yield from ({"per_page": "1"}, {"page": "2", "per_page": "1"}, {"cursor": "", "per_page": "1"})


def walk(client, path):
    """Every page of a list to its end, by the links that it gives."""
    rows, told = [], ""
    while path:
        answer = client.get(path)
        if answer.status_code == 403:
            return None, ""
        text = as_text(answer)
        told += text
        found = json.loads(text)
        rows += found.get("results", found.get("facilities", []))
        path = found.get("next")
    return rows, told


@pytest.mark.parametrize("one_in", [2, pytest.param(1, marks=pytest.mark.drill)])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("home", "other"), [("own", "other state"), ("other state", "own")])
def test_whatever_a_list_is_asked_it_says_nothing_of_the_other_state(places, role, home, other, one_in):
    """Half of the ways, others in each run; the head, which comes of the same answer, of one in eight."""
    somebody, here = of_state(places, role, home)
    asked = 0
    for address in LISTS:
        if somebody.get(f"/{address}").status_code == 403:
            continue
        tried = some([*queries(address, places[other])], one_in, f"{role} {home} {address}")
        heads = some(tried, one_in**2, f"heads {role} {home} {address}")
        for query in tried:
            for method in ("get", "head") if query in heads else ("get",):
                answer = getattr(somebody.client, method)(f"/{address}", query)
                said = as_text(answer).lower() + str(answer.headers).lower()
                echoed = {str(value).lower() for value in query.values()}
                found = leaks(role, "state", here, places, said)
                assert found == [] or {*map(str.lower, found)} <= echoed, (address, query, found)
                asked += 1
        assert somebody.client.options(f"/{address}").status_code in (200, 405)
    assert asked * one_in**2 > (30 if role == "auditor" else 200)


@pytest.mark.parametrize("role", ROLES)
def test_what_two_states_are_told_is_together_what_the_nation_is_told(places, role):
    """Whether pages or keys are walked, whatever is counted, and in files."""
    kano, lagos, nation = (
        caller(role, scope, places[name])
        for scope, name in (("state", "own"), ("state", "other state"), ("nation", "own"))
    )
    for address in LISTS:
        for query in ("?per_page=2", "?cursor=&per_page=2"):
            if "facility-stats" in address:
                continue
            parts = [walk(one.client, f"/{address}{query}")[0] for one in (kano, lagos, nation)]
            if None in parts:
                assert parts == [None] * 3 or address.endswith("audit-events"), address
                continue
            parts[2] = [row for row in parts[2] if row.get("state") != "ALL"]  # of the nation, and of no state
            assert _sorted(parts[0] + parts[1]) == _sorted(parts[2]), address
            assert parts[0], address
        if parts[2] is None or "facility-stats" in address:
            continue
        counts = [one.get(f"/{address}", {"per_page": "1"}).json().get("count") for one in (kano, lagos, nation)]
        if "triage-trends" not in address:  # which has lines of the nation's own
            assert counts[0] + counts[1] == counts[2] == len(parts[2]), address
        files = [as_text(one.get(f"/{address}", {"format": "ndjson"})).splitlines() for one in (kano, lagos, nation)]
        files[2] = [line for line in files[2] if '"state": "ALL"' not in line and '"state":"ALL"' not in line]
        assert sorted(files[0] + files[1]) == sorted(files[2]), address


def _sorted(rows):
    return sorted(json.dumps(row, sort_keys=True) for row in rows)


def test_the_figures_of_two_states_add_up_to_those_of_the_nation(places):
    answers = [
        caller("steward", scope, places[name]).get("/api/analytics/facility-stats").json()
        for scope, name in (("state", "own"), ("state", "other state"), ("nation", "own"))
    ]
    for total in ("total_facilities", "total_patients", "total_records", "total_triage_visits"):
        assert answers[0][total] + answers[1][total] == answers[2][total] > 0


# --- The desk


@pytest.mark.parametrize(("home", "other"), [("own", "other state"), ("other state", "own")])
def test_the_desk_lists_searches_and_counts_one_state(places, home, other):
    steward, here = of_state(places, "steward", home)
    there = places[other]
    for name in SHOWN:
        page = reverse(f"admin:{name}_changelist")
        for query in ({}, {"_facets": "True"}, {"o": "1"}, {"facility__state": there.state}, {"state": there.state}):
            text = as_text(steward.client.get(page, query, follow=True))
            assert _foreign(text, there) == [], (name, query)
        for typed in (there.word, VEIL, f"{there.word} {VEIL}"):
            text = as_text(steward.client.post(page, {"q": typed}, follow=True))
            assert _foreign(_without_the_box(text, typed), there) == [], (name, typed)
        thing = here.things[SHOWN[name]]
        assert f"/{thing.pk}/change/" in as_text(steward.client.get(page)), name


@pytest.mark.parametrize("asked", COMPLETED)
def test_what_a_form_offers_while_one_types_is_of_one_state(places, asked):
    steward, _ = of_state(places, "steward", "own")
    app, model, column = asked
    named = {"app_label": app, "model_name": model, "field_name": column}
    for term in ("", "Zq", places["other state"].word, VEIL):
        answer = steward.get("/admin/autocomplete/", named | {"term": term})
        assert answer.status_code in (200, 403), asked
        assert places["other state"].word not in answer.content.decode()


def test_the_frame_of_the_desk_counts_one_state(places):
    """Badges and the first page tell how much waits: of the state's three places, and not of the fourth."""
    for name, waiting in (("own", "3"), ("other state", "1")):
        text = as_text(of_state(places, "steward", name)[0].get("/admin/"))
        assert _foreign(text, places["other state" if name == "own" else "own"]) == []
        badge = re.search(r'/admin/ingestion/rejectedrow/".*?bg-red[^>]*>\s*(\d+)', text, re.DOTALL)
        assert badge is None or badge[1] == waiting


def _foreign(text, there):
    return [line.strip()[:200] for line in text.splitlines() if there.word in line]


def _without_the_box(text, typed):
    """The word that was typed stands in the box again."""
    return text.replace(f'value="{typed}"', "")

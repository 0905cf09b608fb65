"""A month for DHIS2: counted, mapped, sent, and the same to the unit as the marts and as a slow answer."""

import csv
import io
import json
import re
import threading
from collections import Counter
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from analytics.dhis2 import mapping, org_units, reconciling, report, sending
from analytics.dhis2.mapping import Cell
from analytics.dhis2.models import OrgUnit, Sending
from clinical.api.patients import AGES
from clinical.models import AuditEvent, Facility, MedicalRecord, TriageVisit, User
from clinical.values import LAGOS
from tests import rows
from tests.callers import Caller, codes

pytestmark = pytest.mark.django_db
TODAY = date(2026, 11, 25)
MONTH = date(2026, 10, 1)


@pytest.fixture(autouse=True)
def today():
    rows.stand_at(TODAY)


def unit(facility, number=1):
    return OrgUnit.objects.create(facility=facility, uid=f"aB3456{number:05}")


@pytest.fixture
def country():
    """Facilities of two states with events in and around the month, one of them without an organisation unit."""
    for number, state in enumerate(("KANO", "KANO", "LAGOS", "LAGOS")):
        at = rows.facility(state=state, hfr_code=f"hfr-{number}")
        for dob, sex in ((date(2026, 5, 1), "F"), (date(2015, 1, 1), "M"), (date(1980, 1, 1), "Unknown")):
            whose = rows.patient(at, dob=dob, sex=sex)
            for day in (date(2026, 9, 30), MONTH, date(2026, 10, 31), date(2026, 11, 1)):
                rows.visit(whose, day, 1 + number, conditions=["Malaria", "MALARIA", "Measles"][: number + 1])
                rows.record(whose, day, diagnosis="Malaria")
        if number < 3:
            unit(at, number)
    rows.refresh_all()


# --- The figures


def slow_answer(state=""):
    """One event after the other."""
    found = Counter()
    for model, metric, at in ((TriageVisit, "visits", "visited_at"), (MedicalRecord, "records", "recorded_at")):
        for event in model.objects.select_related("patient", "facility"):
            day = getattr(event, at).astimezone(LAGOS).date()
            if (day.year, day.month) != (2026, 10) or (state and event.facility.state != state):
                continue
            of = (age_group(event.patient.dob, day), event.patient.sex)
            found[Cell(metric, *of)] += 1
            if metric == "visits":
                found[Cell("critical_visits", *of)] += event.triage_level <= 2
                for name in {condition.lower() for condition in event.conditions}:
                    found[Cell(f"condition:{name.title()}", *of)] += 1
    return +found


def age_group(born, day):
    age = day.year - born.year - ((day.month, day.day) < (born.month, born.day))
    return next(name for name, least in zip(reversed(AGES), (65, 18, 13, 1, 0), strict=True) if age >= least)


@pytest.mark.parametrize("state", ["", "KANO", "LAGOS"])
def test_what_is_counted_is_what_the_slow_answer_counts(country, state):
    found = Counter()
    for counts in report.make(MONTH, TODAY, state).counts.values():
        found.update(counts)
    assert found == slow_answer(state)


@pytest.mark.parametrize("state", ["", "KANO", "LAGOS"])
def test_the_sheet_is_the_marts_to_the_unit(country, state):
    made = report.make(MONTH, TODAY, state)
    lines = reconciling.lines(made)
    assert [line for line in lines if line.difference] == []
    assert sum(line.total for line in lines if line.metric == "visits") == (24 if not state else 12)
    assert sum(line.unmapped_facilities for line in lines if line.metric == "visits") == (0 if state == "KANO" else 6)
    assert sum(line.sent for line in lines if line.metric == "condition:Measles") == (0 if state == "KANO" else 6)


def test_many_awkward_rows_are_reconciled_too():
    rows.make_many(5, TODAY)
    rows.refresh_all()
    for number, at in enumerate(Facility.objects.order_by("pk")[:5]):
        unit(at, number)
    lines = reconciling.lines(report.make(MONTH, TODAY))
    assert [line for line in lines if line.difference] == []
    assert sum(line.total for line in lines) > 50


def test_a_figure_without_a_place_in_dhis2_is_told(country, settings, tmp_path):
    lines = mapping.OURS.read_text().splitlines()
    path = tmp_path / "mapping.csv"
    path.write_text("\n".join(line for line in lines if ",visits,Infant,F," not in line))
    settings.DHIS2_MAPPING = str(path)
    made = report.make(MONTH, TODAY)
    assert made.unmapped_cells == {Cell("visits", "Infant", "F"): 6}
    assert [line.difference for line in reconciling.lines(made) if line.metric == "visits"] == [0]


# --- The payload


UID = re.compile(r"[A-Za-z][A-Za-z0-9]{10}")


def test_the_payload_has_the_published_shape(country):
    sets = report.make(MONTH, TODAY).sets
    assert sets
    for one in sets:
        body = one.body
        assert {*body} == {"dataSet", "completeDate", "period", "orgUnit", "dataValues"}
        assert UID.fullmatch(body["dataSet"])
        assert UID.fullmatch(body["orgUnit"])
        assert (body["period"], body["completeDate"]) == ("202610", "2026-11-01")
        for value in body["dataValues"]:
            assert {*value} == {"dataElement", "categoryOptionCombo", "value"}
            assert UID.fullmatch(value["dataElement"])
            assert value["value"].isdigit()
        keys = [(value["dataElement"], value["categoryOptionCombo"]) for value in body["dataValues"]]
        assert len(keys) == len(set(keys)) == len(mapping.current().targets)


def test_a_month_that_goes_on_is_not_complete(country):
    assert all("completeDate" not in one.body for one in report.make(date(2026, 11, 1), TODAY).sets)


def test_a_facility_without_events_is_not_sent_as_zeros():
    unit(rows.facility())
    assert report.make(MONTH, TODAY).sets == []


def test_what_was_sent_and_is_gone_is_sent_as_zeros():
    at = rows.facility()
    unit(at)
    known = {"org_unit": "aB345600001", "digest": "x", "state": "accepted", "sent_at": rows.lagos(TODAY)}
    Sending.objects.create(facility=at, month=MONTH, **known)
    [one] = report.make(MONTH, TODAY).sets
    assert {value["value"] for value in one.body["dataValues"]} == {"0"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("abc,visits,Adult,F,aB345678901,aB345678902", "uid"),
        ("aB345678900,visitors,Adult,F,aB345678901,aB345678902", "metric"),
        ("aB345678900,visits,Grown,F,aB345678901,aB345678902", "age group"),
        ("aB345678900,visits,Adult,M,aB345678901,aB345678903", "mapped before"),
        ("aB345678900,visits,Adult,F,aB345678901,aB345678903", "two figures"),
        ("aB345678999,visits,Adult,F,aB345678901,aB345678902", "one data set"),
    ],
)
def test_a_mapping_that_would_lose_a_figure_is_refused(tmp_path, line, says):
    path = tmp_path / f"{abs(hash(line))}.csv"
    known = "aB345678900,visits,Adult,M,aB345678901,aB345678903"
    path.write_text("\n".join([",".join(mapping.COLUMNS), known, line]))
    with pytest.raises(ImproperlyConfigured, match=says):
        mapping.read(path)


def test_organisation_units_are_matched_by_the_code_of_the_registry():
    known, twin, other = (rows.facility(hfr_code=code) for code in ("h-1", "h-2", "h-2"))
    unit(other, 7)
    lines = ["hfr_code,org_unit", "h-1,aB345600007", "h-2,aB345600002", "h-9,aB345600009", "h-1,nonsense"]
    assert org_units.take(lines) == (1, 2, 1)
    assert {**dict(OrgUnit.objects.values_list("facility_id", "uid"))} == {known.pk: "aB345600007"}
    assert twin.pk not in OrgUnit.objects.values_list("facility_id", flat=True)


# --- Sending


class Dhis2(HTTPServer):
    """Keeps values by their key, as DHIS2 does, and says what it was told to say."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Asked)
        self.values, self.said, self.unknown, self.asked = {}, [], set(), []


class Asked(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers["Authorization"], body))
        if self.server.said:
            return self.say(self.server.said.pop(0), {})
        counts, conflicts = Counter(imported=0, updated=0, ignored=0, deleted=0), []
        for value in body["dataValues"]:
            key = (body["orgUnit"], body["period"], value["dataElement"], value["categoryOptionCombo"])
            if value["dataElement"] in self.server.unknown:
                counts["ignored"] += 1
                conflicts.append({"object": value["dataElement"], "value": "Data element not found"})
                continue
            counts["updated" if key in self.server.values else "imported"] += 1
            self.server.values[key] = value["value"]
        status = "WARNING" if conflicts else "SUCCESS"
        summary = {"status": status, "importCount": counts, "conflicts": conflicts}
        return self.say(409 if conflicts else 200, {"httpStatusCode": 200, "response": summary})

    def say(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def dhis2(settings, monkeypatch):
    server = Dhis2()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.DHIS2_URL, settings.DHIS2_TOKEN = f"http://127.0.0.1:{server.server_port}/", "d2pat_x"
    monkeypatch.setattr(sending, "WAITS", (0.0, 0.0))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_that_the_command_writes_are_noted(country, tmp_path):
    files = {name: tmp_path / name for name in ("to", "sheet")}
    call_command("dhis2", month="2026-10", **files, stdout=io.StringIO())
    noted = AuditEvent.objects.get(action="export", table="dhis2")
    sets = json.loads(files["to"].read_text())["dataValueSets"]
    assert (noted.actor, noted.rows, noted.details["command"]) == (None, len(sets), "dhis2")
    assert (noted.details["files"], noted.details["month"]) == (["to", "sheet"], "202610")


def post(*more):
    out = io.StringIO()
    call_command("dhis2", "--month", "2026-10", "--post", *more, stdout=out)
    return out.getvalue()


def test_what_was_sent_is_what_the_sheet_says(country, dhis2):
    assert "3 accepted" in post()
    back = {target: cell for cell, target in mapping.current().targets.items()}
    stored = Counter()
    for (_, period, *target), value in dhis2.values.items():
        assert period == "202610"
        stored[back[tuple(target)]] += int(value)
    sent = {tuple(line[:3]): line.sent for line in reconciling.lines(report.make(MONTH, TODAY))}
    assert stored[Cell("condition:Malaria", "Infant", "F")] == sent["condition:Malaria", "Infant", "F"] == 6
    assert sum(n for cell, n in stored.items() if cell.metric == "visits") == sent["visits", "all", "all"] == 18
    assert dhis2.asked[0][:2] == ("/api/dataValueSets?importStrategy=CREATE_AND_UPDATE", "ApiToken d2pat_x")
    assert Sending.objects.get(facility=Facility.objects.earliest("id")).imported == len(back)


def test_what_is_unchanged_is_not_sent_again(country, dhis2):
    post()
    before = dict(dhis2.values)
    assert "3 unchanged" in post()
    assert len(dhis2.asked) == 3
    assert "3 accepted" in post("--again")
    assert dhis2.values == before
    assert {*Sending.objects.values_list("imported", flat=True)} == {0}


def test_a_figure_that_changed_is_sent_and_no_other(country, dhis2):
    post()
    TriageVisit.objects.filter(visited_at__gte=rows.lagos(MONTH)).earliest("id").delete()
    rows.refresh_all()
    assert "1 accepted, 2 unchanged" in post()


def test_conflicts_are_kept_and_shown(country, dhis2, capsys):
    dhis2.unknown.add(mapping.current().targets[Cell("visits", "Adult", "F")].data_element)
    with pytest.raises(CommandError) as raised:
        post()
    assert raised.value.returncode == 3
    one = Sending.objects.first()
    assert (one.state, one.ignored, one.conflicts[0]["value"]) == ("partly", 20, "Data element not found")


def test_a_moment_of_trouble_is_waited_for(country, dhis2):
    dhis2.said = [503, 429]
    assert "3 accepted" in post()
    assert Sending.objects.get(facility=Facility.objects.earliest("id")).attempts == 3


@pytest.mark.parametrize("said", [[503] * 9, [401]])
def test_who_cannot_be_reached_is_told_of_and_sent_to_later(country, dhis2, said):
    dhis2.said = said
    with pytest.raises(CommandError) as raised:
        post()
    assert raised.value.returncode == 69
    assert Sending.objects.get().state == "failed"
    dhis2.said = []
    assert "3 accepted" in post()


def test_the_command_writes_the_payload_and_the_sheet(country, tmp_path):
    out = io.StringIO()
    files = {"to": tmp_path / "sets.json", "sheet": tmp_path / "sheet.csv"}
    call_command("dhis2", month="2026-10", state="Lagos State", **files, stdout=out)
    assert len(json.loads(files["to"].read_text())["dataValueSets"]) == 1
    assert {line["difference"] for line in csv.DictReader(io.StringIO(files["sheet"].read_text()))} == {"0"}
    unmapped = Facility.objects.get(org_unit=None).pk
    assert f"1 without organisation unit\n  unmapped facilities: {unmapped}\n" in out.getvalue()


@pytest.mark.parametrize("given", [[], ["--month", "2026-13"], ["--month", "2026-10", "--state", "Atlantis"]])
def test_what_is_not_understood_is_refused(given):
    with pytest.raises(CommandError) as raised:
        call_command("dhis2", *given)
    assert raised.value.returncode == 2


# --- The API


def test_the_api_gives_what_the_command_sends_within_the_scope(country):
    caller = Caller(("steward", {"state": "LAGOS"}))
    answer = caller.get("/api/analytics/dhis2", {"month": "2026-10"}).json()
    made = report.make(MONTH, TODAY, "LAGOS")
    assert answer["data_value_sets"] == [one.body for one in made.sets]
    assert answer["unmapped_facilities"] == made.unmapped
    assert answer["trust"]["reporting"]["facilities"] == 2
    assert answer["reconciliation"] == [line._asdict() for line in reconciling.lines(made)]
    assert {line["difference"] for line in answer["reconciliation"]} == {0}
    assert {one["state"] for one in answer["facilities"]} == {"LAGOS"}
    assert caller.get("/api/analytics/dhis2", {"state": "KANO"}).status_code == 404


def test_the_api_refuses_what_it_does_not_understand(country):
    caller = Caller(("steward", {"state": "LAGOS"}), ("steward", {"state": "KANO"}))
    assert codes(caller.get("/api/analytics/dhis2", {"month": "October"})) == [("invalid", "month")]
    assert codes(caller.get("/api/analytics/dhis2")) == [("required", "state")]


def test_small_numbers_are_not_given_to_analysts(country):
    assert Caller(("analyst",)).get("/api/analytics/dhis2").status_code == 403


# --- The desk


def at_the_desk(state):
    caller = Caller(("steward", {"state": state}))
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    return caller.client


def test_a_steward_maps_a_facility_of_the_own_state_at_the_desk(country, settings):
    settings.REQUIRE_TOTP = False
    at = Facility.objects.get(org_unit=None)
    kano, lagos = at_the_desk("KANO"), at_the_desk("LAGOS")
    given = {"facility": at.pk, "uid": "zZ345678901"}
    assert kano.post("/admin/analytics/orgunit/add/", given).status_code == 200  # the form again: no such facility
    assert lagos.post("/admin/analytics/orgunit/add/", given).status_code == 302
    assert OrgUnit.objects.get(uid="zZ345678901").facility == at
    assert AuditEvent.objects.filter(table="dhis2_org_units", action="create", object_id=at.pk).exists()
    assert "zZ345678901" not in kano.get("/admin/analytics/orgunit/").content.decode()


def test_the_desk_shows_what_dhis2_did_not_take(desk):
    said = {"state": "partly", "ignored": 1, "conflicts": [{"object": "zZ345678901", "value": "Not found"}]}
    known = {"org_unit": "aB345678901", "digest": "x", "sent_at": rows.lagos(TODAY)}
    one = Sending.objects.create(facility=rows.facility(), month=MONTH, **known, **said)
    assert "partly accepted" in desk.get("/admin/analytics/sending/").content.decode()
    assert "Not found" in desk.get(f"/admin/analytics/sending/{one.pk}/change/").content.decode()

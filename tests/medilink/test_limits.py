"""What one caller may take: requests, rows of patients, bytes, and one export at a time."""

import csv
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from clinical.api import exports
from clinical.logins import issue_token
from medilink import limits
from medilink.api import throttling
from tests.callers import Caller, codes
from tests.rows import patient

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
STARTS = st.sampled_from(
    [*"=+-@\t\r\n'", "\uff1d", "\uff0b", "\uff0d", "\uff20", "'=", "''+", "=1+1", "+234803", "-5.5"]
)


@pytest.fixture(autouse=True)
def uncounted():
    """Counts of earlier tests are none of ours."""
    throttling._redis().flushdb()
    throttling._here.__init__()


@pytest.fixture
def early():
    """At the beginning of a window."""
    with time_machine.travel(timezone.now().replace(second=1)) as clock:
        yield clock


@pytest.fixture
def no_redis(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    throttling._redis.cache_clear()
    yield
    throttling._redis.cache_clear()
    throttling._silent_until = 0.0


def throttled(answer):
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 60
    return True


@pytest.mark.django_db
def test_a_user_at_the_desk_is_counted_like_one_of_the_api(desk, settings, early):
    settings.THROTTLE_USER = "4/min"
    assert [desk.get(path).status_code for path in ("/admin/", "/api/patients") * 2] == [200] * 4
    assert throttled(desk.get("/admin/"))
    assert throttled(desk.get("/api/patients"))
    early.shift(timedelta(minutes=1))
    assert desk.get("/admin/").status_code == 200


@pytest.mark.django_db
def test_an_address_without_a_log_in_is_counted(client, desk, settings, early):
    settings.THROTTLE_USER = "3/min"
    client.logout()
    assert [client.get(path).status_code for path in ("/api/patients", "/admin/login/", "/nothing")] == [401, 200, 404]
    assert throttled(client.get("/api/patients"))
    assert throttled(client.get("/admin/login/", headers={"Accept": "text/html"}))
    assert client.get("/health").status_code == 200  # a probe is let through
    assert Caller(("steward",)).get("/api/patients").status_code == 200  # and who is known


@pytest.mark.django_db
def test_tokens_that_are_none_are_counted_by_their_address_and_stop_no_good_one(client, alice, settings, early):
    settings.THROTTLE_USER = "3/min"
    token = issue_token("alice", 1)

    def ask(token):
        return client.get("/api/patients", headers={"Authorization": f"Bearer {token}"})

    assert [ask(f"ml_{n}").status_code for n in range(3)] == [401] * 3
    assert throttled(ask("ml_4"))
    assert ask(token).status_code == 200


@pytest.mark.django_db
def test_a_user_is_shown_so_many_rows_of_patients_and_no_more(settings, early, desk):
    settings.THROTTLE_PATIENTS = "5/min"
    clinic = patient().facility
    one, two, *_ = (patient(clinic).pk for _ in range(2))
    steward = Caller(("steward",))
    assert steward.get("/api/patients").status_code == 200  # three rows
    assert steward.get(f"/api/patients/{one}").status_code == 200
    assert steward.get(f"/api/patients/{two}").status_code == 200
    for answer in (
        steward.get(f"/api/patients/{two}"),
        steward.send("post", "/api/patients/search", {"name": "Ngozi"}),
        steward.get("/api/patients"),
    ):
        assert throttled(answer)
        assert codes(answer) == [("throttled", None)]
    assert steward.get("/api/facilities").status_code == 200
    assert Caller(("steward",)).get("/api/patients").status_code == 200
    assert desk.get("/admin/clinical/patient/").status_code == 200
    assert throttled(desk.get("/admin/clinical/patient/", headers={"Accept": "text/html"}))


@pytest.mark.django_db
def test_without_redis_a_process_counts_for_itself(no_redis, settings, early):
    settings.THROTTLE_USER = "3/min"
    steward = Caller(("steward",))
    assert [steward.get("/api/facilities").status_code for _ in range(4)] == [200, 200, 200, 429]


def test_what_a_process_counts_for_itself_does_not_grow_for_ever(monkeypatch):
    monkeypatch.setattr(throttling, "MOST_KEYS", 10)
    here = throttling.Here()
    for number in range(100):
        assert here.count(f"k{number}", 1, 0.0) == 1
    assert len(here._counts) <= 12


@pytest.mark.parametrize("is_there", [True, False], ids=["redis", "no redis"])
def test_two_hundred_at_once_pass_no_more_than_the_limit(is_there, settings, early, request):
    if not is_there:
        request.getfixturevalue("no_redis")
    settings.THROTTLE_USER = "100/min"
    with ThreadPoolExecutor(32) as pool:
        waits = [*pool.map(lambda _: throttling.asked_too_often(987_654), range(200))]
    assert waits.count(0) == 100


@pytest.mark.drill
@pytest.mark.django_db(transaction=True)
def test_two_hundred_requests_at_once_pass_no_more_than_the_limit(alice, live_server, settings, capsys):
    settings.THROTTLE_USER = "100/min"
    address, token = urlsplit(live_server.url), issue_token("alice", 1)

    def ask(_):
        with closing(HTTPConnection(address.hostname, address.port, timeout=60)) as http:
            http.request("GET", "/api/facilities", headers={"Authorization": f"Bearer {token}"})
            return http.getresponse().status

    with time_machine.travel(timezone.now().replace(second=1), tick=False), ThreadPoolExecutor(50) as pool:
        statuses = [*pool.map(ask, range(200))]
    with capsys.disabled():
        print(f"\n{statuses.count(200)} of 200 parallel requests passed a limit of 100")
    assert {*statuses} == {200, 429}
    assert 95 <= statuses.count(200) <= 105


# --- Sizes


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/api/auth/token", "/api/patients", "/admin/clinical/patient/add/"])
def test_a_body_over_a_mebibyte_is_refused_everywhere(desk, path):
    answer = desk.post(path, b"x" * (limits.MOST_BYTES + 1), content_type="application/octet-stream")
    assert answer.status_code == 413


@pytest.mark.django_db
def test_an_upload_has_a_limit_of_its_own(desk, monkeypatch):
    path = "/admin/ingestion/rejectedrow/corrections/upload"
    large = io.BytesIO(b"x" * (2 * limits.MOST_BYTES))
    large.name = "corrections.csv"
    assert desk.post(path, {"file": large}).status_code == 200
    large.seek(0)
    monkeypatch.setitem(limits.UPLOADS, path, limits.MOST_BYTES)
    assert desk.post(path, {"file": large}).status_code == 413


@pytest.mark.django_db
def test_a_form_of_very_many_fields_is_refused(desk):
    answer = desk.post("/admin/clinical/patient/add/", {f"f{n}": "" for n in range(1001)})
    assert answer.status_code == 400


# --- One export at a time


@pytest.mark.django_db(transaction=True)
def test_a_second_export_of_a_user_waits_for_the_first(alice):
    patient()
    steward, other = Caller(("steward",)), Caller(("steward",))
    first = steward.get("/api/patients", {"format": "csv"})
    told = []

    def beside():  # on another connection
        told.append(steward.get("/api/patients", {"format": "ndjson"}))
        told[-1].close()
        told.append(b"".join(other.get("/api/patients", {"format": "ndjson"})))
        told.append(steward.get("/api/patients").status_code)
        connection.close()

    _run(beside)
    assert throttled(told[0])
    assert told[0].json()["errors"][0]["code"] == "throttled"
    assert told[1].count(b"\n") == 1
    assert told[2] == 200
    assert b"Okafor" in b"".join(first)
    first.close()
    _run(beside)
    assert told[3].status_code == 200


@pytest.mark.django_db(transaction=True)
def test_an_export_that_nobody_reads_gives_its_place_back(alice):
    steward = Caller(("steward",))
    steward.get("/api/patients", {"format": "csv"}).close()
    assert not connection.in_atomic_block
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [exports.PLACE],
        )
        assert cursor.fetchone() == (0,)


def _run(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# --- What a spreadsheet would run


def undone(cell):
    return cell[1:] if cell.startswith("'") and exports.RUNS.match(cell[1:]) else cell


@given(st.lists(st.one_of(CELLS, STARTS, st.tuples(STARTS, CELLS).map("".join)), min_size=1, max_size=4))
def test_a_file_for_spreadsheets_runs_nothing_and_gives_back_every_cell(cells):
    columns = [f"c{n}" for n in range(len(cells))]
    text = "".join(exports._csv(columns, [dict(zip(columns, cells, strict=True))]))
    _, *lines = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    (found,) = lines
    for cell, original in zip(found, cells, strict=True):
        assert cell[:1] not in {*"=+-@\t\r\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"} or exports.HARMLESS.fullmatch(
            cell
        )
        assert undone(cell) == original


@pytest.mark.parametrize("cell", ["+2348031234567", "-5", "+5.25", "0803", "12", "1e5", "a=b"])
def test_phones_and_numbers_stay_as_they_are(cell):
    assert exports.as_cell(cell) == cell


@pytest.mark.parametrize(
    "cell", ["+1-1", "-2+3", "=1", "@x", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0d1", "\uff20x", "--5"]
)
def test_what_would_run_stands_behind_an_apostrophe(cell):
    assert exports.as_cell(cell) == f"'{cell}"

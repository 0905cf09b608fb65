"""Behind pgbouncer in transaction mode: nobody sees another's rows, nothing stays in a session, and workers refuse."""

from functools import partial
from itertools import cycle, product

import psycopg2
import pytest

from tests.lab import served
from tests.lab.cluster import Cluster
from tests.lab.pooler import Pooler, binary
from tests.lab.served import FACILITY, PEOPLE

SIZE, THREADS = 2, 32
LISTS = ("patients", "medical-records", "triage-visits", "facilities", "batches", "rejected-rows")
MARTS = ("facility-stats", "facilities", "patients", "triage-visits", "triage-trends", "condition-analysis")


@pytest.fixture(scope="module")
def site(_cluster):
    binary()
    _cluster.fresh()
    tokens = served.filled(_cluster)
    pooler = Pooler(_cluster.folder, _cluster._servers.socket_folder, SIZE)
    address = pooler.url("medilink_web", _cluster.database_name)
    try:
        with served.site(_cluster, tokens, threads=THREADS, DATABASE_WEB_URL=address) as found:
            found.pooler = pooler
            yield found
    finally:
        pooler.close()


def bare(site, sql):
    """As the web's role through the pooler, with nothing said."""
    connection = site.pooler.connect("medilink_web", site.cluster.database_name)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0]
    finally:
        connection.close()


def looks_about(site, state, kind):
    """What is wrong with what this state's steward is answered."""
    own, other = FACILITY[state], FACILITY["LAGOS" if state == "KANO" else "KANO"]
    if kind == "list":
        answer = site.get(state, "/api/patients?per_page=50")
        seen = {row["facility_id"] for row in answer.json()["results"]}
        right = answer.status_code == 200 and answer.json()["count"] == PEOPLE and seen == {own}
    elif kind == "other's":
        answer = site.get(state, f"/api/facilities/{other}")
        right = answer.status_code == 404
    else:
        answer = site.get(state, "/api/analytics/facility-stats")
        right = answer.status_code == 200 and {row["facility_id"] for row in answer.json()["facilities"]} == {own}
    return [] if right else [f"{state} {kind}: {answer.status_code} {answer.text[:200]}"]


@pytest.mark.parametrize("requests", [240, pytest.param(20_000, marks=pytest.mark.drill)])
def test_two_stewards_on_two_connections_never_see_each_others_rows(site, requests):
    asked = (partial(looks_about, site, *one) for one in cycle(product(FACILITY, ("list", "other's", "mart"))))
    assert served.at_once(asked, THREADS, requests) == []
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'medilink_web'"
    assert 1 <= site.cluster.sql(sessions)[0][0] <= SIZE


def test_no_claim_is_left_in_a_session_after_an_answer(site):
    for state in (*FACILITY, *FACILITY):
        assert site.get(state, "/api/patients").status_code == 200
        assert bare(site, "SELECT coalesce(current_setting('medilink.scope', true), '')") == ""
        assert bare(site, "SELECT count(*) FROM patients") == 0
        assert bare(site, "SELECT count(*) FROM pg_prepared_statements") == 0


def test_statements_still_end_in_time(site):
    assert bare(site, "SHOW statement_timeout") == "5s"
    assert "Behind the pooler" not in site.cluster.log("site")
    with pytest.raises(psycopg2.errors.QueryCanceled):
        bare(site, "BEGIN; SET LOCAL statement_timeout = 50; SELECT pg_sleep(9)")


def test_the_api_answers_through_the_pooler_as_without_it(site):
    for path in (*LISTS, *(f"analytics/{mart}" for mart in MARTS)):
        answer = site.get("KANO", f"/api/{path}")
        assert answer.status_code == 200, (path, answer.text)
    for kind in ("csv", "ndjson"):
        exported = site.get("LAGOS", f"/api/patients?format={kind}")
        assert len(exported.text.splitlines()) == PEOPLE + (kind == "csv")
    person = {"facility_id": 1, "first_name": "Ngozi", "last_name": "Eze", "sex": "F", "dob": "1990-02-03"}
    made = site.call("KANO", "POST", "/api/patients", person, **{"Idempotency-Key": "once"})
    again = site.call("KANO", "POST", "/api/patients", person, **{"Idempotency-Key": "once"})
    assert (made.status_code, again.json()) == (201, made.json())
    one = f"/api/patients/{made.json()['id']}"
    assert site.call("LAGOS", "PATCH", one, {"last_name": "Obi"}).status_code == 404
    assert site.call("KANO", "PATCH", one, {"last_name": "Obi"}).json()["last_name"] == "Obi"
    found = site.call("KANO", "POST", "/api/patients/search", {"name": "Ngozi Obi"}).json()["results"]
    assert [row["id"] for row in found] == [made.json()["id"]]
    assert site.call("KANO", "DELETE", one).status_code == 204
    assert site.get("KANO", one).status_code in (404, 410)


def test_workers_and_commands_refuse_to_go_through_a_pooler(site):
    """Their locks would be given to others, and the session that they name would be anybody's."""
    cluster: Cluster = site.cluster
    past = {"DATABASE_URL": site.pooler.url("medilink", cluster.database_name)}
    for words in (("ingest",), ("refresh_marts",), ("find_duplicates",)):
        ended = cluster.run(*words, **past)
        assert ended.returncode != 0, words
        assert "leads through a connection pooler" in ended.stdout + ended.stderr, words
    assert cluster.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]

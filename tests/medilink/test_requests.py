"""What every request has in common: its id, the shape of refusals, the size of bodies, who is let in."""

import json
import re

import pytest
from django.db import OperationalError
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver

from clinical.api.patients import PatientViewSet
from clinical.requests import client_address
from medilink.requests import identified
from tests.callers import Caller, codes

pytestmark = pytest.mark.django_db
OPEN = ("health", "livez", "readyz", "fhir/metadata", "fhir/.well-known/", ".well-known/", "api/auth/", "admin/")
POSTED = {"fhir", "fhir/auth/token"}  # where nothing is to be read


@pytest.fixture
def steward():
    return Caller(("steward",))


def addresses(resolver=None, prefix=""):
    for pattern in (resolver or get_resolver()).url_patterns:
        path = prefix + re.sub(r"\(\?P<\w+>[^)]*\)|<[^>]+>", "1", str(pattern.pattern))
        path = re.sub(r"[\^$\\]|/\?", "", path)
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield path


@pytest.mark.parametrize("path", sorted({path for path in addresses() if not path.startswith(OPEN)} - POSTED))
def test_nothing_else_is_answered_without_credentials(client, path):
    answer = client.get(f"/{path}")
    assert answer.status_code == 401, path
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/api/patients", "/health", "/api/nothing", "/nothing", "/api/patients/0"])
def test_every_answer_has_an_id(steward, path):
    assert re.fullmatch("[0-9a-f-]{36}", steward.get(path)["X-Request-ID"])


@pytest.mark.parametrize(("given", "is_kept"), [("abc-123", True), ("a" * 37, False), ("a b", False), ("<x>", False)])
def test_a_well_formed_id_of_the_caller_is_kept(client, given, is_kept):
    assert (client.get("/health", headers={"X-Request-ID": given})["X-Request-ID"] == given) is is_kept


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "41.58.0.7", "127.0.0.1"),
        (1, "41.58.0.7", "41.58.0.7"),
        (1, "10.9.9.9, 41.58.0.7", "41.58.0.7"),
        (2, "10.9.9.9, 41.58.0.7, 10.0.0.1", "41.58.0.7"),
        (1, "41.58.0.7:4711", "41.58.0.7"),
        (1, "[2001:DB8::1]:4711", "2001:db8::1"),
        (1, "fe80::1%eth0", "fe80::1"),
        (1, "", "127.0.0.1"),
        (1, "41.58.0.7, <script>", "127.0.0.1"),
    ],
)
def test_the_address_is_what_our_own_proxies_have_seen(rf, settings, proxies, forwarded, seen):
    settings.NUM_PROXIES = proxies
    noted = []
    middleware = identified(lambda _: noted.append(client_address.get()) or HttpResponse())
    middleware(rf.get("/", headers={"X-Forwarded-For": forwarded} if forwarded else {}))
    assert noted == [seen]
    assert client_address.get() == ""


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "/api/nothing", 404, "not_found"),
        ("get", "/api/patients/1", 404, "not_found"),
        ("post", "/api/patients/1", 405, "method_not_allowed"),
    ],
)
def test_a_refusal_has_the_one_shape(steward, method, path, status, code):
    answer = getattr(steward.client, method)(path)
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/json"
    assert codes(answer) == [(code, None)]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"a": NaN}', "application/json", 400),
        (b'{"first_name": "\\ud800"}', "application/json", 400),
        (b'{"first_name": "a\\u0000b"}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'"x"', "application/json", 400),
        (b"null", "application/json", 400),
        (b"{" * 100_000, "application/json", 400),
        (b'{"a": "' + b"x" * 1024 * 1024 + b'"}', "application/json", 413),
        (b"a=b", "application/x-www-form-urlencoded", 415),
        (b"<a/>", "text/xml", 415),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(steward, body, kind, status):
    answer = steward.client.post("/api/patients", body, content_type=kind)
    assert answer.status_code == status
    assert answer.json()["errors"]


def test_an_answer_in_a_form_that_nobody_has_is_refused(steward):
    assert steward.get("/api/patients", Accept="image/png").status_code == 406


def test_a_query_of_broken_bytes_is_refused(steward):
    assert steward.client.get("/api/facilities?search=%ff%fe%fd").status_code in (200, 400)
    assert steward.client.get("/api/facilities?search=%ed%a0%80abc").status_code in (200, 400)


def test_a_database_that_is_away_is_told_as_such(steward, monkeypatch):
    def fail(*_):
        raise OperationalError("server closed; password=secret")

    monkeypatch.setattr(PatientViewSet, "list", fail)
    answer = steward.get("/api/patients")
    assert (answer.status_code, codes(answer)) == (503, [("service_unavailable", None)])
    assert answer["Retry-After"] == "5"
    assert "secret" not in answer.content.decode()


def test_an_error_that_nobody_foresaw_tells_nothing_and_is_logged_without_its_text(steward, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("Zainab Canary")

    monkeypatch.setattr(PatientViewSet, "list", fail)
    steward.client.raise_request_exception = False
    answer = steward.get("/api/patients")
    assert answer.status_code == 500
    assert "Canary" not in answer.content.decode()
    assert "RuntimeError in request" in caplog.text


def test_the_root_sends_people_to_the_log_in_and_gives_programs_the_routes(client, steward):
    assert client.get("/", headers={"Accept": "text/html"})["Location"] == "/admin/"
    routes = steward.get("/").json()
    assert routes["facilities"].endswith("/api/facilities")


def test_the_docs_are_for_who_is_logged_in(client, steward):
    assert client.get("/api/docs", headers={"Accept": "text/html"})["Location"] == "/admin/login/?next=/api/docs"
    page = steward.get("/api/docs", Accept="text/html").content.decode()
    assert "swagger-ui" in page
    assert "https://" not in page
    described = steward.get("/api/schema", {"format": "json"})
    assert described.status_code == 200


def test_the_description_is_valid_and_names_every_list(steward):
    described = json.loads(steward.get("/api/schema", Accept="application/vnd.oai.openapi+json").content)
    assert {"/api/patients", "/api/facilities", "/api/auth/token"} <= described["paths"].keys()

"""Ways in that are no log-in: other sites, forged requests, the schedule, the addresses that we call ourselves."""

import ast
import json
import re
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from django.contrib import admin
from django.test import Client
from django_celery_beat.models import PeriodicTask

from clinical.logins import issue_token
from medilink import alerts
from tests.callers import Caller
from tests.rows import facility

PROJECT = Path(__file__).resolve().parents[2]
APPS = ("medilink", "analytics", "ingestion", "clinical")


def sources():
    for app in APPS:
        for path in (PROJECT / app).rglob("*.py"):
            yield path, ast.parse(path.read_text())


# --- Other sites


@pytest.fixture
def with_origin(settings):
    """The middleware as it stands where one other site is named."""
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]
    settings.MIDDLEWARE = ["corsheaders.middleware.CorsMiddleware", *settings.MIDDLEWARE]
    return Client()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://app.example", True), ("https://evil.example", False), ("null", False)]
)
def test_only_sites_that_are_named_may_read_the_api(with_origin, alice, origin, allowed):
    headers = {"Origin": origin, "Authorization": f"Bearer {issue_token('alice', 1)}"}
    answer = with_origin.get("/api/patients", headers=headers)
    assert answer.status_code == 200
    assert answer.get("Access-Control-Allow-Origin") == (origin if allowed else None)
    assert "Access-Control-Allow-Credentials" not in answer
    assert "Access-Control-Allow-Origin" not in with_origin.get("/admin/login/", headers=headers)


@pytest.mark.django_db
def test_no_site_is_named_unless_somebody_names_it(client, alice):
    headers = {"Origin": "https://app.example", "Authorization": f"Bearer {issue_token('alice', 1)}"}
    assert "Access-Control-Allow-Origin" not in client.get("/api/patients", headers=headers)


# --- Forged requests


@pytest.mark.django_db
def test_who_writes_by_a_session_shows_that_it_was_our_page(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    body = {"name": "Forged", "state": "KANO", "lga": "Dala"}
    for method, path in (
        ("post", "/api/facilities"),
        ("delete", f"/api/facilities/{facility().pk}"),
        ("post", "/admin/logout/"),
    ):
        answer = getattr(client, method)(path, json.dumps(body), content_type="application/json")
        assert answer.status_code == 403, path
    token = str(client.get("/admin/").context["csrf_token"])
    answer = client.post(
        "/api/facilities", json.dumps(body), content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 201


@pytest.mark.django_db
def test_a_token_counts_alone_and_a_cookie_beside_it_is_not_read(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    assert client.get("/api/patients", headers={"Authorization": "Bearer ml_wrong"}).status_code == 401
    clerk = Caller(("clerk",)).user
    headers = {"Authorization": f"Bearer {issue_token(clerk.username, 1)}"}
    assert client.get("/api/batches", headers=headers).status_code == 403  # as the clerk, not as alice
    answer = client.post("/api/facilities", "{}", content_type="application/json", headers=headers)
    assert answer.status_code == 403
    assert not answer.cookies


# --- The schedule


@pytest.mark.django_db
def test_a_steward_changes_when_a_task_runs_but_neither_what_nor_with_what(desk):
    task = PeriodicTask.objects.exclude(crontab=None).first()
    page = f"/admin/django_celery_beat/periodictask/{task.pk}/change/"
    form = {"crontab": task.crontab_id, "task": "os.system", "regtask": "os.system", "args": '["id"]', "name": "x"}
    assert desk.post(page, form).status_code == 302
    after = PeriodicTask.objects.get(pk=task.pk)
    assert (after.task, after.args, after.name) == (task.task, task.args, task.name)
    assert not after.enabled  # which the form did not tick
    assert desk.get("/admin/django_celery_beat/periodictask/add/").status_code == 403
    assert desk.post(page.replace("change", "delete"), {"post": "yes"}).status_code == 403


# --- Addresses that we call


@pytest.fixture
def elsewhere():
    """A server whose every answer leads to another place of its own, and what it was asked for."""
    asked = []

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/metadata")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_followed_nowhere(elsewhere, settings):
    settings.ALERT_WEBHOOK_URL, asked = elsewhere
    assert not alerts._tried("webhook", lambda: alerts._hook([], []))
    assert asked == ["/hook"]


@pytest.mark.django_db
def test_no_form_and_no_body_takes_an_address_to_call(rf, alice):
    rf = rf.get("/")
    rf.user = alice
    for model, one in admin.site._registry.items():
        for name in one.get_form(rf, None, change=True).base_fields if one.has_change_permission(rf) else ():
            assert not re.search(r"url|endpoint|host|bucket|webhook", name), (model, name)
    described = json.loads(Caller(("steward",)).get("/api/schema").content)
    for name, schema in described["components"]["schemas"].items():
        if name.endswith("Request"):
            assert not re.search(r"url|endpoint|webhook|bucket", " ".join(schema.get("properties", ()))), name


# --- What must not be written


def test_nothing_is_marked_as_safe_and_no_serializer_takes_all_fields():
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                assert called != "mark_safe", path
                assert called != "SafeString" or all(isinstance(arg, ast.Constant) for arg in node.args), path
            if isinstance(node, ast.Assign) and any(
                getattr(one, "id", "") in ("fields", "exclude") for one in node.targets
            ):
                assert getattr(node.value, "value", "") != "__all__", path


def test_no_template_says_that_something_is_safe():
    for app in APPS:
        for path in (PROJECT / app).rglob("templates/**/*.html"):
            assert not re.search(r"\|\s*safe\b|autoescape off", path.read_text()), path

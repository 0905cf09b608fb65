from datetime import datetime

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from medilink import probe


@pytest.fixture
def database_away(transactional_db):
    connection.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(connection.settings_dict["OPTIONS"], "host", "/no/such/folder")
        yield
        connection.close()


@pytest.mark.django_db
def test_health_says_healthy_when_the_database_answers(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body.keys() == {"status", "timestamp", "database"}
    assert (body["status"], body["database"]) == ("healthy", "connected")
    assert body["timestamp"].endswith("Z")
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None


def test_health_says_unhealthy_and_nothing_more_when_the_database_is_away(client, database_away):
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json().keys() == {"status", "timestamp", "database"}
    assert answer.json()["status"] == "unhealthy"


def test_a_process_is_alive_when_its_database_is_away(client, database_away):
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503


@pytest.mark.django_db
def test_it_is_ready_when_every_migration_is_applied(client):
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_it_is_not_ready_when_a_migration_is_pending(client):
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")
    assert client.get("/readyz").status_code == 503


@pytest.mark.django_db
def test_health_answers_in_plain_http_when_the_site_is_https_only(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/health").status_code == 200
    assert client.get("/admin/login/").status_code == 301


def test_the_probe_is_content_when_the_site_is_ready(live_server, monkeypatch):
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    monkeypatch.setenv("ALLOWED_HOSTS", "localhost,127.0.0.1")
    assert probe.main() == 0


def test_the_probe_fails_when_the_site_refuses_its_host(live_server, monkeypatch):
    monkeypatch.setenv("PORT", live_server.url.rpartition(":")[2])
    monkeypatch.setenv("ALLOWED_HOSTS", "elsewhere.example")
    assert probe.main() == 1

import socket
from contextlib import closing
from datetime import date, timedelta

import pytest
from django.core.management import CommandError
from django.utils import timezone

from ingestion.models import RejectedRow
from medilink import demo
from medilink.models import Environment
from tests.ingestion import factories


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("last", "following"), [(None, -3), (-3, -2), (-1, 0), (0, 1), (1, 1), (-40, -3)], ids=lambda days: f"{days} days"
)
def test_the_next_night_follows_the_last_one_but_is_never_later_than_tomorrow(last, following):
    today = timezone.localdate()
    if last is not None:
        factories.batch(business_date=today + timedelta(days=last))
    assert demo._next_night() == today + timedelta(days=following)


def test_the_next_port_is_taken_when_the_first_is_not_free(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(demo, "PORTS", range(port, port + 50))
        assert port < demo._port() < port + 50


def test_a_port_that_was_asked_for_is_not_exchanged_when_it_is_taken(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        monkeypatch.setenv("PORT", str(taken.getsockname()[1]))
        with pytest.raises(CommandError, match="is taken; set PORT"):
            demo._port()


@pytest.mark.django_db
def test_refused_rows_are_counted_by_code_once_per_row():
    batch = factories.batch()
    for line, reasons in enumerate((["ENUM:sex", "ENUM:state"], ["ENUM:sex"], ["LENGTH:phone"]), start=2):
        RejectedRow.objects.create(
            batch=batch, line=line, reasons=reasons, raw={"n": line}, dataset="patients", event_on=date(2026, 11, 22)
        )
    assert demo._reasons_of([batch]) == {batch.pk: {"ENUM": 2, "LENGTH": 1}}


@pytest.mark.django_db
def test_the_demo_refuses_a_database_that_others_have_filled(tmp_path, monkeypatch):
    factories.batch()
    monkeypatch.setattr(demo, "RUN_FOLDER", tmp_path)
    with pytest.raises(CommandError, match="would mix invented patients"):
        demo._prepare()


@pytest.mark.django_db
def test_the_demo_refuses_a_database_that_is_marked_as_production(tmp_path, monkeypatch):
    assert Environment.objects.get().name == "development"  # what the settings of the suite said when it migrated
    Environment.objects.update(name="production")
    monkeypatch.setattr(demo, "RUN_FOLDER", tmp_path)
    with pytest.raises(CommandError, match="marked as production"):
        demo._prepare()

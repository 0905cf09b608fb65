"""The marts and the data checks at the stewards' desk."""

from datetime import date

import pytest
from django.contrib.auth.models import Permission
from kombu import Connection, pools

from analytics import checks, marts
from analytics.checks.check import Check, Kind
from analytics.history import MartRefresh, MartState
from clinical.models import Patient, User
from medilink.celery import app
from tests.callers import Caller
from tests.rows import patient, visit

pytestmark = pytest.mark.django_db
DAY = date(2026, 11, 20)
NOW = "/admin/analytics/martstate/refresh-now/"


def page(client, name, query=None):
    response = client.get(f"/admin/analytics/{name}/", query or {})
    assert response.status_code == 200
    return response.content.decode()


def test_each_mart_says_how_fresh_it_is(desk):
    marts.refresh()
    MartState.objects.filter(mart="dim_patients").update(has_failed=True)
    text = page(desk, "martstate")
    assert "Marts and their freshness" in text
    assert "failed: it shows older rows" in text
    assert "triage_trends" in text


def test_refresh_now_asks_a_worker(desk):
    assert f'action="{NOW}"' in page(desk, "martstate")
    answer = desk.post(NOW, follow=True)
    assert "A worker refreshes what is stale" in answer.content.decode()


def test_refresh_now_says_so_where_no_worker_can_be_asked(desk, monkeypatch):
    nowhere = pools.producers[Connection("redis://127.0.0.1:1/0")]
    monkeypatch.setattr(app.amqp, "_producer_pool", nowhere)
    assert "The broker is away" in desk.post(NOW, follow=True).content.decode()


def test_who_is_no_steward_cannot_ask(client):
    clinician = Caller(("clinician",))
    clinician.user.is_staff = True
    clinician.user.save()
    assert clinician.get("/admin/analytics/martstate/").status_code == 403
    assert clinician.client.post(NOW).status_code == 403


def test_following_a_link_refreshes_nothing(desk):
    assert desk.get(NOW).status_code == 405


def test_who_may_only_read_is_shown_no_button(client):
    reader = User.objects.create_user("carol", password="not-a-secret-of-anybody", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_martstate"))
    client.force_login(reader)
    assert "Refresh now" not in page(client, "martstate")
    assert client.post(NOW).status_code == 403


def test_refreshes_are_listed_with_their_reasons(desk):
    marts.refresh()
    text = page(desk, "martrefresh")
    assert "dim_facilities" in text
    assert text.count("done") >= MartRefresh.objects.count()


def test_the_page_of_a_mart_leads_to_its_own_refreshes(desk):
    marts.refresh()
    assert "?mart__exact=triage_trends" in page(desk, "martstate/triage_trends/change")
    listed = desk.get("/admin/analytics/martrefresh/", {"mart__exact": "triage_trends"}).context["cl"].result_list
    assert {refresh.mart for refresh in listed} == {"triage_trends"}


def test_a_run_of_checks_shows_what_did_not_pass_and_its_keys(desk):
    someone = patient()
    known = [visit(someone, DAY), visit(someone, DAY)]
    checks.run(["triage_visits.parent_not_deleted"])
    Patient.objects.filter(pk=someone.pk).update(deleted_at="2026-11-20T00:00Z")
    run = checks.run(["triage_visits.parent_not_deleted", "patients.sex.accepted", "dim_patients.rows_as_in_patients"])
    assert "some failed" in page(desk, "checkrun")
    text = page(desk, f"checkrun/{run.pk}/change")
    assert "triage_visits.parent_not_deleted" in text
    assert "belongs to a deleted row" in text
    one, other = (visited.pk for visited in known)
    assert f"id {one}, {other}" in text or f"id {other}, {one}" in text  # the check's query has no order
    assert "passed last" in text
    assert text.index("older than its tables at that moment") < text.index("dim_patients.rows_as_in_patients")
    assert "patients.sex.accepted" not in text


def test_keys_of_several_columns_are_shown_as_pairs(desk, monkeypatch):
    sql = "SELECT 'KANO' AS state, 3 AS n"
    monkeypatch.setattr(checks, "CHECKS", (Check("planted", "planted", Kind.RANGE, sql, "why"),))
    run = checks.run()
    text = page(desk, f"checkrun/{run.pk}/change")
    assert "n 3, state KANO" in text
    assert "has never passed" in text


@pytest.mark.parametrize("name", ["martstate", "martrefresh", "checkrun"])
def test_a_steward_reads_each_page(name):
    steward = Caller(("steward",))
    steward.user.is_staff = True
    steward.user.save()
    assert steward.get(f"/admin/analytics/{name}/").status_code == 200

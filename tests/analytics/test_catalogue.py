"""The catalogue of data checks: every one finds the defect that was planted for it, and nothing without it."""

import pytest
from django.db import transaction
from django.utils import timezone

from analytics.checks import look
from analytics.checks.catalogue import CHECKS
from analytics.checks.check import Category, Context, Kind, Owner, Severity
from analytics.history import CheckResult, CheckRun, DataOwner
from tests.analytics import defects
from tests.callers import Caller
from tests.rows import refresh_all, stand_at


@pytest.fixture(scope="module")
def country(django_db_setup, django_db_blocker):
    """Founded once, and gone with the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        stand_at(defects.TODAY)
        defects.found_a_country()
        refresh_all()
        yield
        transaction.set_rollback(True)


@pytest.mark.parametrize("check", CHECKS, ids=defects.NAMES)
def test_a_planted_defect_is_found_and_nothing_else(country, django_db_blocker, check):
    defect = defects.defect_of(check)
    assert defect, f"Plant a defect for {check.name} in tests/analytics/defects.py."
    beyond = "failed" if check.severity.is_failure else "warned"
    with django_db_blocker.unblock():
        before = look(check)
        with defects.planted(check, defect):
            found = look(check)
        after = look(check)
    assert (found.status, found.error, found.failing_rows) == (beyond, "", defect.rows)
    # The country's few facilities are too few for a share of them.
    clean = "n/a" if check.relation == "facilities" and check.most_share is not None else "passed"
    assert [(one.status, one.failing_rows, one.error) for one in (before, after)] == [(clean, 0, "")] * 2


def test_every_check_says_what_somebody_needs_to_judge_it():
    for check in CHECKS:
        assert check.why.endswith("."), check.name
        assert check.remedy.endswith("."), check.name
        assert check.threshold
    assert {check.category for check in CHECKS} == {*Category}
    assert {check.context for check in CHECKS} == {*Context}
    assert {check.severity for check in CHECKS} == {*Severity}
    assert {check.kind for check in CHECKS} == {*Kind}


@pytest.mark.django_db
def test_every_owner_is_a_row_that_can_be_given_addresses():
    assert {*DataOwner.objects.values_list("name", flat=True)} == {*Owner}


# --- The pages


@pytest.fixture
def found(desk):
    """One whole run, with one check that warns and one that fails."""
    run = CheckRun.objects.create(started_at=timezone.now(), finished_at=timezone.now(), failed=1, warned=1)
    statuses = {"patients.phone_made_up": "warned", "patients.dob.range": "failed"}
    known = {"run": run, "among_rows": None, "failing_rows": 0}
    results = [
        CheckResult(name=c.name, relation=c.relation, kind=c.kind, severity=c.severity, category=c.category, **known)
        for c in CHECKS
    ]
    for result in results:
        result.status = statuses.get(result.name, "passed")
        if result.status != "passed":
            result.failing_rows, result.sample = 1, [{"id": 4711}]
    CheckResult.objects.bulk_create(results)
    return run


def test_the_page_tells_what_is_amiss_first_and_a_score_by_category(desk, found):
    page = desk.get("/admin/analytics/checkrun/quality/").content.decode()
    amiss = page.partition("All others")[0]
    assert "Amiss: 2" in amiss
    assert "patients.phone_made_up" in amiss
    assert "patients.sex.accepted" not in amiss
    plausible = [check for check in CHECKS if check.category == Category.PLAUSIBILITY]
    assert f"{len(plausible) - 2} of {len(plausible)}" in page


def test_the_page_of_a_check_tells_why_what_to_do_and_which_rows(desk, found):
    page = desk.get("/admin/analytics/checkrun/quality/patients.phone_made_up/").content.decode()
    for told in ("A number that nobody has", "leave it empty", "plausibility", "senders", "SELECT id FROM patients"):
        assert told in page
    assert "/admin/clinical/patient/4711/change/" in page
    assert desk.get("/admin/analytics/checkrun/quality/nothing/").status_code == 404


def test_without_a_run_the_page_says_so(desk):
    assert "No whole run" in desk.get("/admin/analytics/checkrun/quality/").content.decode()


@pytest.mark.usefixtures("found")
def test_who_looks_after_a_state_sees_no_keys_and_changes_no_owner(settings, django_user_model):
    settings.REQUIRE_TOTP = False
    steward = Caller(("steward", {"state": "KANO"}))
    django_user_model.objects.filter(pk=steward.user.pk).update(is_staff=True)
    page = steward.get("/admin/analytics/checkrun/quality/patients.phone_made_up/").content.decode()
    assert "4711" not in page
    assert steward.client.post("/admin/analytics/dataowner/senders/change/", {"emails": "x@y.org"}).status_code == 403


def test_the_addresses_of_an_owner_are_changed_at_the_desk(desk):
    desk.post("/admin/analytics/dataowner/senders/change/", {"about": "", "emails": "a@example.org, b@example.org"})
    assert DataOwner.objects.get(name="senders").emails == ["a@example.org", "b@example.org"]

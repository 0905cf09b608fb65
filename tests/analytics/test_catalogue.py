"""The catalogue of data checks: every one finds the defect that was planted for it, and nothing without it."""

import pytest
from django.db import transaction

from analytics.checks import look
from analytics.checks.catalogue import CHECKS
from analytics.checks.check import Category, Context, Kind, Owner, Severity
from analytics.history import DataOwner
from tests.analytics import defects
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
        assert check.todo.endswith("."), check.name
        assert check.threshold
    assert {check.category for check in CHECKS} == {*Category}
    assert {check.context for check in CHECKS} == {*Context}
    assert {check.severity for check in CHECKS} == {*Severity}
    assert {check.kind for check in CHECKS} == {*Kind}


@pytest.mark.django_db
def test_every_owner_is_a_row_that_can_be_given_addresses():
    assert {*DataOwner.objects.values_list("name", flat=True)} == {*Owner}

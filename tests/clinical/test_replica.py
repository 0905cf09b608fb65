"""When an answer is made of a replica, when of the primary, and that what fails at the one is asked of the other."""

from contextlib import suppress

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, ProgrammingError, connections

from clinical import replica
from clinical.models import Facility, Membership, User
from medilink.router import Router


class FakeReplica:
    """What it is asked about itself, and what it says."""

    def __init__(self, monkeypatch):
        self.now, self.written, self.reached, self.is_replica = 1_000.0, 100, 100, True
        self.system = 7
        monkeypatch.setattr(replica.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(replica, "_progress", replica._Progress())
        monkeypatch.setattr(replica, "_asked", self.say)
        monkeypatch.setitem(connections.settings, replica.ALIAS, connections.settings["default"])

    def say(self, alias, _sql):
        if alias != replica.ALIAS:
            return [(7, self.written)]
        if isinstance(self.reached, type):
            raise self.reached
        return [(self.system, self.reached, self.is_replica)]


@pytest.fixture
def far(monkeypatch):
    """A replica that only seems to be there."""
    yield FakeReplica(monkeypatch)
    with suppress(AttributeError):
        del connections[replica.ALIAS]


def where():
    return replica.is_reading()


def failing(error, state):
    """Fails at the replica as it would, and says at the primary that it was asked there."""
    error.__cause__ = type("Cause", (Exception,), {"pgcode": state})()

    def make():
        if replica.is_reading():
            raise error
        return "primary"

    return make


def test_without_a_replica_everything_is_of_the_primary():
    assert replica.answered(where) is False


def test_figures_are_of_the_replica_and_nothing_after_them(far):
    assert replica.answered(where) is True
    assert where() is False


def test_rights_are_of_the_primary_always_and_so_is_what_is_written(far):
    router = Router()
    assert replica.answered(lambda: router.db_for_read(Facility)) == "replica"
    assert {replica.answered(lambda model=model: router.db_for_read(model)) for model in (User, Membership)} == {
        "default"
    }
    assert replica.answered(lambda: router.db_for_write(Facility)) == "default"
    assert router.db_for_read(Facility) == "default"
    assert not router.allow_migrate("replica", "clinical")


def test_one_that_is_behind_is_read_again_once_it_has_caught_up(far, settings):
    assert replica.answered(where) is True
    for _ in range(20):  # it stands still, the primary does not
        far.now, far.written = far.now + 3, far.written + 10
        replica.answered(where)
    assert replica.answered(where) is False
    far.reached = far.written
    far.now += 3
    assert replica.answered(where) is True


def test_one_that_is_idle_with_its_primary_is_not_behind(far):
    for _ in range(20):
        far.now += 600
        assert replica.answered(where) is True


@pytest.mark.parametrize(
    ("name", "value"), [("reached", OperationalError), ("reached", ImproperlyConfigured), ("is_replica", False)]
)
def test_one_that_is_away_or_no_replica_any_more_is_left_alone(far, name, value):
    setattr(far, name, value)
    assert replica.answered(where) is False
    setattr(far, name, {"reached": 100, "is_replica": True}[name])
    far.now += replica.AWAY / 2
    assert replica.answered(where) is False
    far.now += replica.AWAY
    assert replica.answered(where) is True


@pytest.mark.parametrize(("name", "value"), [("system", 8), ("reached", 200)])
def test_one_of_another_server_is_not_read_however_far_it_is(far, name, value):
    """As after a restore into a new server, while the old one's replica is still there."""
    setattr(far, name, value)
    assert replica.answered(where) is False


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (OperationalError(), "40001"),
        (OperationalError(), None),
        (OperationalError(), "57P01"),
        (ProgrammingError(), "42P01"),
        (DatabaseError(), "25006"),
    ],
)
def test_what_only_the_replica_refuses_the_primary_answers(far, error, state):
    assert replica.answered(failing(error, state)) == "primary"


def test_a_statement_that_takes_too_long_is_not_asked_twice(far):
    with pytest.raises(OperationalError):
        replica.answered(failing(OperationalError(), "57014"))


@pytest.mark.django_db
def test_inside_a_transaction_nothing_is_of_the_replica(far):
    """Of which it would not see what has just been written."""
    assert replica.answered(where) is False

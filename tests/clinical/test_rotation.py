import os

import pytest
from django.core import checks
from django.core.management import CommandError, call_command

from clinical import actions, factors, history, rotation, sealing
from clinical.keyed import hashes, make_key
from clinical.models import AuditEvent, IndexKey, SecondFactor
from ingestion import stewards
from ingestion.models import RejectedRow
from tests.ingestion.factories import batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(alice):
    """A refused row that was corrected: its cells, and its history, are sealed with the first key."""
    made = RejectedRow.objects.create(
        batch=batch(), line=2, reasons=["ENUM:sex"], raw={"sex": "X"}, dataset="patients", source="s"
    )
    stewards.correct(RejectedRow.objects.all(), {"sex": "Q"}, by=alice)
    stewards.correct(RejectedRow.objects.all(), {"sex": "F"}, by=alice)
    made.refresh_from_db()
    return made


@pytest.fixture
def new_key(row, settings):
    settings.DATA_KEYS = {"new": os.urandom(32), **settings.DATA_KEYS}


def test_all_that_an_older_key_has_sealed_waits(new_key):
    waiting = rotation.waiting()["embedded"]
    assert waiting == {
        "index_keys.key": 1,
        "rejected_rows.raw_sealed": 1,
        "rejected_rows.corrections_sealed": 1,
        "rejected_rows.corrections_sealed (history)": 3,
    }


def test_after_a_rotation_the_older_key_is_not_needed_any_more(new_key, row, settings, capsys):
    before, told = hashes().key, [change.columns for change in history.of_row("rejected_rows", row.pk)]
    call_command("rotate_keys")
    settings.DATA_KEYS = {"new": settings.DATA_KEYS["new"]}
    assert "5 rows sealed anew" in capsys.readouterr().out
    again = RejectedRow.objects.get()
    assert (again.raw, again.corrections, again.raw_hash) == ({"sex": "X"}, {"sex": "F"}, row.raw_hash)
    assert hashes().key == before
    assert [change.columns for change in history.of_row("rejected_rows", row.pk)] == told
    assert rotation.waiting() == {}
    assert rotation.rotate() == 0


def test_a_rotation_is_no_change_of_the_row_and_can_be_undone_past(new_key, row, alice, desk):
    changes = len(history.of_row("rejected_rows", row.pk))
    rotation.rotate()
    found = history.of_row("rejected_rows", row.pk)
    assert len(found) == changes
    actions.undo_deed(found[0].event, by=alice)
    assert RejectedRow.objects.get().corrections == {"sex": "Q"}


def test_a_key_that_is_still_needed_is_missed_by_the_check(row, settings):
    assert rotation.no_key_is_missing(["default"]) == []
    settings.DATA_KEYS = {"new": os.urandom(32)}
    (error,) = rotation.no_key_is_missing(["default"])
    assert "no key 'embedded', with which 6 values are sealed" in error.msg
    with pytest.raises(SystemExit), pytest.raises(sealing.SealingError):
        call_command("rotate_keys")


def test_what_a_lost_key_has_sealed_can_be_let_go_of(row, alice, settings, capsys):
    factors.begin(alice)
    settings.DATA_KEYS = {"new": os.urandom(32)}
    call_command("rotate_keys", "--forget", "embedded")
    assert "2 of rejected_rows.corrections_sealed (history) are gone" in capsys.readouterr().out
    assert rotation.no_key_is_missing(["default"]) == []
    again = RejectedRow.objects.get()
    assert (again.raw, again.corrections, again.reasons) == ({}, {}, row.reasons)
    assert not SecondFactor.objects.exists()
    assert not IndexKey.objects.exists()  # the next migrate makes another one
    make_key()
    assert hashes().key
    assert AuditEvent.objects.filter(action="forget key").exists()


def test_a_key_that_is_there_is_not_let_go_of(row, settings):
    with pytest.raises(CommandError, match="can be opened"):
        call_command("rotate_keys", "--forget", "embedded")
    assert RejectedRow.objects.get().raw == {"sex": "X"}


def test_the_check_is_asked_with_the_database_only():
    assert rotation.no_key_is_missing in checks.registry.registry.get_checks()
    assert rotation.no_key_is_missing(None) == []

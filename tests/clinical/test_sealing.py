import base64
import os

import pytest

from clinical import sealing


@pytest.fixture
def keys(settings):
    """Two keys: `new` seals, `old` opens."""
    settings.DATA_KEYS = {"new": os.urandom(32), "old": os.urandom(32)}
    return settings.DATA_KEYS


def test_what_was_sealed_is_opened_in_its_place(keys):
    assert sealing.unseal(sealing.seal(b"Amina Okafor", "a row"), "a row") == b"Amina Okafor"


def test_a_sealed_value_shows_its_key_and_nothing_of_itself(keys):
    sealed = sealing.seal(b"Amina Okafor", "a row")
    assert sealing.key_id_of(sealed) == "new"
    assert b"Amina" not in sealed
    assert sealed != sealing.seal(b"Amina Okafor", "a row")


def test_a_value_in_another_place_is_not_opened(keys):
    with pytest.raises(sealing.SealingError, match="not in its place"):
        sealing.unseal(sealing.seal(b"Amina", "row 1"), "row 2")


def test_a_changed_value_is_not_opened(keys):
    sealed = bytearray(sealing.seal(b"Amina", "a row"))
    for at in range(len(sealed)):
        changed = bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]])
        with pytest.raises(sealing.SealingError):
            sealing.unseal(changed, "a row")


@pytest.mark.parametrize("sealed", [b"", b"\x03new", b"\xff" * 40])
def test_what_never_was_sealed_is_not_opened(keys, sealed):
    with pytest.raises(sealing.SealingError):
        sealing.unseal(sealed, "a row")


def test_an_older_key_opens_what_it_has_sealed(keys, settings):
    settings.DATA_KEYS = {"old": keys["old"]}
    sealed = sealing.seal(b"Amina", "a row")
    settings.DATA_KEYS = keys
    assert sealing.unseal(memoryview(sealed), "a row") == b"Amina"


def test_a_missing_key_is_named_but_not_the_value(keys, settings):
    sealed = sealing.seal(b"Amina", "a row")
    settings.DATA_KEYS = {"old": keys["old"]}
    with pytest.raises(sealing.SealingError, match="the key 'new', which DATA_KEYS does not have") as caught:
        sealing.unseal(sealed, "a row")
    assert base64.b64encode(sealed).decode() not in str(caught.value)

import hashlib

import pytest
from django.db import IntegrityError, connection

from clinical.keyed import Hashes, hashes, make_key
from clinical.models import IndexKey

pytestmark = pytest.mark.django_db


def test_the_key_is_made_once_and_stored_sealed():
    before = hashes().key
    make_key()
    assert hashes().key == before
    assert before not in bytes(IndexKey.objects.get().key)
    assert len(before) == 32


def test_there_is_one_key_only():
    with pytest.raises(IntegrityError):
        IndexKey.objects.create(id=2, key=b"")


def test_equal_texts_have_equal_hashes_under_one_key_only():
    one, other = Hashes(b"1" * 32), Hashes(b"2" * 32)
    assert one.of("amina") == one.of("amina") != one.of("aminA")
    assert one.of("amina") != other.of("amina")
    assert one.of("amina").bytes == hashlib.sha256(b"1" * 32 + b"amina").digest()[:16]
    assert one.hex_of("amina") == one.of("amina").hex


def test_an_empty_text_has_no_hash():
    assert (hashes().of(""), hashes().hex_of("")) == (None, "")


def test_the_database_makes_the_same_hash():
    made = hashes()
    with connection.cursor() as cursor:
        cursor.execute("SELECT encode(substr(sha256(%s || convert_to(%s, 'UTF8')), 1, 16), 'hex')", [made.key, "Ọlá"])
        assert cursor.fetchone()[0] == made.hex_of("Ọlá")

"""Bytes: what is refused before a header is looked at, and in which order."""

import codecs
import gzip
import hashlib
import io
import tracemalloc
import zlib
from dataclasses import dataclass
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import reader
from ingestion.reader import blocks, fetch
from ingestion.refusals import FileRefused


def zipped(data: bytes) -> bytes:
    """The same bytes at every instant: they name tests, and are compared."""
    return gzip.compress(data, mtime=0)


CSV = b"name,state,lga,lat,lon,type\nAminu Clinic,KANO,Dala,,,Clinic\n"
MIB = 1024**2


@dataclass
class Headers:
    size: int | None = None
    md5: str | None = None


class Dripping(io.BytesIO):
    """A body that answers with a few bytes at a time, as a network may."""

    def read(self, size=-1):
        return super().read(min(size, 3))


class Endless:
    """`total` bytes that are nowhere in memory."""

    def __init__(self, start, filling, total):
        self._start, self._filling, self._left = start, filling, total

    def read(self, size):
        if self._start:
            piece, self._start = self._start, b""
            return piece
        size = min(size, self._left)
        self._left -= size
        return self._filling * size


def fetched(delivered, *, is_gzip=False, max_bytes=MIB, headers=None, body=io.BytesIO):
    return fetch(body(delivered), headers or Headers(), is_gzip=is_gzip, max_bytes=max_bytes)


def refusal(delivered, **options):
    with fetched(delivered, **options) as file:
        return file.refusal and file.refusal.reason


def content(file, size=64):
    return b"".join(blocks(file, size))


# --- What arrives


@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize("body", [io.BytesIO, Dripping])
def test_file_keeps_the_delivered_bytes_and_says_the_decoded_ones(is_gzip, body):
    delivered = zipped(CSV) if is_gzip else CSV
    with fetched(delivered, is_gzip=is_gzip, body=body) as file:
        assert file.refusal is None
        assert file.file.read() == delivered
        assert (file.delivered_bytes, file.decoded_bytes) == (len(delivered), len(CSV))
        assert file.sha256 == hashlib.sha256(CSV).hexdigest()
        assert content(file) == content(file) == CSV


def test_closing_frees_the_temporary_file():
    with fetched(CSV) as file:
        spool = file.file
    assert spool.closed


def test_byte_order_mark_counts_as_content_but_is_not_read():
    with fetched(codecs.BOM_UTF8 + CSV) as file:
        assert file.sha256 == hashlib.sha256(codecs.BOM_UTF8 + CSV).hexdigest()
        assert [b"".join(blocks(file, size)) for size in (1, 3, 1000)] == [CSV] * 3


def test_two_readings_of_one_file_do_not_disturb_each_other():
    with fetched(CSV) as file:
        first, second = blocks(file, 5), blocks(file, 7)
        pairs = list(zip(first, second, strict=False))
        assert [b"".join(one) for one in zip(*pairs, strict=True)] == [CSV[: 5 * len(pairs)], CSV[: 7 * len(pairs)]]


@pytest.mark.parametrize(
    "delivered",
    [
        zipped(CSV[:20]) + zipped(CSV[20:]),
        zipped(b"") + zipped(CSV),
        zipped(CSV) + b"\0" * 1000,
        b"".join(zipped(CSV[index : index + 1]) for index in range(len(CSV))),
    ],
    ids=["two members", "an empty member first", "padded with zeros", "a member per byte"],
)
@pytest.mark.parametrize("body", [io.BytesIO, Dripping])
def test_gzip_of_several_members_is_one_file(delivered, body):
    with fetched(delivered, is_gzip=True, body=body) as file:
        assert file.refusal is None
        assert content(file) == CSV


# --- What is refused


@pytest.mark.parametrize("size", [len(CSV) - 1, 10, 0])
def test_larger_than_allowed_is_refused_and_its_bytes_are_not_offered(size):
    with fetched(CSV, max_bytes=size) as file:
        assert file.refusal.reason == "FILE_TOO_LARGE"
        assert (file.file, file.sha256) == (None, None)


def test_as_large_as_allowed_loads():
    assert refusal(CSV, max_bytes=len(CSV)) is None
    assert refusal(zipped(CSV), is_gzip=True, max_bytes=len(CSV)) is None


def test_announced_size_is_enough_to_refuse_a_plain_file_unread():
    body = io.BytesIO(CSV)
    with fetch(body, Headers(size=MIB + 1), is_gzip=False, max_bytes=MIB) as file:
        assert file.refusal.reason == "FILE_TOO_LARGE"
    assert body.tell() == 0


def test_gzip_is_measured_by_what_it_holds():
    assert refusal(zipped(b"a" * 2000), is_gzip=True, max_bytes=1000) == "FILE_TOO_LARGE"


def test_gzip_padded_without_end_fills_no_disk():
    body = Endless(zipped(CSV), b"\0", 10**12)
    with fetch(body, Headers(), is_gzip=True, max_bytes=MIB) as file:
        assert file.refusal.reason == "FILE_TOO_LARGE"
        assert file.delivered_bytes < 3 * MIB


@pytest.mark.parametrize(
    "headers",
    [Headers(size=len(CSV) + 1), Headers(size=len(CSV) - 1), Headers(md5="0" * 32), Headers(len(CSV), "0" * 32)],
)
def test_other_bytes_than_announced_are_refused_and_not_offered(headers):
    with fetched(CSV, headers=headers) as file:
        assert file.refusal.reason == "CHECKSUM_MISMATCH"
        assert (file.file, file.sha256) == (None, None)


def test_announced_size_and_md5_are_those_of_the_delivered_bytes():
    delivered = zipped(CSV)
    headers = Headers(len(delivered), hashlib.md5(delivered).hexdigest())
    assert refusal(delivered, is_gzip=True, headers=headers) is None


def test_refusal_by_the_transfer_is_the_refusal_of_the_file():
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell():
                raise FileRefused("CHECKSUM_MISMATCH")
            return super().read(10)

    assert refusal(CSV, body=Broken) == "CHECKSUM_MISMATCH"


def test_failing_transfer_passes_through_and_leaves_no_file(recwarn):
    class Gone(io.BytesIO):
        def read(self, size=-1):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fetched(CSV, body=Gone)
    assert not recwarn.list


@pytest.mark.parametrize("empty", [b"", b"\n", b"\r\n\r\n", b"\r" * 9999, codecs.BOM_UTF8, codecs.BOM_UTF8 + b"\n"])
def test_no_byte_or_only_line_ends_is_an_empty_file(empty):
    assert refusal(empty) == "EMPTY_FILE"
    assert refusal(empty, body=Dripping) == "EMPTY_FILE"
    assert refusal(zipped(empty), is_gzip=True) == "EMPTY_FILE"


def test_line_ends_before_the_first_word_are_not_an_empty_file():
    assert refusal(b"\n" * 9999 + CSV) is None


FOREIGN = {
    "pdf": b"%PDF-1.7\n%\xe2\xe3",
    "xlsx": b"PK\x03\x04\x14\x00\x06\x00",
    "empty zip": b"PK\x05\x06" + b"\0" * 18,
    "xls": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0",
    "rtf": b"{\\rtf1\\ansi a,b}",
    "png": b"\x89PNG\r\n\x1a\n\0\0",
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "parquet": b"PAR1\x15\x04\x15",
    "gzip": zipped(CSV),
    "html": b"<!DOCTYPE html><html><p>Sorry, we are down</p></html>",
    "html after blanks and a mark": codecs.BOM_UTF8 + b' \r\n<html lang="en"><body>a, b</body></html>',
    "html body": b"<body>Hello, you</body>",
    "xml": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
    "s3 error": b"<Error><Code>NoSuchKey</Code><Message>No key, no file</Message></Error>",
    "xml without declaration": b"<Workbook xmlns='urn:x'>\n<Row>1,2</Row>",
    "comment": b"<!-- a, b -->\n<html>",
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_kind_of_file_is_not_csv(kind):
    assert refusal(FOREIGN[kind]) == "NOT_CSV"
    assert refusal(zipped(FOREIGN[kind]), is_gzip=True) == "NOT_CSV"


def test_plain_text_under_a_gzip_name_is_not_csv():
    assert refusal(CSV, is_gzip=True) == "NOT_CSV"
    assert refusal(CSV, is_gzip=True, body=Dripping) == "NOT_CSV"


@pytest.mark.parametrize(
    "first", [b"<id>", b"<html>", b"<b>bold</b>", b"<script>alert(1)</script>", b'"<html>"', b"PK", b"%PDF", b"html"]
)
def test_odd_first_column_is_still_csv(first):
    assert refusal(first + b"," + CSV) is None


def test_markup_in_a_cell_is_still_csv():
    assert refusal(CSV + b"<!DOCTYPE html>,KANO,Dala,,,\n") is None


@pytest.mark.parametrize("cut", [1, 2, 5, 10, -1, -8, -9])
def test_gzip_that_ends_too_early_is_truncated_and_has_no_content(cut):
    with fetched(zipped(CSV)[:cut], is_gzip=True) as file:
        assert file.refusal.reason == "GZIP_TRUNCATED"
        assert file.sha256 is None
        assert file.file.read() == zipped(CSV)[:cut]


@pytest.mark.parametrize(
    "damaged",
    [
        zipped(CSV)[:-8] + b"\0" * 8,
        zipped(CSV) + b"trailing bytes that are no member",
        zipped(CSV) + zipped(CSV)[:-1],
        zipped(CSV)[:12] + b"\xff\xff\xff" + zipped(CSV)[15:],
    ],
    ids=["checksum", "garbage behind", "second member cut", "damaged inside"],
)
def test_damaged_gzip_counts_as_truncated(damaged):
    assert refusal(damaged, is_gzip=True) == "GZIP_TRUNCATED"


def bomb(decoded):
    squeeze = zlib.compressobj(9, wbits=31)
    return b"".join([*map(squeeze.compress, repeat(b"0" * MIB, decoded // MIB)), squeeze.flush()])


def test_gzip_over_a_hundred_to_one_beyond_64_mib_is_a_bomb():
    assert refusal(bomb(65 * MIB), is_gzip=True, max_bytes=100 * MIB) == "GZIP_BOMB"
    assert refusal(bomb(64 * MIB), is_gzip=True, max_bytes=100 * MIB) is None


def test_bomb_is_unpacked_in_flat_memory_and_never_beyond_the_limit():
    delivered = bomb(200 * MIB)
    tracemalloc.start()
    try:
        with fetched(delivered, is_gzip=True, max_bytes=100 * MIB) as file:
            assert file.refusal.reason == "FILE_TOO_LARGE"
            assert file.decoded_bytes <= 101 * MIB
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("delivered", "offset"),
    [
        (CSV + "Clinique d'été".encode("latin-1"), len(CSV) + 11),
        (b"\xff" + CSV, 0),
        (CSV.decode().encode("utf-16"), 0),
        (codecs.BOM_UTF16_BE + CSV.decode().encode("utf-16-be"), 0),
        (CSV.decode().encode("utf-16-le"), 1),
        (CSV.decode().encode("utf-16-be"), 0),
        (CSV + "é".encode()[:1], len(CSV)),
        (codecs.BOM_UTF8 + CSV + b"\x80", len(CSV) + 3),
        (CSV + b"\xed\xa0\x80", len(CSV)),
        (CSV + b"\xc0\xaf", len(CSV)),
        (CSV + "ọ".encode()[:2] + b"x", len(CSV)),
    ],
    ids=[
        *("latin-1", "first byte", "utf-16 marked", "utf-16-be marked", "utf-16-le", "utf-16-be"),
        *("cut at the end", "marked", "surrogate", "overlong", "cut inside"),
    ],
)
@pytest.mark.parametrize("body", [io.BytesIO, Dripping])
def test_first_byte_that_is_not_utf8_is_named(delivered, offset, body):
    assert refusal(delivered, body=body) == f"ENCODING_INVALID:{offset}"
    assert refusal(zipped(delivered), is_gzip=True, body=body) == f"ENCODING_INVALID:{offset}"


@pytest.mark.parametrize("missing", range(-3, 3))
def test_offset_is_exact_where_a_character_lies_across_pieces(missing):
    start = b"a" * (reader.PIECE + missing)
    assert refusal(start + "ọ".encode() + b"\n") is None
    assert refusal(start + "ọ".encode()[:2] + b"\n") == f"ENCODING_INVALID:{len(start)}"


def test_nul_in_a_text_is_not_utf16():
    assert refusal(CSV + b"\0\0,\0\n") is None


@given(st.binary(max_size=60), st.integers(0, 1))
def test_verdict_on_any_bytes_agrees_with_python(tail, dripping):
    delivered = CSV + tail
    try:
        delivered.decode()
        expected = None
    except UnicodeDecodeError as error:
        expected = f"ENCODING_INVALID:{error.start}"
    assert refusal(delivered, body=Dripping if dripping else io.BytesIO) == expected


# --- Several faults: the first of the contract's order wins


@pytest.mark.parametrize(
    ("delivered", "options", "reason"),
    [
        (CSV, {"headers": Headers(md5="0" * 32), "max_bytes": 10}, "FILE_TOO_LARGE"),
        (b"", {"headers": Headers(size=5)}, "CHECKSUM_MISMATCH"),
        (FOREIGN["pdf"], {"headers": Headers(size=5)}, "CHECKSUM_MISMATCH"),
        (zipped(CSV)[:-4], {"headers": Headers(size=5), "is_gzip": True}, "CHECKSUM_MISMATCH"),
        (zipped(FOREIGN["pdf"])[:-4], {"is_gzip": True}, "NOT_CSV"),
        (FOREIGN["jpeg"], {}, "NOT_CSV"),
        (zipped(b"\xff" + CSV)[:-4], {"is_gzip": True}, "GZIP_TRUNCATED"),
        (bomb(65 * MIB)[:-4], {"is_gzip": True, "max_bytes": 100 * MIB}, "GZIP_TRUNCATED"),
        (bomb(65 * MIB) + zipped(b"\xff"), {"is_gzip": True, "max_bytes": 100 * MIB}, "GZIP_BOMB"),
    ],
)
def test_first_fault_in_the_order_is_the_reason(delivered, options, reason):
    assert refusal(delivered, **options) == reason


def test_checksum_is_of_all_bytes_where_the_gzip_breaks_early():
    delivered = zipped(CSV)[:12] + b"\xff" * 3 * reader.PIECE
    headers = Headers(len(delivered), hashlib.md5(delivered).hexdigest())
    assert refusal(delivered, is_gzip=True, headers=headers) == "GZIP_TRUNCATED"

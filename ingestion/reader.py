"""From a delivered file's bytes to decoded blocks: kept on disk as delivered, verified, unpacked, judged.

Pure: no database, no S3. It repairs nothing: a file that breaks the contract is refused with the first reason in the
contract's order, so most verdicts wait for the last byte. Memory stays flat whatever the bytes are.
"""

import codecs
import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, Self

from ingestion import failpoints
from ingestion.refusals import FileRefused

PIECE = 64 * 1024  # small, since each end of a gzip member copies what is left of its piece
INFLATED = 256 * 1024
HEAD = 4096
UTF16_SAMPLE = 48  # shorter than any header in UTF-16
BOMB_BYTES, BOMB_RATIO = 64 * 1024**2, 100
BOM, GZIP = codecs.BOM_UTF8, b"\x1f\x8b"
MAGIC = (
    *(b"%PDF-", b"%!PS", b"{\\rtf", b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    *(GZIP, b"BZh91AY&SY", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07"),
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"\x7fELF"),
    *(b"PAR1\x15", b"ARROW1\x00\x00", b"Obj\x01", b"SQLite format 3\x00"),
)
# What only a page or an XML document starts with, or a tag on a first line without a comma: a column may be `<id>`.
MARKUP = re.compile(
    rb"\s*<(?:!doctype\s|\?xml\s|!--|(?:html|head|body|error)(?:\s|>(?!\s*,))|[a-z][^,\r\n]*(?:[\r\n]|\Z))",
    re.IGNORECASE,
)


class Body(Protocol):
    """A stream of the delivered bytes; `read` may raise FileRefused where the transfer itself finds them damaged."""

    def read(self, size: int, /) -> bytes: ...


class Headers(Protocol):
    """What was announced of the delivered bytes; None where it was not."""

    @property
    def size(self) -> int | None: ...
    @property
    def md5(self) -> str | None: ...


@dataclass(frozen=True)
class Fetched:
    """A delivered file on local disk, under no name. Closing it frees the space.

    `file` holds the bytes as delivered; None where they did not all arrive as announced, and must not be passed on.
    `sha256` is that of the decoded bytes; None where not all of them could be had, for half a file is not its content.
    """

    spool: BinaryIO
    is_gzip: bool
    sha256: str | None
    decoded_bytes: int
    delivered_bytes: int
    refusal: FileRefused | None

    @property
    def file(self) -> BinaryIO | None:
        is_whole = self.refusal is None or self.refusal.reason not in ("FILE_TOO_LARGE", "CHECKSUM_MISMATCH")
        return self.spool if is_whole else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.spool.close()


# --- Bytes


def fetch(body: Body, headers: Headers, *, is_gzip: bool, max_bytes: int) -> Fetched:
    """Keeps the body on disk and judges its bytes, in one pass. A refusal is not raised but stands in the answer.

    What `body.read` raises beside FileRefused passes through.
    """
    spool = tempfile.TemporaryFile()  # noqa: SIM115  Fetched closes it
    try:
        arrival, content = _Arrival(body, spool, max_bytes), _Content(max_bytes)
        try:
            _read(arrival, content, headers, is_gzip)
            failpoints.at("before_checksum")
            reason = _verdict(arrival, content, headers, is_gzip)
            refusal = FileRefused(reason) if reason else None
        except FileRefused as refused:
            refusal = refused
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    is_trusted = content.is_finished and not (refusal and refusal.reason in ("CHECKSUM_MISMATCH", "GZIP_TRUNCATED"))
    sha256 = content.sha256.hexdigest() if is_trusted else None
    return Fetched(spool, is_gzip, sha256, content.size, arrival.size, refusal)


def _read(arrival: "_Arrival", content: "_Content", headers: Headers, is_gzip: bool) -> None:
    if not is_gzip and headers.size is not None and headers.size > content.max_bytes:
        raise FileRefused("FILE_TOO_LARGE")
    pieces = arrival.pieces()
    try:
        for block in _inflated(pieces, INFLATED) if is_gzip else pieces:
            content.add(block)
    except (zlib.error, EOFError):
        content.is_damaged = True
        for _ in pieces:  # the checksum speaks of all bytes, and a wrong one comes before a damaged file
            pass
    content.finish()


def _verdict(arrival: "_Arrival", content: "_Content", headers: Headers, is_gzip: bool) -> str | None:
    """The first reason in the contract's order, once everything is known."""
    is_announced = headers.size in (None, arrival.size) and headers.md5 in (None, arrival.md5.hexdigest())
    bad = content.first_bad_byte()
    reasons = (
        ("CHECKSUM_MISMATCH", not is_announced),
        ("EMPTY_FILE", not arrival.size or (content.is_empty and not content.is_damaged)),
        ("NOT_CSV", (is_gzip and not GZIP.startswith(arrival.head)) or _is_foreign(content.head)),
        ("GZIP_TRUNCATED", content.is_damaged),
        ("GZIP_BOMB", is_gzip and content.size > max(BOMB_BYTES, BOMB_RATIO * arrival.size)),
        (f"ENCODING_INVALID:{bad}", bad is not None),
    )
    return next((reason for reason, applies in reasons if applies), None)


def _is_foreign(head: bytes) -> bool:
    return head.startswith(MAGIC) or MARKUP.match(head.removeprefix(BOM)) is not None


class _Arrival:
    """The delivered bytes on their way to the disk."""

    def __init__(self, body: Body, spool: BinaryIO, max_bytes: int) -> None:
        self._body, self._spool, self._max_bytes = body, spool, max_bytes
        self.size, self.head = 0, b""
        self.md5 = hashlib.md5(usedforsecurity=False)

    def pieces(self) -> Iterator[bytes]:
        while piece := self._body.read(PIECE):
            self._spool.write(piece)
            self.md5.update(piece)
            self.size += len(piece)
            self.head = (self.head + piece[:2])[:2]
            # gzip may be padded without end; whatever is this much larger than allowed fills no disk.
            if self.size > 2 * self._max_bytes + HEAD:
                raise FileRefused("FILE_TOO_LARGE")
            yield piece


class _Content:
    """What the decoded bytes say of themselves, block by block."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.size, self.head = 0, b""
        self.is_damaged = self.is_finished = False
        self.sha256 = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bad: int | None = None
        self._is_blank_below_head = True

    def add(self, block: bytes) -> None:
        self._decode(block)
        self.sha256.update(block)
        self.size += len(block)
        if self.size > self.max_bytes:
            raise FileRefused("FILE_TOO_LARGE")
        if len(self.head) < HEAD:
            missing = HEAD - len(self.head)
            self.head, block = self.head + block[:missing], block[missing:]
        self._is_blank_below_head = self._is_blank_below_head and not block.strip(b"\r\n")

    def finish(self) -> None:
        self._decode(b"", is_last=True)
        self.is_finished = True

    def _decode(self, block: bytes, *, is_last: bool = False) -> None:
        if self._bad is not None:
            return
        pending = self._decoder.getstate()[0]
        if not pending and block.isascii():
            return
        try:
            self._decoder.decode(block, is_last)
        except UnicodeDecodeError as error:
            self._bad = self.size - len(pending) + error.start

    @property
    def is_empty(self) -> bool:
        return self._is_blank_below_head and not self.head.removeprefix(BOM).strip(b"\r\n")

    def first_bad_byte(self) -> int | None:
        """UTF-16 without a mark is valid UTF-8 as far as a header goes; the NUL in its characters gives it away."""
        even, odd = self.head[:UTF16_SAMPLE:2], self.head[1:UTF16_SAMPLE:2]
        found = [] if self._bad is None else [self._bad]
        for offset, nuls, others in ((0, even, odd), (1, odd, even)):
            if nuls.count(0) > 0.9 * len(nuls) and others.count(0) < 0.1 * len(others):
                found.append(offset)
        return min(found, default=None)


def _inflated(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Blocks of at most `size` bytes. Members may follow one another, zeros may follow them, anything else is damage.

    Raises zlib.error or EOFError where the gzip is damaged or ends too early.
    """
    member = None
    is_first = True
    for piece in pieces:
        rest = piece
        while True:
            if member is None:
                rest = rest if is_first else rest.lstrip(b"\0")
                if not rest:
                    break
                member, is_first = zlib.decompressobj(wbits=31), False
            block = member.decompress(rest, size)
            if block:
                yield block
            if member.eof:
                rest, member = member.unused_data, None
            elif member.unconsumed_tail or len(block) == size:
                rest = member.unconsumed_tail
            else:
                break
    if member is not None:
        raise EOFError


# --- Reading again


def blocks(fetched: Fetched, size: int) -> Iterator[bytes]:
    """The decoded bytes without a byte order mark, in blocks of `size` or somewhat more, as often as asked for."""
    pieces = _pieces(fetched.spool.fileno(), PIECE if fetched.is_gzip else size)
    gathered, is_first = bytearray(), True  # a hostile gzip comes in pieces of one byte
    for piece in _inflated(pieces, size) if fetched.is_gzip else pieces:
        gathered += piece
        if len(gathered) >= max(size, len(BOM)):
            yield bytes(gathered).removeprefix(BOM if is_first else b"")
            gathered, is_first = bytearray(), False
    if gathered:
        yield bytes(gathered).removeprefix(BOM if is_first else b"")


def _pieces(descriptor: int, size: int) -> Iterator[bytes]:
    offset = 0
    while piece := os.pread(descriptor, size, offset):
        offset += len(piece)
        yield piece

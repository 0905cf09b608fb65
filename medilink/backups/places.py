"""Where a backup is put, and read from: a file of this machine, or an object, `s3://bucket/key`. Beside it lies its
SHA-256, as `sha256sum --check` reads it."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from ingestion import sources

PART = 64 * 1024**2  # of an upload: an object has at most 10,000
SUFFIX = ".sha256"


class NotReachable(Exception):
    """The place cannot be written or read, and why."""


@dataclass(frozen=True)
class Written:
    place: str
    bytes: int
    sha256: str


def write(place: str, blocks: Iterable[bytes]) -> Written:
    """All of it or nothing: a broken one leaves no file under the name, and no object."""
    reading = _Reading(blocks)
    with _told(place):
        if place.startswith("s3://"):
            bucket, key = _object(place)
            sources.s3_client().upload_fileobj(
                reading,
                bucket,
                key,
                ExtraArgs={"ServerSideEncryption": "AES256"},
                Config=TransferConfig(multipart_chunksize=PART, use_threads=False),
            )
            sources.s3_client().put_object(Bucket=bucket, Key=key + SUFFIX, Body=_line(reading.sha256, key))
        else:
            _write_file(Path(place), reading)
    return Written(place, reading.size, reading.sha256)


def _write_file(path: Path, reading: "_Reading") -> None:
    half = path.with_name(path.name + ".part")
    try:
        with half.open("xb") as file:
            half.chmod(0o600)
            while block := reading.read(1 << 20):
                file.write(block)
        path.with_name(path.name + SUFFIX).write_bytes(_line(reading.sha256, path.name))
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def opened(place: str) -> Iterator[BinaryIO]:
    with _told(place):
        if place.startswith("s3://"):
            bucket, key = _object(place)
            body = sources.s3_client().get_object(Bucket=bucket, Key=key)["Body"]
            with body:
                yield body
        else:
            with Path(place).open("rb") as file:
                yield file


def expected_sha256(place: str) -> str | None:
    """As it stands beside the backup; None where there is none."""
    with suppress(NotReachable), opened(place + SUFFIX) as file:
        return file.read(64).decode("ascii", "replace")
    return None


class Proving:
    """A file that is read once, from its beginning to its end, and what was read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._digest.update(block)
        self.size += len(block)
        return block

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _Reading(RawIOBase):
    """Blocks as a file of which it is known what was read."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks, self._rest = iter(blocks), b""
        self._digest, self.size = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        parts, missing = [], size if size >= 0 else 1 << 62
        while missing and (self._rest or (block := next(self._blocks, b""))):
            self._rest = self._rest or block
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= len(parts[-1])
        found = b"".join(parts)
        self._digest.update(found)
        self.size += len(found)
        return found

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _line(sha256: str, name: str) -> bytes:
    return f"{sha256}  {PurePosixPath(name).name}\n".encode()


def _object(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise NotReachable(f"{place} names no object; write s3://bucket/key.")
    return bucket, key


@contextmanager
def _told(place: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise NotReachable(f"{place}.part is there: another backup is at work, or was broken off.") from None
    except (OSError, BotoCoreError) as error:
        raise NotReachable(f"{place}: {getattr(error, 'strerror', None) or type(error).__name__}") from error
    except ClientError as error:
        code = cast(dict[str, Any], error.response).get("Error", {}).get("Code", "?")
        raise NotReachable(f"{place}: {code}") from error

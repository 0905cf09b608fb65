"""Where the files of exports lie: in the bucket, or in a folder. The only file of the exports that knows it."""

import gzip
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import IO, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage
from storages.backends.s3 import S3Storage

BLOCK = 256 * 1024
LEVEL = 1  # of gzip: a fifth of the size at a tenth of the time
AWAY = (BotoCoreError, ClientError, OSError)


class NotThere(Exception):
    """The file is gone, or its place cannot be reached."""


def store() -> Storage:
    folder = settings.FHIR_EXPORT_FOLDER
    return _folder(folder) if folder else _bucket(os.getpid(), settings.S3_BUCKET_NAME, settings.S3_ENDPOINT_URL)


@lru_cache(maxsize=2)
def _folder(folder: str) -> Storage:
    return FileSystemStorage(folder, file_permissions_mode=0o600, directory_permissions_mode=0o700)


@lru_cache(maxsize=2)
def _bucket(_pid: int, bucket: str, endpoint_url: str | None) -> Storage:
    """One per process: a connection that crosses a fork would share its sockets with the parent."""
    return S3Storage(
        bucket_name=bucket,
        location=settings.S3_FHIR_EXPORTS_PREFIX,
        endpoint_url=endpoint_url,
        region_name=settings.AWS_REGION or ("us-east-1" if endpoint_url else None),
        addressing_style="path" if endpoint_url else "auto",
        object_parameters={} if endpoint_url else {"ServerSideEncryption": "AES256"},
        max_memory_size=BLOCK,
        transfer_config=TransferConfig(use_threads=False),
    )


class Writing:
    """A file that grows line by line on this machine's disk, and is put into the store when it is whole."""

    def __init__(self, disk: IO[bytes]) -> None:
        self._disk = disk
        self._packed = gzip.GzipFile(fileobj=disk, mode="wb", compresslevel=LEVEL, mtime=0)

    def write(self, lines: bytes) -> None:
        self._packed.write(lines)

    def put(self, name: str) -> int:
        """Its size in the store."""
        self._packed.close()
        size = self._disk.tell()
        self._disk.seek(0)
        try:
            store().save(name, File(self._disk))
        except AWAY as error:
            raise NotThere(type(error).__name__) from error
        return size


@contextmanager
def writing() -> Iterator[Writing]:
    with tempfile.TemporaryFile() as disk:
        yield Writing(disk)


def read(name: str, *, packed: bool) -> Iterator[bytes]:
    """The file in blocks, as it lies (gzip) or unpacked; nothing of it is held. Raises NotThere before the first."""
    try:
        file: Any = store().open(name)
        first = file.read(2)
    except AWAY as error:
        raise NotThere(type(error).__name__) from error
    if first != b"\x1f\x8b":
        raise NotThere("no gzip")
    file.seek(0)
    return _blocks(file, packed=packed)


def _blocks(file: Any, *, packed: bool) -> Iterator[bytes]:
    with file, file if packed else gzip.GzipFile(fileobj=file) as source:
        while block := source.read(BLOCK):
            yield block


def remove_all(export_id: int) -> None:
    """Whatever any worker has put there for this export; twice is no error."""
    try:
        for folder in _names(str(export_id), 0):
            for name in _names(f"{export_id}/{folder}", 1):
                store().delete(f"{export_id}/{folder}/{name}")
    except AWAY as error:
        raise NotThere(type(error).__name__) from error


def _names(folder: str, which: int) -> list[str]:
    """The folders (0) or files (1) in it."""
    try:
        return [*store().listdir(folder)[which]]
    except FileNotFoundError:
        return []

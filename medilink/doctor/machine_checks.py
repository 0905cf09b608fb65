"""This machine, as this process sees it: in a container, the container."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind

GIB = 1024**3
FULL, NEARLY_PCT = 1 * GIB, 10
MEMORY_PCT = 5
MEMORY = Path("/proc/meminfo")

DISK_FULL = Kind(
    "disk-full",
    Gravity.ERROR,
    "A disk is full",
    "Files are loaded by way of the temporary folder, and logs are written: both stop. No file is lost by it.",
    "Make room: old images (docker image prune), logs, backups that lie here. Then see why it filled up.",
    "df -h",
)
DISK_NEARLY = Kind(
    "disk-nearly-full",
    Gravity.WARNING,
    "A disk is nearly full",
    "The largest file of a night needs its own size and a tenth of it in the temporary folder.",
    "Make room, or make the disk larger.",
    "df -h",
)
UNWRITABLE = Kind(
    "temporary-folder",
    Gravity.ERROR,
    "The temporary folder cannot be written",
    "No file can be loaded: each is read by way of it.",
    "Give the process a TMPDIR that it may write (with a read-only root, a tmpfs or a volume).",
)
MEMORY_LOW = Kind(
    "memory-low",
    Gravity.WARNING,
    "The machine's memory is nearly used up",
    "The kernel may end a process; its work is taken up by the next one, but pages are slow or fail meanwhile.",
    "See what takes it; fewer worker processes (--concurrency) or a larger machine.",
    "free -h",
)


def folders() -> dict[str, Path]:
    """By what they are for; those of one disk are told once."""
    found = {"the temporary folder": Path(tempfile.gettempdir()), "the project": Path(settings.BASE_DIR)}
    if settings.FHIR_EXPORT_FOLDER:
        found["FHIR exports"] = Path(settings.FHIR_EXPORT_FOLDER)
    if settings.BACKUP_URL and "://" not in settings.BACKUP_URL:
        found["backups"] = Path(settings.BACKUP_URL)
    return {name: folder for name, folder in found.items() if folder.is_dir()}


@check("machine", DISK_FULL, DISK_NEARLY)
def disks_have_room() -> Iterator[Finding]:
    disks: dict[int, list[str]] = {}
    where = folders()
    for name, folder in where.items():
        disks.setdefault(folder.stat().st_dev, []).append(name)
    for names in disks.values():
        usage = shutil.disk_usage(where[names[0]])
        said = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB are free; it holds {' and '.join(names)}."
        if usage.free < min(FULL, usage.total // 20):
            yield DISK_FULL.seen(said)
        elif usage.free < usage.total * NEARLY_PCT // 100:
            yield DISK_NEARLY.seen(said)


@check("machine", UNWRITABLE)
def temporary_files_can_be_made() -> Iterator[Finding]:
    try:
        tempfile.TemporaryFile().close()
    except OSError as error:
        yield UNWRITABLE.seen(f"{error.strerror or type(error).__name__}.")


@check("machine", MEMORY_LOW)
def memory_is_left() -> Iterator[Finding]:
    if not MEMORY.is_file():
        return
    told = dict(line.split(":", 1) for line in MEMORY.read_text().splitlines())
    total, left = (int(told[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    if 100 * left < MEMORY_PCT * total:
        yield MEMORY_LOW.seen(f"{left / 1024**2:.1f} of {total / 1024**2:.1f} GiB are left.")

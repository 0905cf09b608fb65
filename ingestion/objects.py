"""What an object's key and its LastModified say: dataset, business date, source, and the keys of its copies.

Pure: no S3, no database. Local paths are never derived from keys.
"""

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from clinical import values
from ingestion.datasets import Dataset

LAGOS = ZoneInfo("Africa/Lagos")
FIRST_DAY = date(2000, 1, 1)
KEY_LIMIT = 1024  # bytes
BUNDLE = "bundle.json"  # of FHIR, beside the files that were made of it
ENTRY = "bundle_entry"  # the column of such a file that says where in the bundle a line comes from

# ASCII: without it "patient" with a long s (U+017F) at its end would be a patients file.
DATASET_NAME = re.compile(rf"({'|'.join(Dataset.values)}).*\.csv(?:\.gz)?", re.IGNORECASE | re.ASCII | re.DOTALL)
SUFFIX = re.compile(r"\.csv(?:\.gz)?\Z", re.IGNORECASE)
# A lookahead, so that dates written into one another are all seen and the last valid one wins.
DATE = re.compile(r"(?<![0-9])(?=([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8})(?![0-9]))")
NUMBERS = re.compile(r"\d+(?:[-_.:T ]+\d+)*")


def folder_state(folders: str) -> str | None:
    """The nearest folder under the input prefix that is a state's name."""
    for folder in reversed(folders.split("/")):
        try:
            if len(folder) > 2:  # "la" and "on" are ISO codes, and folders of many another meaning
                return values.state(folder)
        except values.Invalid:
            continue
    return None


def file_name(key: str) -> str:
    return key.rpartition("/")[2]


def dataset_of(key: str) -> Dataset | None:
    found = DATASET_NAME.fullmatch(file_name(key))
    return Dataset(found[1].lower()) if found else None


def folder_segments(key: str, prefix: str) -> tuple[str, ...]:
    """The folders between the prefix and the file name, outermost first."""
    return tuple(part for part in key.removeprefix(prefix).split("/")[:-1] if part)


def folder_of(key: str, prefix: str) -> str:
    return "/".join(folder_segments(key, prefix))


def source_of(key: str, prefix: str) -> str:
    """The key below the prefix, each run of numbers (with `-_.:T` and spaces inside the run) replaced by one `*`.

    So every night's file of one sender has one source: `kano/triage_visits-2026-11-22_0130.csv` is
    `kano/triage_visits-*.csv`. A slash ends a run, and the case is kept.
    """
    return NUMBERS.sub("*", key.removeprefix(prefix).lstrip("/"))


def business_date(key: str, prefix: str, last_modified: datetime) -> date:
    """The day the delivery speaks of. `prefix` is the input prefix; the folders considered are those below it."""
    return named_date(key, prefix, last_modified) or lagos_day(last_modified)


def named_date(key: str, prefix: str, last_modified: datetime) -> date | None:
    """The last valid date in the file name, else the nearest folder that is one."""
    named = [day for match in DATE.finditer(file_name(key)) if (day := _valid_date(match[1], last_modified))]
    return named[-1] if named else folder_date(key, prefix, last_modified)


def folder_date(key: str, prefix: str, last_modified: datetime) -> date | None:
    """The nearest folder whose whole name is a valid date."""
    for folder in reversed(folder_segments(key, prefix)):
        match = DATE.match(folder)
        if match and match[1] == folder and (day := _valid_date(folder, last_modified)):
            return day
    return None


def lagos_day(instant: datetime) -> date:
    return instant.astimezone(LAGOS).date()


def _valid_date(text: str, last_modified: datetime) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # A day ahead is allowed (senders' clocks, exports around midnight); more is a number that looks like a date.
    return day if FIRST_DAY <= day <= lagos_day(last_modified) + timedelta(days=1) else None


def archive_key(prefix: str, business_date: date, key: str) -> str:
    return _fitting(f"{prefix}{business_date:%Y-%m-%d}/", file_name(key))


def held_key(prefix: str, business_date: date, batch_id: int, key: str) -> str:
    return _fitting(f"{prefix}{business_date:%Y-%m-%d}/{batch_id}/", file_name(key))


def bundle_key(folder: str) -> str:
    return f"{folder}{BUNDLE}"


def alternative_key(safe_key: str, digest: str) -> str:
    """For an archive or held key that other bytes have taken already."""
    folder, slash, name = safe_key.rpartition("/")
    return _fitting(folder + slash, name, f"__{digest[:12]}")


def _fitting(folder: str, name: str, mark: str = "") -> str:
    """The mark goes before the suffix. The stem is cut where a copy's longer folder would break S3's limit."""
    suffix = found[0] if (found := SUFFIX.search(name)) else ""
    room = KEY_LIMIT - len(f"{folder}{mark}{suffix}".encode())
    stem = name.removesuffix(suffix).encode()[:room].decode(errors="ignore")
    return f"{folder}{stem}{mark}{suffix}"

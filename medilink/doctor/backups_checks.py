"""Backups: whether they are made, and could be. That none was made for 26 hours is among the causes of alerts."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.db.models import Max, Min
from django.utils import timezone

from medilink.backups import postgres
from medilink.doctor.checks import check, is_one_machine
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.models import Backup

UNSET = Kind(
    "backup-unset",
    Gravity.NOTE,
    "Medilink makes no backup of its own",
    "All there is are the database server's snapshots, if somebody has switched them on.",
    "Set BACKUP_URL, or be sure of the snapshots: restore one into a new server now and then.",
)
FAILED = Kind(
    "backup-failed",
    Gravity.WARNING,
    "The last backup went wrong",
    "The one before it is all there is.",
    "Make one by hand: its error is told.",
    "manage.py backup s3://BUCKET/KEY",
)
UNDRILLED = Kind(
    "backup-undrilled",
    Gravity.WARNING,
    "No backup was tried out for a month",
    "Whether one can be restored is believed, not known.",
    "Try the last one out. It takes a database of its own beside ours, and drops it again.",
    "manage.py restore_drill s3://BUCKET/KEY",
)
PROGRAM = Kind(
    "backup-program",
    Gravity.ERROR,
    "pg_dump of the server's version is not here",
    "No backup can be made here, and none restored.",
    "Install PostgreSQL's client programs of the server's major version. The image has those of 18.",
)


DRILL = timedelta(days=35)


@check("backups", UNSET, FAILED, PROGRAM)
def backups_are_made() -> Iterator[Finding]:
    if not settings.BACKUP_URL:
        if not is_one_machine():
            yield UNSET.seen("BACKUP_URL is not set.")
        return
    last = Backup.objects.exclude(finished_at=None).first()
    if last and last.error:
        yield FAILED.seen(f"It ended with {last.error}.")
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int")
        (version,) = cursor.fetchone()
    try:
        postgres.program("pg_dump", version)
    except postgres.NoProgram as error:
        yield PROGRAM.seen(str(error))


@check("backups", UNDRILLED)
def backups_are_tried_out() -> Iterator[Finding]:
    good = Backup.objects.exclude(finished_at=None).filter(error="")
    told = good.aggregate(first=Min("started_at"), drilled=Max("drilled_at"))
    now = timezone.now()
    if not settings.BACKUP_URL or not told["first"] or (told["drilled"] or told["first"]) > now - DRILL:
        return
    last = f"{(now - told['drilled']).days} days ago" if told["drilled"] else "never"
    yield UNDRILLED.seen(f"The last good drill: {last}.", command=f"manage.py restore_drill {good[0].place}")

"""The schedule: whether one beat keeps it, and whether it is still whole."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import connection
from django.db.models import Max
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from medilink.celery import BEAT
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.management.commands.check_beat import SLACK, is_overdue

NIGHTLY = "medilink.tasks.nightly"
NIGHTS = 7  # within so many days a night comes
# What the migrations put there. Stewards may change when, but what none of it does any more is worth a word.
EXPECTED = {
    NIGHTLY,
    "ingestion.tasks.sweep",
    "analytics.tasks.refresh_marts",
    "medilink.tasks.tell",
    "clinical.tasks.find_duplicates",
    "medilink.tasks.purge",
    "medilink.tasks.back_up",
    "medilink.tasks.seal_audit",
    "clinical.tasks.make_audit_months",
    "analytics.tasks.nightly_reports",
    "clinical.tasks.read_vitals",
    "clinical.tasks.read_all_vitals",
    "medilink.tasks.sweep_fhir_exports",
}

NONE = Kind(
    "beat-missing",
    Gravity.ERROR,
    "Beat does not run",
    "Nothing starts by itself: no night, no watch of the input, no alerts, no backup.",
    "Start beat, one in all; what was missed is taken up at once.",
    "docker compose up -d beat",
)
TWICE = Kind(
    "beat-twice",
    Gravity.WARNING,
    "More than one beat runs",
    "Everything is queued twice. The database lets each thing happen once, but the queue and the workers do it double.",
    "Stop all but one.",
    "docker compose up -d --scale beat=1",
)
MISSING = Kind(
    "schedule-missing",
    Gravity.WARNING,
    "An entry of the schedule was deleted",
    "What it did happens no more.",
    "Add it again at the desk under Periodic tasks, with the task that is named.",
)
DISABLED = Kind(
    "schedule-disabled",
    Gravity.WARNING,
    "An entry of the schedule is switched off",
    "What it does happens no more until it is switched on.",
    "Switch it on at the desk under Periodic tasks, unless somebody has a reason.",
)
NO_NIGHT = Kind(
    "night-unscheduled",
    Gravity.ERROR,
    "No night is going to come",
    "Files stay in the input, and nobody's figures grow newer.",
    "At the desk under Periodic tasks: have the entry there, switched on, with days that come.",
)
SESSIONS = """
SELECT count(DISTINCT application_name) FROM pg_stat_activity
WHERE application_name LIKE %s AND datname = current_database()
"""


@check("schedule", NONE, TWICE)
def one_beat_runs() -> Iterator[Finding]:
    """Each beat names its session (medilink/celery.py). A pooler may hide the name: then its deeds tell."""
    with connection.cursor() as cursor:
        cursor.execute(SESSIONS, [f"{BEAT}%"])
        (beats,) = cursor.fetchone()
    if beats > 1:
        yield TWICE.seen(f"{beats} beats are connected to the database.")
    enabled = PeriodicTask.objects.filter(enabled=True)
    overdue = [task.name for task in enabled if is_overdue(task, timezone.now())]
    last = enabled.aggregate(last=Max("last_run_at"))["last"]
    if overdue or (not beats and (last is None or last < timezone.now() - SLACK)):
        when = f"since {timezone.localtime(last):%d %B %Y, %H:%M}" if last else "yet"
        nothing = f"None is connected to the database, and nothing was started {when}."
        yield NONE.seen(nothing if not beats else f"Overdue: {', '.join(overdue)}.")


@check("schedule", NO_NIGHT)
def night_comes() -> Iterator[Finding]:
    entries = [*PeriodicTask.objects.filter(task=NIGHTLY).select_related("crontab")]
    if any(entry.enabled and _comes_soon(entry) for entry in entries):
        return
    if not entries:
        yield NO_NIGHT.seen(f"Nothing starts {NIGHTLY}.")
    for entry in entries:
        why = f"comes on no day of the next {NIGHTS}" if entry.enabled else "is switched off"
        yield NO_NIGHT.seen(f"{entry.name} {why}.")


def _comes_soon(entry: PeriodicTask) -> bool:
    if entry.crontab is None:  # once, at an hour that was named, is no schedule
        return entry.clocked is None
    try:
        cron = entry.crontab.schedule
    except ValueError:  # 31 February
        return False
    today = timezone.now().astimezone(entry.crontab.timezone).date()
    return any(
        day.day in cron.day_of_month and day.month in cron.month_of_year and day.isoweekday() % 7 in cron.day_of_week
        for day in (today + timedelta(days=number) for number in range(NIGHTS + 1))
    )


@check("schedule", MISSING, DISABLED)
def schedule_is_whole() -> Iterator[Finding]:
    """But for the night, which is told of by itself."""
    known = PeriodicTask.objects.values_list("task", "name", "enabled")
    for task in sorted(EXPECTED - {NIGHTLY} - {task for task, *_ in known}):
        yield MISSING.seen(f"Nothing starts {task}.")
    running = {task for task, _, enabled in known if enabled}
    for task, name, enabled in known:
        if not enabled and task in EXPECTED - {NIGHTLY} - running:
            yield DISABLED.seen(f"{name} ({task}).")

"""The schedule: whether one beat keeps it, and whether it is still whole."""

from collections.abc import Iterator

from django.db import connection
from django.db.models import Max
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from medilink.celery import BEAT
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.management.commands.check_beat import SLACK, is_overdue

# What the migrations put there. Stewards may change when, but what none of it does any more is worth a word.
EXPECTED = {
    "medilink.tasks.nightly",
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


@check("schedule", MISSING, DISABLED)
def schedule_is_whole() -> Iterator[Finding]:
    known = PeriodicTask.objects.values_list("task", "name", "enabled")
    for task in sorted(EXPECTED - {task for task, *_ in known}):
        yield MISSING.seen(f"Nothing starts {task}.")
    running = {task for task, _, enabled in known if enabled}
    for task, name, enabled in known:
        if not enabled and task in EXPECTED - running:
            yield DISABLED.seen(f"{name} ({task}).")

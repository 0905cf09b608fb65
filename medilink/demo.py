"""The whole of it on one machine: site, worker and beat, one invented night delivered and loaded through Celery.

For embedded servers, or real ones that hold nothing else: it never mixes invented patients with a database's own.
"""

import fcntl
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Max
from django.utils import timezone
from rich import box
from rich.console import Console
from rich.table import Table

from analytics import checks, marts
from analytics.history import MartRefresh
from clinical import logins, vital_readings
from clinical.access import Role
from ingestion import runs, sources, tasks
from ingestion.models import IngestBatch, IngestRun, Kind, RejectedRow, Status
from ingestion.refusals import code_of
from medilink import alerts, delivery
from medilink.embedded import PROJECT, RUN_FOLDER
from medilink.models import is_production
from medilink.supervisor import Group

ALREADY_RUNNING, INTERRUPTED = 75, 130
FIRST_NIGHT = timedelta(days=3)  # before today; each further run delivers the night after the last one
PATIENCE = 600.0
PORTS = range(5000, 5100)
TOKEN_FILE = RUN_FOLDER / "demo-token"
DAYS = 3650
COLOURS = {"web": "cyan", "worker": "green", "beat": "magenta"}
ENDED = {
    IngestRun.State.DONE,
    IngestRun.State.SOME_ROWS_REFUSED,
    IngestRun.State.SOME_FILES_STOPPED,
    IngestRun.State.BROKEN_OFF,
}

console = Console()
if not console.is_terminal:
    console.width = 120  # a file has no width of its own


def run(*, is_once: bool) -> None:
    """Raises SystemExit: 1 where something went wrong, 75 where a demo runs already."""
    is_shown = False

    def show(name: str, line: str) -> None:
        if is_shown:
            console.print(f"[{COLOURS[name]}]{name:>6}[/] ", end="")
            console.print(line, markup=False, highlight=False)

    for stop in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
        signal.signal(stop, signal.default_int_handler)
    try:
        RUN_FOLDER.mkdir(mode=0o711, exist_ok=True)
    except OSError as error:
        told = f"{RUN_FOLDER} cannot be written ({error.strerror}): a demo runs from a clone, not from the image."
        raise CommandError(told) from error
    group = Group(RUN_FOLDER / "logs", show)
    try:
        with _only_one():
            port = _port()
            _start_worker(group)  # touches the database only once it is given something to do
            _prepare()
            pending = _deliver()
            _start_site(group, port)
            is_good = _await_run(group, pending)
            is_good = _answer() and is_good
            _start_beat(group)
            _await_site(group, port)
            if not is_once:
                _say_where(port)
                is_shown = True
                _watch(group)
            if not is_good:
                raise SystemExit(1)
    except KeyboardInterrupt:
        console.print("\nStopping.")
        if not is_shown:
            raise SystemExit(INTERRUPTED) from None
    finally:
        group.stop()


@contextmanager
def _only_one() -> Iterator[None]:
    with (RUN_FOLDER / "demo.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("The demo runs already, in another terminal; commands of manage.py use its servers.")
            raise SystemExit(ALREADY_RUNNING) from None
        yield


# --- The parts


def _prepare() -> None:
    with console.status("Setting up the database"):
        call_command("migrate", verbosity=0, interactive=False)
    if is_production():
        raise CommandError("This database is marked as production; invented patients are refused there.")
    password_file = RUN_FOLDER / "steward-password"
    if not password_file.is_file():
        if IngestBatch.objects.exists():
            raise CommandError(
                "This database holds deliveries that no demo of this folder has made; the demo would mix invented "
                "patients with them. Unset DATABASE_URL and POSTGRES_HOST for a database of the demo's own."
            )
        with open(os.open(password_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(12))
    user, _ = get_user_model().objects.get_or_create(
        username="steward", defaults={"is_staff": True, "is_superuser": True}
    )
    if not user.check_password(password_file.read_text()):
        user.set_password(password_file.read_text())
        user.save(update_fields=["password"])
    _make_program()
    connection.close()


def _make_program() -> None:
    """A user for programs with a token of its own; the token outlives the demo, as the database does."""
    if not TOKEN_FILE.is_file():
        logins.create_user("demo-program", Role.SERVICE)
        with open(os.open(TOKEN_FILE, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(logins.issue_token("demo-program", DAYS))


def _start_worker(group: Group) -> None:
    options = ["--loglevel", "INFO", "--concurrency", "2", "--without-gossip", "--without-mingle"]
    group.start("worker", [sys.executable, "-m", "celery", "-A", "medilink", "worker", *options], cwd=PROJECT)


def _start_site(group: Group, port: int) -> None:
    options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", f"{port}", "--no-ws", "--blocking-threads", "4"]
    site = [sys.executable, "-m", "granian", *options, "--access-log", "medilink.wsgi:application"]
    group.start("web", site, cwd=PROJECT)


def _start_beat(group: Group) -> None:
    """After the load: a beat that was away queues at once what it has missed."""
    group.start("beat", [sys.executable, "-m", "celery", "-A", "medilink", "beat", "--loglevel", "INFO", "--pidfile="])


def _port() -> int:
    """PORT where it is set, else 5000 or the next that is free."""
    wanted = [int(os.environ["PORT"])] if os.environ.get("PORT") else PORTS
    for port in wanted:
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue
    raise CommandError(f"Port {wanted[0]} is taken; set PORT to a free one.")


# --- The load


def _deliver() -> IngestRun:
    """One more night into the bucket, and the queued run that shall load it."""
    night = _next_night()
    with console.status(f"Delivering the night of {night} to the bucket"):
        try:
            delivery.upload(night)
        except sources.StorageError as error:
            raise CommandError(str(error)) from error
        return _queue()


def _queue() -> IngestRun:
    """What beat queues at night, now. Not bound to a night of its own: each of those is run once."""
    pending = runs.request(Kind.NIGHTLY)
    tasks.ingest.delay(pending.pk)
    return pending


def _next_night() -> date:
    """The one after the last delivery. A date more than a day ahead would not be taken for one; then the same again."""
    today = timezone.localdate()
    last = IngestBatch.objects.aggregate(Max("business_date"))["business_date__max"] or date.min
    return min(max(last + timedelta(days=1), today - FIRST_NIGHT), today + timedelta(days=1))


def _await_run(group: Group, pending: IngestRun) -> bool:
    """False where it went wrong; bad rows and a bad file belong to the delivery."""
    with console.status("Waiting for the worker") as status:
        _follow(group, pending, status.update)
    batches = list(pending.batches.order_by("pk"))
    _print_outcome(batches)
    if pending.status == IngestRun.State.BROKEN_OFF:
        console.print(f"The run broke off: {pending.error}", markup=False)
    # What a killed demo has left behind fails now: its objects are gone with its stand-in for S3.
    ours = [one for one in batches if one.discovered_at >= pending.created_at]
    return pending.status != IngestRun.State.BROKEN_OFF and all(one.status != Status.FAILED for one in ours)


def _follow(group: Group, pending: IngestRun, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + PATIENCE
    while pending.status not in ENDED:
        if time.monotonic() > deadline:
            raise CommandError(f"The run does not end; see {group.log('worker')}.")
        _check_alive(group)
        time.sleep(0.2)
        pending.refresh_from_db()
        if counts := Counter(pending.batches.values_list("status", flat=True)):
            say("Loading: " + ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))


def _print_outcome(batches: list[IngestBatch]) -> None:
    counts = Table("file", "status", box=box.SIMPLE_HEAD, title="What the night brought")
    for heading in ("read", "inserted", "updated", "unchanged", "collapsed", "refused", "seconds"):
        counts.add_column(heading, justify="right")
    refusals = Table("file", "refused or stopped for", box=box.SIMPLE_HEAD)
    reasons = _reasons_of(batches)
    for one in batches:
        name = _name_of(one)
        numbers = (one.rows_read, one.inserted, one.updated, one.unchanged, one.collapsed, one.rejected)
        counts.add_row(name, one.status, *(f"{number:,}" for number in numbers), _seconds(one))
        if one.reasons or reasons[one.pk]:
            of_rows = [f"{code} {number}" for code, number in reasons[one.pk].most_common()]
            refusals.add_row(name, ", ".join([*one.reasons, *of_rows]))
    console.print(counts, refusals)


def _name_of(batch: IngestBatch) -> str:
    name = batch.object_key.removeprefix(settings.S3_INPUT_PREFIX)
    return f"{name} (refused rows, again)" if batch.parent_id else name


def _seconds(batch: IngestBatch) -> str:
    if batch.started_at is None or batch.finished_at is None:
        return ""
    return f"{(batch.finished_at - batch.started_at).total_seconds():.1f}"


def _reasons_of(batches: list[IngestBatch]) -> dict[int, Counter[str]]:
    found = {one.pk: Counter[str]() for one in batches}
    for batch_id, reasons in RejectedRow.objects.filter(batch__in=batches).values_list("batch_id", "reasons"):
        found[batch_id].update({code_of(reason) for reason in reasons})
    return found


def _answer() -> bool:
    """The vital signs read of it, the marts made of it, and what the data checks say."""
    with console.status("Reading vital signs, refreshing the marts and checking the data"):
        with suppress(vital_readings.AlreadyReading):  # by the worker, whom beat has asked
            vital_readings.read_changed()
        outcomes = marts.refresh()
        found = checks.run()
        alerts.tell()
    failed = [outcome.mart for outcome in outcomes if outcome.status == MartRefresh.Status.FAILED]
    console.print(f"{len(outcomes) - len(failed)} marts are fresh; {found.passed} data checks passed", end="")
    console.print(f", {found.failed} failed." if found.failed else ".")
    return not failed and not found.failed


# --- The site


def _await_site(group: Group, port: int) -> None:
    with console.status("Waiting for the site"):
        while not _is_healthy(port):
            _check_alive(group)
            time.sleep(0.1)


def _is_healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:  # nosec B310  # our own site
            return bool(json.load(answer)["status"] == "healthy")
    except (URLError, ConnectionError, TimeoutError):
        return False


def _say_where(port: int) -> None:
    password, token = (RUN_FOLDER / "steward-password").read_text(), TOKEN_FILE.read_text()
    site = f"http://127.0.0.1:{port}"
    console.print(
        f"\nThe stewards' desk: [bold]{site}/admin/[/]   log in as [bold]steward[/] / [bold]{password}[/]\n"
        f"The dashboard:      {site}/dashboard (the same log-in)\n"
        f"The API in words:   {site}/api/docs and, to click through, {site}/api/patients\n"
        f"The data in words:  {site}/api/docs/dictionary and {site}/api/docs/metrics\n"
        f"What to deliver:    {site}/api/docs/contract\n"
        f"As FHIR R4:         {site}/fhir/metadata\n"
        f"Health:             {site}/health\n"
        f"Logs:               {RUN_FOLDER / 'logs'}\n\n"
        "For programs:"
    )
    console.print(f"  curl -H 'Authorization: Bearer {token}' {site}/api/analytics/facility-stats", soft_wrap=True)
    console.print("\nCtrl-C ends everything; the next `make demo` delivers another night.\n")


def _watch(group: Group) -> None:
    while True:
        _check_alive(group)
        time.sleep(1)


def _check_alive(group: Group) -> None:
    for name in group.dead():
        tail = "\n".join(group.log(name).read_text(errors="replace").splitlines()[-15:])
        raise CommandError(f"The {name} has ended by itself; the end of {group.log(name)}:\n{tail}")

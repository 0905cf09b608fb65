"""The database server: whether we get in, as whom, if it fits. catalogue_checks and wall_checks look inside."""

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import environ
import psycopg2
from django.conf import settings
from django.db import Error, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from clinical import database_roles, locks, rotation, row_security
from ingestion.outages import sqlstate
from medilink import default_accounts, migrating, server_log
from medilink.doctor import catalogue_checks, opening, policy_checks, wall_checks  # noqa: F401  # the rest of the lane
from medilink.doctor.checks import check, is_one_machine
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.doctor.places import found_of
from medilink.models import Environment

OLDEST = 17  # what the migrations need: the collation pg_c_utf8
SKEW = timedelta(seconds=30)

AWAY = Kind(
    "database-away",
    Gravity.ERROR,
    "The database does not answer",
    "Nothing works: the site answers 503, and no file is loaded. What waits is taken up once it is back.",
    "Start the server, or see the network and its security groups; check the host and port in DATABASE_URL.",
    ends=True,
)
PASSWORD = Kind(
    "database-password",
    Gravity.ERROR,
    "The database refuses our user or password",
    "Nothing works: the site answers 503, and no file is loaded.",
    "Put the present password into DATABASE_URL (or POSTGRES_PASSWORD) of every process, and start them again.",
    ends=True,
)
MISSING = Kind(
    "database-missing",
    Gravity.ERROR,
    "The server has no database of this name",
    "Nothing works. Where it was there yesterday it was dropped, or this is another server.",
    "Check the name in DATABASE_URL. For a new site make it; for a lost one restore a backup.",
    ends=True,
)
TOO_MANY = Kind(
    "connections-exhausted",
    Gravity.ERROR,
    "The database has no connection left for us",
    "Whoever comes next is refused: pages with 503, tasks that are tried again.",
    "Stop what holds them (fewer web or worker processes), or put pgbouncer before it; SCALE.md has the arithmetic.",
    ends=True,
)
POOLED = Kind(
    "database-pooled",
    Gravity.ERROR,
    "Workers and commands connect through a pooler",
    "They refuse to: it would give their locks to others. No file is loaded, and nothing is migrated.",
    "Let DATABASE_URL name the server itself; only DATABASE_WEB_URL may lead through a pooler.",
    ends=True,
)
OLD = Kind(
    "database-old",
    Gravity.ERROR,
    "The database server is too old",
    "Migrations fail, for it lacks what they use.",
    f"Upgrade it to PostgreSQL {OLDEST} or newer.",
)
REPLICA = Kind(
    "database-read-only",
    Gravity.ERROR,
    "This is a replica, which takes no changes",
    "Nothing can be loaded or changed.",
    "Let DATABASE_URL name the primary server.",
)
ROLE = Kind(
    "database-role",
    Gravity.ERROR,
    "Workers and commands connect as somebody who does not own the tables",
    "Loads, migrations and refreshes of marts are refused.",
    "Let DATABASE_URL name the owner; the web's own role belongs into DATABASE_WEB_URL.",
)
PENDING = Kind(
    "migrations-pending",
    Gravity.ERROR,
    "The database is older than this code",
    "/readyz says so and the load balancer sends nobody; what needs the new columns fails.",
    "Migrate. It takes no lock for long, and runs beside the old version.",
    "manage.py migrate",
    ends=True,
)
AHEAD = Kind(
    "migrations-ahead",
    Gravity.WARNING,
    "A newer release has migrated the database",
    "This code works on it, as it should after going back. Its own `migrate` leaves the database as it is.",
    "Start the newer release here too, or stay with this one everywhere until it is mended.",
)
WEB_ROLE = Kind(
    "web-role-missing",
    Gravity.ERROR,
    f"The web's database role {row_security.ROLE} is not there",
    "The site does not start.",
    "Make it, and put its address into the web's DATABASE_WEB_URL.",
    "manage.py create_web_role --password-stdin",
)
WEB_POWERS = Kind(
    "web-role-powerful",
    Gravity.ERROR,
    "The web's database role can do more than it should",
    "Row-level security no longer binds it for certain: a fault in the code may show people of other states.",
    "Take the powers that are named away as the server's administrator, then bring the role back into shape.",
    "manage.py create_web_role",
)
WEB_AWAY = Kind(
    "web-cannot-connect",
    Gravity.ERROR,
    "The web's own role cannot connect",
    "The site does not start, or answers 503.",
    "Give the role a new password and put it into DATABASE_WEB_URL of the web.",
    "manage.py create_web_role --password-stdin",
)
WEB_UNLIMITED = Kind(
    "web-limit-unset",
    Gravity.WARNING,
    "Behind the pooler the web's statements have another limit than they should",
    "One page may keep a connection of the pooler's busy for longer than all others wait.",
    "Migrate with the DB_STATEMENT_TIMEOUT_MS that the web has, then let the pooler connect anew (RECONNECT).",
    "manage.py migrate",
)
SECRET = Kind(
    "secret-key-unknown",
    Gravity.ERROR,
    "The database does not know this SECRET_KEY",
    "The web does not start: the database could not verify for whom its statements stand.",
    "Give every process the same SECRET_KEY, then let the database learn it.",
    "manage.py migrate",
)
KEY = Kind(
    "sealed-key-missing",
    Gravity.ERROR,
    "A key is missing from DATA_KEYS, and values are sealed with it",
    "Refused rows, second factors and sessions that it has sealed cannot be opened. Without the key they are lost.",
    "Put the key back behind the first one, in every process; then seal anew what it has sealed.",
    "manage.py rotate_keys --status",
)
CLOCK = Kind(
    "clock-skew",
    Gravity.WARNING,
    "The clocks of two machines differ",
    "Log-ins, signatures and the night's date go wrong; from a quarter of an hour on S3 refuses everything.",
    "Let both machines follow a time server (chrony or systemd-timesyncd).",
    "timedatectl status",
)
LOUD = Kind(
    "server-log-loud",
    Gravity.WARNING,
    "The database server may write patients' data into its own log",
    "Who reads the server's log sees what the tables protect.",
    "Set the parameters that are named in the server's configuration, and load no auto_explain.",
)
ACCOUNT = Kind(
    "default-account",
    Gravity.ERROR,
    "Somebody can log in by what everybody knows",
    "Guessing is all it takes.",
    "Change the password, or disable the account, at the desk under Users.",
)
NAMED = Kind(
    "environment-mismatch",
    Gravity.WARNING,
    "The database says that it is another environment",
    "A copy of production, or the wrong address: what is tried out may be done to real patients.",
    "Check DATABASE_URL and MEDILINK_ENV.",
)
REFUSALS = {"28": PASSWORD, "3D": MISSING, "53300": TOO_MANY}
WORDS = {  # libpq gives no SQLSTATE before it is in
    "password authentication failed": PASSWORD,
    "no password supplied": PASSWORD,
    "no pg_hba.conf entry": PASSWORD,
    "role": PASSWORD,
    "does not exist": MISSING,
    "too many clients": TOO_MANY,
    "remaining connection slots": TOO_MANY,
}


@check("database", AWAY, PASSWORD, MISSING, TOO_MANY, POOLED, is_first=True)
def connect() -> Iterator[Finding]:
    """Leaves the lane's connection open."""
    try:
        connection.ensure_connection()
        if not connection.in_atomic_block and not connection.is_usable():
            connection.close()
            connection.ensure_connection()
    except Error as error:
        kind, place = _kind_of(error), connection.settings_dict
        user = f" as {place['USER']}" if kind is PASSWORD else f", database {place['NAME']}" if kind is MISSING else ""
        yield kind.seen(f"{_place()}{user}: {reason(error)}.")
        return
    if locks.is_pooled(connection):
        yield POOLED.seen(f"{_place()} is a pooler.")


def _place() -> str:
    place = connection.settings_dict
    return found_of(str(place["HOST"] or place["OPTIONS"].get("host", "")), int(place["PORT"] or 5432))


def _kind_of(error: Error) -> Kind:
    state, text = sqlstate(error), str(error)
    for begin, kind in REFUSALS.items():
        if state.startswith(begin):
            return kind
    return next((kind for words, kind in WORDS.items() if f" {words}" in f" {text.partition('FATAL:')[2]}"), AWAY)


def reason(error: Error) -> str:
    """In few words of our own: libpq's may hold what it was given."""
    text = str(error)
    for words, reason in (
        ("password authentication", "the password is refused"),
        ("no password supplied", "no password was given"),
        ("could not translate host name", "its name is not known"),
        ("Connection refused", "nobody listens there"),
        ("No such file", "there is no such socket"),
        ("timeout expired", "no answer in time"),
        ("too many clients", "too many clients already"),
        ("remaining connection slots", "only an administrator's connections are left"),
        ("starting up", "it is starting up"),
        ("shutting down", "it is shutting down"),
        ("SSL", "no encrypted connection could be made"),
        ("pg_hba.conf", "the server lets nobody in from here as this user"),
        ("does not exist", "there is none of this name"),
    ):
        if words in text:
            return reason
    return "the server refuses" if "FATAL" in text else "the connection broke off"


@check("database", OLD, REPLICA)
def server_fits() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery()")
        version, is_replica = cursor.fetchone()
    if version < OLDEST:
        yield OLD.seen(f"It is PostgreSQL {version}; {OLDEST} is the oldest that will do.")
    if is_replica:
        yield REPLICA.seen("The server is in recovery.")


@check("database", CLOCK)
def clocks_agree() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (there,) = cursor.fetchone()
    apart = there - timezone.now()
    if abs(apart) > SKEW:
        yield CLOCK.seen(f"The database's clock is {abs(apart).total_seconds():.0f} s {_side(apart)} this machine's.")


def _side(apart: timedelta) -> str:
    return "ahead of" if apart > timedelta() else "behind"


@check("database", PENDING, AHEAD)
def is_migrated() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        first = plan[0][0]
        yield PENDING.seen(f"{len(plan)} to be applied; the first is {first.app_label}.{first.name}.")
    elif migrating.is_ahead(connection):
        yield AHEAD.seen("It has migrations that are not in this code.")


OWNED = """
SELECT current_user, count(*) FILTER (WHERE NOT pg_has_role(current_user, relowner, 'USAGE'))
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
"""


@check("database", ROLE)
def is_owner() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(OWNED)
        user, foreign = cursor.fetchone()
    if foreign:
        yield ROLE.seen(f"{user} does not own {foreign} tables.")


OWNS = "SELECT count(*) FROM pg_class WHERE relowner = (SELECT oid FROM pg_roles WHERE rolname = %s)"


@check("database", WEB_ROLE, WEB_POWERS)
def web_role_is_bound() -> Iterator[Finding]:
    role = row_security.ROLE
    with connection.cursor() as cursor:
        cursor.execute(database_roles.POWERS, {"role": role})
        found = cursor.fetchone()
        cursor.execute(OWNS, [role])
        (owned,) = cursor.fetchone()
    if found is None:
        yield WEB_ROLE.seen(f"The server has no role {role}.")
    elif found[0]:
        yield WEB_POWERS.seen(f"{role} is a superuser, may make roles or databases, bypasses policies or is a member.")
    if owned:
        yield WEB_POWERS.seen(f"{role} owns {owned} tables or other objects, and policies do not bind owners.")


POOLER = "SELECT pg_backend_pid(), setting::int FROM pg_settings WHERE name = 'statement_timeout'"


@check("database", WEB_AWAY, WEB_UNLIMITED)
def web_can_connect() -> Iterator[Finding]:
    """Only where DATABASE_WEB_URL is known, which is the web's own environment."""
    if not settings.DATABASE_WEB_URL:
        return
    told = environ.Env.db_url_config(settings.DATABASE_WEB_URL)
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    params = connection.get_connection_params() | {name: told[ours] for name, ours in names.items() if told.get(ours)}
    known = (*names, "sslmode", "sslrootcert", "connect_timeout")
    try:
        with closing(psycopg2.connect(**{name: params[name] for name in known if name in params})) as web:
            with web.cursor() as cursor:
                cursor.execute(POOLER)
                process, limit = cursor.fetchone() or (0, 0)
            is_pooled = process != web.info.backend_pid  # as clinical.locks.is_pooled
    except psycopg2.OperationalError as error:
        yield WEB_AWAY.seen(f"As {params['user']}: {reason(OperationalError(str(error)))}.")
        return
    if is_pooled and limit != settings.DB_STATEMENT_TIMEOUT_MS:
        said = f"They end after {limit} ms" if limit else "They never end"
        yield WEB_UNLIMITED.seen(f"{said}; DB_STATEMENT_TIMEOUT_MS is {settings.DB_STATEMENT_TIMEOUT_MS}.")


@check("database", SECRET)
def secret_is_known() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT key FROM row_security_keys")
        known = {bytes(key) for (key,) in cursor.fetchall()}
    if not is_one_machine() and row_security.signing_keys()[0] not in known:
        yield SECRET.seen("None of the keys that the last migrate left in the database is of this SECRET_KEY.")


@check("database", KEY)
def sealed_values_can_be_opened() -> Iterator[Finding]:
    if opening.state.refusals and "DATA_KEYS" not in os.environ:
        return  # a key of this start only stands in; the settings' refusal tells
    yield from (KEY.seen(str(one.msg)) for one in rotation.no_key_is_missing(databases=["default"]))


@check("database", LOUD)
def server_log_is_quiet() -> Iterator[Finding]:
    for one in server_log.is_quiet(databases=["default"]):
        yield LOUD.seen(f"{one.msg}. {one.hint}")


@check("database", ACCOUNT, is_last=True)
def accounts_are_our_own() -> Iterator[Finding]:
    if not is_one_machine():
        found = default_accounts.look(None)
        yield from (ACCOUNT.seen(str(one.msg)) for one in found if one.is_serious())


@check("database", NAMED)
def environment_is_the_same() -> Iterator[Finding]:
    written = Environment.objects.values_list("name", flat=True).first()
    if written and written != settings.ENVIRONMENT and not is_one_machine():
        yield NAMED.seen(f"The database says {written}, this process {settings.ENVIRONMENT}.")

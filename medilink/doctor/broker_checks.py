"""The broker and who works for it. It is a hint only (README), so nothing here loses a file; it comes later."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, TimeoutError

from medilink.celery import app
from medilink.doctor.checks import check
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.doctor.places import is_known

QUICK = 2  # seconds
QUEUE = "celery"
LONG, FULL_PCT = 1_000, 90

AWAY = Kind(
    "broker-away",
    Gravity.ERROR,
    "The broker does not answer",
    "Nothing is started: no night, no watch of the input. The site works; what waits is taken up once it is back.",
    "Start Redis or Valkey, or see the network; check the host and port in REDIS_URL. Nothing in it needs restoring.",
    "docker compose up -d valkey",
    ends=True,
)
PASSWORD = Kind(
    "broker-password",
    Gravity.ERROR,
    "The broker refuses our password",
    "Nothing is started: no night, no watch of the input.",
    "Put the present password into REDIS_URL of every process, and start them again.",
    ends=True,
)
EVICTS = Kind(
    "broker-evicts",
    Gravity.ERROR,
    "The broker may throw messages away",
    "When its memory is full it drops tasks without a word, and they are found again late or not at all.",
    "Set its maxmemory-policy to noeviction (ElastiCache: in the parameter group).",
    "redis-cli CONFIG SET maxmemory-policy noeviction",
)
FULL = Kind(
    "broker-full",
    Gravity.ERROR,
    "The broker's memory is nearly full",
    "When it is full it takes no more tasks.",
    "See what is in it: the queue (queue-long), or what others have put there. Give it more memory.",
)
QUEUE_LONG = Kind(
    "queue-long",
    Gravity.WARNING,
    "The queue is long",
    "Tasks wait; those that are late are dropped and taken up by the sweep.",
    "See whether workers work (no-worker) or are too few; more may be started on any machine.",
    "docker compose up -d --scale worker=3",
)
NO_WORKER = Kind(
    "no-worker",
    Gravity.ERROR,
    "No worker answers",
    "Nothing is loaded, no mart refreshed, nobody told, until one runs.",
    "Start the workers, and read the last lines of their log.",
    "docker compose up -d worker",
)


@check("broker", AWAY, PASSWORD, is_first=True)
def broker_answers() -> Iterator[Finding]:
    try:
        _client().ping()
    except (AuthenticationError, NoPermissionError):
        yield PASSWORD.seen(f"{_place()} answers, and does not let us in.")
    except (RedisError, OSError) as error:
        text = str(error)
        if "NOAUTH" in text or "WRONGPASS" in text or "invalid username-password" in text:
            yield PASSWORD.seen(f"{_place()} answers, and does not let us in.")
        else:
            yield AWAY.seen(f"{_place()}: {_reason(error)}.")


def _client() -> Redis:
    return Redis.from_url(settings.REDIS_URL, socket_timeout=QUICK, socket_connect_timeout=QUICK)


def _place() -> str:
    url = urlsplit(settings.REDIS_URL)
    return f"{url.hostname or 'localhost'}:{url.port or 6379}"


def _reason(error: Exception) -> str:
    if not is_known(urlsplit(settings.REDIS_URL).hostname or "localhost"):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return f"no answer within {QUICK} s"
    if "unreachable" in str(error):
        return "no way leads there"
    if "refused" in str(error):
        return "nobody listens there"
    return "it is still reading its data" if "LOADING" in str(error) else "the connection broke off"


@check("broker", EVICTS, FULL)
def memory_will_do() -> Iterator[Finding]:
    told = _client().info("memory")
    policy, used, most = told.get("maxmemory_policy"), told.get("used_memory", 0), told.get("maxmemory", 0)
    if policy and policy != "noeviction":
        yield EVICTS.seen(f"maxmemory-policy is {policy}.")
    if most and 100 * used > FULL_PCT * most:
        yield FULL.seen(f"{used / 1e6:,.1f} of {most / 1e6:,.1f} MB are used.")


@check("broker", QUEUE_LONG)
def queue_is_short() -> Iterator[Finding]:
    waiting = int(_client().llen(QUEUE))
    if waiting > LONG:
        yield QUEUE_LONG.seen(f"{waiting:,} tasks wait.")


@check("broker", NO_WORKER)
def workers_answer() -> Iterator[Finding]:
    if not app.control.ping(timeout=QUICK, limit=1):
        yield NO_WORKER.seen(f"None answered within {QUICK} s.")

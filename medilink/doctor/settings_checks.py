"""What the settings say: whether anything starts with them, what is weak, who would be told."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import WARNING, CheckMessage, Tags
from django.core.checks.registry import registry

from medilink import embedded
from medilink.doctor import opening
from medilink.doctor.checks import check, is_one_machine
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.weaknesses import is_loopback, weaknesses

REFUSED = Kind(
    "settings-refused",
    Gravity.ERROR,
    "The settings refuse to start anything",
    "Site, workers and commands do not start. What else stands here was looked at past that.",
    "Set the variable that is named, in .env or in the environment of every process, and start them again.",
)
HALF = Kind(
    "half-configured",
    Gravity.ERROR,
    "Some servers are configured, others are not",
    "Commands would start an embedded server for it, in which nobody else would find anything.",
    "Set the variables that are named, as .env.example says.",
)
NOTHING = Kind(
    "nothing-configured",
    Gravity.NOTE,
    "No server is configured, and no demo runs",
    "There is nothing to look at but this machine.",
    "Start the demo, or set the variables of .env.example.",
    "make demo",
)
UNSET = Kind(
    "servers-unset",
    Gravity.ERROR,
    "No server is configured, and none can be embedded here",
    "Nothing starts: this installation, as the image, has no embedded servers to fall back on.",
    "Set the variables that are named, as .env.example says.",
)
WEAK = Kind(
    "settings-weak",
    Gravity.WARNING,
    "Django finds the settings weak",
    "The site works, with less protection than it could have.",
    "Do as the message says; with HTTPS_ONLY=true most of them are gone.",
    "manage.py check --deploy",
)
NOBODY = Kind(
    "nobody-told",
    Gravity.WARNING,
    "Nobody is told when something goes wrong",
    "A night that fails is seen by whoever looks at the desk, and by nobody else.",
    "Set ALERT_EMAIL and EMAIL_URL, or ALERT_WEBHOOK_URL, and start the workers again.",
)
SITE_URL = Kind(
    "site-url",
    Gravity.WARNING,
    "SITE_URL is not where people find the site",
    "Links in mails and messages lead nowhere.",
    "Set SITE_URL to the address that people type, beginning with https://.",
)
PROXIES = Kind(
    "proxies-unset",
    Gravity.WARNING,
    "NUM_PROXIES is 0, and HTTPS comes by a proxy",
    "The site takes the proxy's address for everybody's: one person's failed log-ins lock all, and the audit is blind.",
    "Set NUM_PROXIES to how many proxies of your own stand before the site (a load balancer: 1).",
)
STATIC = Kind(
    "static-missing",
    Gravity.ERROR,
    "Static files were not collected",
    "The desk and the dashboard come without their style and scripts.",
    "Collect them, then start the site again. The image has them; plain processes need it after each upgrade.",
    "manage.py collectstatic --noinput",
)
VARIABLES = {
    "postgres": "DATABASE_URL or POSTGRES_HOST",
    "valkey": "REDIS_URL",
    "s3": "S3_BUCKET_NAME with AWS_REGION, or an S3 address and keys",
}


@check("settings", REFUSED)
def start() -> Iterator[Finding]:
    refusals = opening.state.refusals
    if refusals:
        read = {name: getattr(settings, name) for name in dir(settings)}
        yield from map(REFUSED.seen, dict.fromkeys([*refusals, *weaknesses(read)]))


@check("settings", HALF, NOTHING, UNSET)
def servers_are_named() -> Iterator[Finding]:
    missing = opening.state.unconfigured
    if len(missing) == len(embedded.CONFIGURED) and not all(map(find_spec, embedded.PACKAGES.values())):
        yield UNSET.seen("Not set: " + "; ".join(VARIABLES[name] for name in missing) + ".")
    elif len(missing) == len(embedded.CONFIGURED):
        yield NOTHING.seen("Neither DATABASE_URL, REDIS_URL nor S3 is set.")
    elif missing:
        yield HALF.seen("Not set: " + "; ".join(VARIABLES[name] for name in missing) + ".")


@check("settings", WEAK)
def are_strong() -> Iterator[Finding]:
    if not is_one_machine() and not opening.state.refusals:
        of_django = (one for one in registry.get_checks(include_deployment_checks=True) if _is_of_django(one))
        found = (
            message
            for look in of_django
            for message in look(app_configs=None, databases=None)
            if message.is_serious(WARNING)
        )
        yield from (WEAK.seen(told(message)) for message in found)


def _is_of_django(look: Any) -> bool:
    """Ours ask the database: medilink/doctor/database_checks.py."""
    return Tags.security in look.tags and look.__module__.startswith("django.")


def told(message: CheckMessage) -> str:
    """Its first sentence."""
    return f"{message.id}: {' '.join(str(message.msg).split()).partition('. ')[0].rstrip('.')}."


@check("settings", NOBODY)
def somebody_is_told() -> Iterator[Finding]:
    if not is_one_machine() and not settings.ALERT_EMAIL and not settings.ALERT_WEBHOOK_URL:
        yield NOBODY.seen("Neither ALERT_EMAIL nor ALERT_WEBHOOK_URL is set.")


@check("settings", SITE_URL)
def links_lead_here() -> Iterator[Finding]:
    url = urlsplit(settings.SITE_URL)
    if is_one_machine() or not settings.HTTPS_ONLY:
        return
    if is_loopback(url.hostname or ""):
        yield SITE_URL.seen(f"It is {settings.SITE_URL}, which is the reader's own machine.")
    elif url.scheme != "https":
        yield SITE_URL.seen(f"It is {settings.SITE_URL}, and the site speaks HTTPS only.")
    elif not _is_allowed(url.hostname or ""):
        yield SITE_URL.seen(f"Its host {url.hostname} is none of ALLOWED_HOSTS, so the site refuses it.")


def _is_allowed(host: str) -> bool:
    return any(host == one or (one.startswith(".") and f".{host}".endswith(one)) for one in settings.ALLOWED_HOSTS)


@check("settings", PROXIES)
def proxies_are_counted() -> Iterator[Finding]:
    if not is_one_machine() and settings.HTTPS_ONLY and settings.NUM_PROXIES == 0:
        yield PROXIES.seen("HTTPS_ONLY is on and NUM_PROXIES is 0.")


@check("settings", STATIC)
def static_files_are_there() -> Iterator[Finding]:
    if not settings.WHITENOISE_USE_FINDERS and not is_one_machine():
        folder = Path(settings.STATIC_ROOT)
        if not (folder / "medilink" / "desk.js").is_file():
            yield STATIC.seen(f"{folder} has no medilink/desk.js.")

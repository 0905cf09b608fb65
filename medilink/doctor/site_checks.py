"""The site as people find it, and the servers that take our mail and messages: names, certificates, open ports."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

from django.conf import settings

from medilink.doctor.checks import check, is_one_machine
from medilink.doctor.findings import Finding, Gravity, Kind
from medilink.doctor.places import is_known

QUICK = 3  # seconds
ENDS_SOON = 14  # days
TIME = "%b %d %H:%M:%S %Y %Z"  # as a certificate tells it

UNKNOWN = Kind(
    "host-unknown",
    Gravity.WARNING,
    "The name of a host is not known",
    "Whoever uses it from here fails.",
    "Check the spelling, then the DNS that this machine asks.",
)
UNSEEN = Kind(
    "site-unseen",
    Gravity.NOTE,
    "The site cannot be seen from here",
    "This may be as it should be: a private network that leads out another way. Or nobody can see it.",
    "Open it in a browser from outside.",
)
INVALID = Kind(
    "certificate-invalid",
    Gravity.ERROR,
    "The site's certificate is not valid",
    "Browsers and programs refuse the site.",
    "Renew it, and see that the proxy serves it with its whole chain, for this very name.",
)
ENDING = Kind(
    "certificate-ending",
    Gravity.WARNING,
    "The site's certificate ends soon",
    "From then on browsers and programs refuse the site.",
    "See in the proxy's log why it was not renewed; ACM and Caddy do it by themselves a month before.",
    "docker compose logs proxy",
)
MAIL = Kind(
    "mail-away",
    Gravity.WARNING,
    "The mail server does not answer",
    "Nobody is told by mail, and no nightly report is sent.",
    "Check EMAIL_URL and whether this machine may reach the port.",
)


@check("site", UNKNOWN, UNSEEN, INVALID, ENDING)
def site_can_be_entered() -> Iterator[Finding]:
    url = urlsplit(settings.SITE_URL)
    host, port = url.hostname or "", url.port or 443
    if is_one_machine() or url.scheme != "https":
        return
    if not is_known(host):
        yield UNKNOWN.seen(f"{host}, of SITE_URL.")
        return
    try:
        ends = _end_of_certificate(host, port)
    except ssl.SSLError as error:
        yield INVALID.seen(f"{host}:{port}: {getattr(error, 'verify_message', '') or error.reason}.")
    except OSError:
        yield UNSEEN.seen(f"{host}:{port} does not answer within {QUICK} s.")
    else:
        days = (ends - datetime.now(UTC)).days
        if days < ENDS_SOON:
            yield ENDING.seen(f"That of {host} ends in {days} days.")


def _end_of_certificate(host: str, port: int) -> datetime:
    with (
        socket.create_connection((host, port), timeout=QUICK) as plain,
        ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    return datetime.strptime(str(certificate["notAfter"]), TIME).replace(tzinfo=UTC)


@check("site", UNKNOWN)
def messages_have_somewhere_to_go() -> Iterator[Finding]:
    host = urlsplit(settings.ALERT_WEBHOOK_URL).hostname
    if host and not is_known(host):
        yield UNKNOWN.seen(f"{host}, of ALERT_WEBHOOK_URL.")


@check("site", MAIL)
def mail_is_taken() -> Iterator[Finding]:
    if not settings.ALERT_EMAIL or not settings.EMAIL_BACKEND.endswith("smtp.EmailBackend"):
        return
    place = f"{settings.EMAIL_HOST}:{settings.EMAIL_PORT}"
    try:
        socket.create_connection((settings.EMAIL_HOST, settings.EMAIL_PORT), timeout=QUICK).close()
    except OSError as error:
        yield MAIL.seen(f"{place}: {error.strerror or 'no answer'}.")

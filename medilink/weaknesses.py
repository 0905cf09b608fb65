"""Why the site does not start: what settings would show patients' data, or send it in the clear. Knows no Django.

Plain connections are refused to other machines only: what has no dot in its name lies on this one, in a network that
compose has made, and never leaves it.
"""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

PUBLIC_KEY = "for-development-on-loopback-only"  # how docker-compose.yml's begins; its key of DATA_KEYS whole
FORGETFUL_STORE = "http://s3:5000"
PUBLIC_PASSWORD = "medilink"  # noqa: S105  # its database's
PUBLIC_WEB_LOGIN = "//medilink_web:medilink_web@"
ENCRYPTED = {"require", "verify-ca", "verify-full"}


def weaknesses(said: Mapping[str, Any]) -> Iterator[str]:
    """Each reason in words, of settings outside the embedded mode."""
    if said["DEBUG"]:
        yield "DEBUG is for the embedded mode only: error pages would show patients' data."
    if "*" in said["ALLOWED_HOSTS"]:
        yield "ALLOWED_HOSTS must name the hosts that this site answers for; '*' is refused."
    if not all(map(is_loopback, said["ALLOWED_HOSTS"])):
        yield from _left_from_compose(said)
    if "*" in said["CORS_ALLOWED_ORIGINS"]:
        yield "CORS_ALLOWED_ORIGINS must name each site, as https://app.example.org; '*' is refused."
    if said["HTTPS_ONLY"]:
        yield from _in_the_clear(said)


def _left_from_compose(said: Mapping[str, Any]) -> Iterator[str]:
    """What stands in docker-compose.yml for all to read, where not only this machine is served."""
    own = "is the one that stands in docker-compose.yml for all to read; set your own."
    if said["SECRET_KEY"].startswith(PUBLIC_KEY):
        yield f"SECRET_KEY {own}"
    if PUBLIC_KEY.encode() in said["DATA_KEYS"].values():
        yield f"A key of DATA_KEYS {own}"
    if said["DATABASES"]["default"]["PASSWORD"] == PUBLIC_PASSWORD:
        yield f"The database's password {own}"
    if said["S3_ENDPOINT_URL"] == FORGETFUL_STORE:
        yield "AWS_ENDPOINT_URL_S3 is compose's stand-in, which keeps nothing; set it empty for AWS, or your own."
    if PUBLIC_WEB_LOGIN in said["DATABASE_WEB_URL"]:
        yield f"The password of DATABASE_WEB_URL {own} POSTGRES_WEB_PASSWORD gives it to the role, with migrate."


def _in_the_clear(said: Mapping[str, Any]) -> Iterator[str]:
    for database in said["DATABASES"].values():
        if not is_near(database["HOST"]) and database["OPTIONS"].get("sslmode") not in ENCRYPTED:
            yield "The database is on another machine: its sslmode must be verify-full, or require at least."
    if said["REDIS_URL"].startswith("redis:") and not is_near(_host(said["REDIS_URL"])):
        yield "REDIS_URL is on another machine and not encrypted: give a rediss:// address."
    for name in ("S3_ENDPOINT_URL", "ALERT_WEBHOOK_URL"):
        if (said[name] or "").startswith("http:") and not is_near(_host(said[name])):
            yield f"{'AWS_ENDPOINT_URL_S3' if name[0] == 'S' else name} is not encrypted: give an https:// address."
    for origin in said["CORS_ALLOWED_ORIGINS"]:
        if not origin.startswith("https://"):
            yield f"CORS_ALLOWED_ORIGINS names {origin!r}; a site that is not encrypted may be anybody's."


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_near(host: str) -> bool:
    """On this machine: a socket, loopback, or another container of its own."""
    return host == "" or host.startswith("/") or is_loopback(host) or not ({".", ":"} & {*host})

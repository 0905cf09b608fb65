"""Who fails to log in too often has to wait: counted in the database, for a name and for an address.

A try is counted before it is made and taken back when it succeeds, so that fifty at once are no more than five. The
answer to the sixth is the same whether the password was right, and whether there is anybody of that name.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from clinical.models import LoginFailures
from clinical.requests import client_address

AN_ADDRESS_HAS = 10  # times what a name has; a whole clinic may come from one
RATE = re.compile(r"([0-9]+)/([0-9]*)(s|sec|min|hour|day)")
SECONDS = {"s": 1, "sec": 1, "min": 60, "hour": 3600, "day": 86400}
AN_ENDS_NETWORK = 64  # bits of an IPv6 address; whoever has one has 2**64 of them

# What is more than allowed is refused and not counted, so that nobody's wait is prolonged by others who try on.
COUNT = """
INSERT INTO login_failures AS known (who, failed, since) VALUES (%(who)s, 1, %(now)s)
ON CONFLICT (who) DO UPDATE SET
    failed = CASE WHEN known.since <= %(old)s THEN 1 ELSE least(known.failed, %(most)s) + 1 END,
    since = CASE WHEN known.since <= %(old)s OR known.failed = %(most)s - 1 THEN %(now)s ELSE known.since END
RETURNING failed, since
"""


class Locked(Exception):
    """Too many failures; `seconds` until the next try."""

    def __init__(self, seconds: float) -> None:
        super().__init__("Too many failed log-ins.")
        self.seconds = seconds


def rate(name: str) -> tuple[int, int] | None:
    """(how many, in how many seconds) of a setting such as `600/min` or `5/15min`; None where it is off."""
    text = getattr(settings, name)
    if text == "off":
        return None
    parts = RATE.fullmatch(text)
    if parts is None:
        raise ImproperlyConfigured(f"{name} is {text!r}; write it as 600/min or 5/15min, or off.")
    return int(parts[1]), int(parts[2] or 1) * SECONDS[parts[3]]


def take_a_try(name: str) -> None:
    """Counts a try; raises Locked where there is none left. Of names and addresses alike: the first that is refused."""
    limit = rate("THROTTLE_LOGIN")
    if limit is None:
        return
    most, period = limit
    now = timezone.now()
    counted: list[bytes] = []
    for who, allowed in ((of_name(name), most), *((one, most * AN_ADDRESS_HAS) for one in _of_address())):
        failed, since = _counted(who, allowed, now, now - timedelta(seconds=period))
        if failed > allowed:
            _take_back(counted)
            raise Locked(max(1.0, (since - now).total_seconds() + period))
        counted.append(who)


def give_back(name: str) -> None:
    """The try went well, and more is to be shown."""
    _take_back([of_name(name), *_of_address()])


def forgive(name: str) -> None:
    """The log-in went well: earlier failures of this name are forgotten, those of the address are not."""
    LoginFailures.objects.filter(who=of_name(name)).delete()
    _take_back([*_of_address()])


def unlock(name: str) -> bool:
    """Whether there was anything to forget."""
    return LoginFailures.objects.filter(who=of_name(name)).delete()[0] > 0


def locked(names: Iterable[str]) -> set[str]:
    """Those who have to wait now."""
    limit = rate("THROTTLE_LOGIN")
    if limit is None:
        return set()
    known = {of_name(name): name for name in names}
    since = timezone.now() - timedelta(seconds=limit[1])
    found = LoginFailures.objects.filter(who__in=[*known], failed__gte=limit[0], since__gt=since)
    return {known[bytes(who)] for who in found.values_list("who", flat=True)}


def of_name(name: str) -> bytes:
    """Keyed: people type passwords where their name belongs."""
    return hmac.digest(settings.SECRET_KEY.encode(), f"log-in name {name.casefold()}".encode(), hashlib.sha256)


def _of_address() -> Iterator[bytes]:
    address = client_address.get()
    if not address:
        return  # a command, or a socket of this machine
    if ip_address(address).version == 6:
        address = str(ip_network((address, AN_ENDS_NETWORK), strict=False))
    yield hmac.digest(settings.SECRET_KEY.encode(), f"log-in address {address}".encode(), hashlib.sha256)


def _counted(who: bytes, most: int, now: datetime, old: datetime) -> tuple[int, datetime]:
    with connection.cursor() as cursor:
        cursor.execute(COUNT, {"who": who, "most": most, "now": now, "old": old})
        failed, since = cursor.fetchone()
        return failed, since


def _take_back(counted: list[bytes]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE login_failures SET failed = greatest(failed - 1, 0) WHERE who = ANY(%s::bytea[])", [counted]
        )

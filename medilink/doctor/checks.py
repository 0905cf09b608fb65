"""The register of checks. A module by subject declares its own; those of a lane run one after the other."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.db import connection, connections, transaction

from medilink.doctor import opening
from medilink.doctor.findings import KINDS, Finding, Kind

# In the order in which they are told. What needs the database shares its lane, behind what looks whether it is there.
LANES = {
    "settings": "settings",
    "database": "database",
    "schedule": "database",
    "work": "database",
    "backups": "database",
    "replica": "replica",
    "broker": "broker",
    "storage": "storage",
    "machine": "machine",
    "site": "site",
}
NEEDS = {"database": "postgres", "broker": "valkey", "storage": "s3"}  # lanes, and what is configured for them


@dataclass(frozen=True)
class Check:
    name: str
    subject: str
    kinds: tuple[Kind, ...]
    look: Callable[[], Iterable[Finding]]
    is_first: bool
    is_last: bool

    @property
    def lane(self) -> str:
        return LANES[self.subject]

    def findings(self) -> list[Finding]:
        """In a transaction of its own where it asks the database: none spoils another one, and none writes."""
        if self.is_first or self.lane != "database":
            return [*self.look()]
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            return [*self.look()]


CHECKS: list[Check] = []
Look = Callable[[], Iterator[Finding]]


def check(subject: str, *kinds: Kind, is_first: bool = False, is_last: bool = False) -> Callable[[Look], Look]:
    """`is_first`: finds out whether its lane can be looked at at all; runs whatever was asked for of the lane.

    `is_last`: takes long, so that a busy machine leaves out this one and not those behind it.
    """

    def register(look: Look) -> Look:
        CHECKS.append(Check(look.__name__, subject, kinds, look, is_first, is_last))
        return look

    return register


def load() -> None:
    """Once Django is set up."""
    for subject in LANES:
        import_module(f"medilink.doctor.{subject}_checks")


def chosen(only: Collection[str]) -> list[Check]:
    """By subject or code, all where nothing is named; none of a lane that nothing is configured for."""
    load()
    lanes = {lane for lane, server in NEEDS.items() if server in opening.state.unconfigured}
    lanes |= {"replica"} - {*connections.settings}
    asked = [one for one in CHECKS if not only or one.subject in only or any(kind.code in only for kind in one.kinds)]
    needed = {one.lane for one in asked}
    found = [one for one in CHECKS if one.lane not in lanes and (one in asked or (one.is_first and one.lane in needed))]
    order = [*dict.fromkeys(LANES.values())]
    return sorted(found, key=lambda one: (order.index(one.lane), not one.is_first, one.is_last))


def is_known(name: str) -> bool:
    load()
    return name in LANES or name in KINDS


def is_one_machine() -> bool:
    """Embedded servers, for one person: there the rules for production would only be in the way."""
    return bool(settings.EMBEDDED) and not opening.state.refusals

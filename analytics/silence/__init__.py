"""The silent-facility watch: who fell silent, how, since when, and what stewards decide about it.

`watch` judges and stores, `judgement` judges, `facts` reads, `year` invents a year to measure it by. What pages need
stands here, so that they need not load arithmetic.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Count, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from analytics.facility_signals import FacilitySignal, FacilitySignalQuerySet, WatchedDay
from clinical import audit

if TYPE_CHECKING:
    from clinical.models import User

Kind = FacilitySignal.Kind
State = FacilitySignal.State


class NotPossible(Exception):
    """The message says why."""


@dataclass(frozen=True)
class Overview:
    """Of the last watched day: open signals by kind, the worst of them, and how many facilities are too new to judge.

    `day` is None where no day was ever watched. `too_new` and `together` are of the whole country.
    """

    day: date | None
    by_kind: Counter[str]
    worst: list[FacilitySignal]
    too_new: int = 0
    together: int = 0

    @property
    def open(self) -> int:
        return self.by_kind.total()


def overview(user: "User", worst: int = 5) -> Overview:
    """What the first page tells this user, in the user's scope; two queries. `worst` come with their facilities."""
    visible = FacilitySignal.objects.visible_to(user).open()
    counts = {kind: _count(visible.filter(kind=kind)) for kind in Kind.values}
    last = WatchedDay.objects.order_by("-day").annotate(**counts).first()
    if last is None:
        return Overview(None, Counter(), [])
    by_kind = Counter({kind: getattr(last, kind) for kind in Kind.values if getattr(last, kind)})
    signals = [*visible.worst_first().select_related("facility")[:worst]]
    return Overview(last.day, by_kind, signals, last.too_new, last.together)


def _count(signals: "QuerySet[FacilitySignal]") -> Coalesce:
    counted = signals.order_by().annotate(all=Value(1)).values("all").annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(counted), 0)


def mute(signals: FacilitySignalQuerySet, *, until: date, reason: str, today: date, by: "User | None") -> int:
    """Nobody is shown these until that day is over; a day in order ends them all the same. Returns how many."""
    if not reason.strip():
        raise NotPossible("Say why it may stay silent.")
    if until < today:
        raise NotPossible("The day until which it is muted has passed already.")
    columns = {"state": State.MUTED, "muted_until": until, "muted_why": reason.strip(), "muted_by": by}
    return _decide(signals.unsettled(), "mute", by, columns, until=until.isoformat(), reason=reason.strip())


def unmute(signals: FacilitySignalQuerySet, *, by: "User | None") -> int:
    """Open again at once; who had muted it and why stays until it is muted again. Returns how many."""
    return _decide(signals.filter(state=State.MUTED), "unmute", by, {"state": State.OPEN, "muted_until": None})


@transaction.atomic
def _decide(
    signals: "QuerySet[FacilitySignal]", action: str, by: "User | None", columns: dict[str, Any], **details: Any
) -> int:
    chosen = [*signals.select_for_update(of=("self",)).values_list("pk", flat=True)]
    for pk in chosen:
        audit.note(by, action, "facility_signals", pk, **details)
    return FacilitySignal.objects.filter(pk__in=chosen).update(**columns)

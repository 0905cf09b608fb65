"""To DHIS2 and back: one facility after the other, each answer kept. What was accepted and is unchanged is not sent.

DHIS2 writes values by their key, so that the same sending twice is one; a sending that broke off is simply repeated.
"""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from django.conf import settings
from django.utils import timezone

from analytics.dhis2.models import Sending
from analytics.dhis2.report import DataValueSet, Report

PATH = "/api/dataValueSets?importStrategy=CREATE_AND_UPDATE"
SECONDS = 30
WAITS = (1.0, 4.0, 15.0)  # between attempts
AGAIN = {429, 500, 502, 503, 504}
CONFLICTS_KEPT = 50
State = Sending.State


class Unreachable(Exception):
    """DHIS2 did not answer, or not with anything that says what it did."""


@dataclass
class Answer:
    """The import summary of one sending."""

    state: str
    imported: int = 0
    updated: int = 0
    ignored: int = 0
    conflicts: list[dict[str, str]] = field(default_factory=list)


def send(report: Report, *, again: bool = False) -> Counter[str]:
    """How many facilities ended in which state, `unchanged` among them. Stops at the first that cannot be reached."""
    accepted = dict(
        Sending.objects.filter(month=report.month, state=State.ACCEPTED).values_list("facility_id", "digest")
    )
    ends: Counter[str] = Counter()
    for one in report.sets:
        if accepted.get(one.facility_id) == one.digest and not again:
            ends["unchanged"] += 1
            continue
        try:
            answer, attempts = _post(one.body)
        except Unreachable:
            _keep(report, one, Answer(State.FAILED), len(WAITS) + 1)
            raise
        _keep(report, one, answer, attempts)
        ends[answer.state] += 1
    return ends


def _keep(report: Report, one: DataValueSet, answer: Answer, attempts: int) -> None:
    Sending.objects.update_or_create(
        month=report.month,
        facility_id=one.facility_id,
        defaults={
            "org_unit": one.body["orgUnit"],
            "digest": one.digest,
            "sent_at": timezone.now(),
            "attempts": attempts,
            **vars(answer),
        },
    )


def _post(body: dict[str, Any]) -> tuple[Answer, int]:
    request = Request(  # noqa: S310  # the settings let only http(s) through
        settings.DHIS2_URL.rstrip("/") + PATH,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"ApiToken {settings.DHIS2_TOKEN}"},
    )
    for attempt, wait in enumerate((*WAITS, None), 1):
        try:
            with urlopen(request, timeout=SECONDS) as response:  # noqa: S310  # nosec B310
                return _read(response.read()), attempt
        except HTTPError as error:
            with error:  # it holds the connection
                if error.code == 409:  # how DHIS2 says that there were conflicts: the summary comes with it
                    return _read(error.read()), attempt
                if error.code not in AGAIN:
                    raise Unreachable(f"DHIS2 answered {error.code}.") from error
        except (URLError, TimeoutError, ConnectionError):
            pass
        if wait is not None:
            time.sleep(wait)
    raise Unreachable("DHIS2 does not answer.")


def _read(answer: bytes) -> Answer:
    """Newer versions put the summary into `response`."""
    try:
        whole = json.loads(answer)
        summary = whole.get("response", whole)
        counts = summary.get("importCount", {})
        numbers = {name: int(counts.get(name, 0)) for name in ("imported", "updated", "ignored")}
        conflicts = [
            {name: str(conflict.get(name, ""))[:200] for name in ("object", "value")}
            for conflict in summary.get("conflicts", [])[:CONFLICTS_KEPT]
        ]
        status = str(summary["status"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreachable("DHIS2 answered something that is no import summary.") from error
    if status == "SUCCESS" and not conflicts and not numbers["ignored"]:
        state = State.ACCEPTED
    else:
        state = State.PARTLY if numbers["imported"] + numbers["updated"] else State.REFUSED
    return Answer(state, **numbers, conflicts=conflicts)

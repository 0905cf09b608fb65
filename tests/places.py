"""One country for the tests of who sees what: four places, and each with a word of its own in all that is theirs.

A word of another place in an answer is a leak; so is VEIL, which stands in all that is masked, for who sees masks.
"""

import os
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule

from analytics.dhis2.models import OrgUnit, Sending
from analytics.facility_signals import BatchShare, FacilitySignal, WatchedDay
from analytics.history import DataOwner
from analytics.models import CheckRun, MartRefresh, MartState
from analytics.monitor_results import MonitorResult
from analytics.nightly_reports import NightlyReport, ReportAddressee
from clinical import audit, vital_readings
from clinical.access import Role
from clinical.api.resource import Listing
from clinical.duplicates import search
from clinical.models import (
    AuditEvent,
    DuplicatePair,
    DuplicateSearch,
    Facility,
    ProgramToken,
    SmartClient,
    Table,
    TermText,
    User,
)
from ingestion.models import IngestRun, Rule, RuleUse, Source
from medilink.models import Alert
from medilink.urls import api
from tests import rows, scenes
from tests.callers import Caller
from tests.ingestion.factories import batch

VEIL = "Zqveil"
DAY = date(2026, 11, 20)
SCOPES = ("facility", "LGA", "state", "nation")


@dataclass
class Place:
    """A facility, and one of everything at it, under the name that routes and tables have for it."""

    word: str
    state: str
    lga: str
    things: dict[str, Any] = field(default_factory=dict)

    @property
    def facility(self) -> Facility:
        return self.things["facility"]

    def is_in(self, scope: str, home: "Place") -> bool:
        """Whether a user whose scope is the facility, LGA or state of `home`, or the nation, may see it."""
        return {
            "facility": self is home,
            "LGA": (self.state, self.lga) == (home.state, home.lga),
            "state": self.state == home.state,
            "nation": True,
        }[scope]


def country() -> dict[str, Place]:
    """Own facility, another of its LGA, another of its state, and one of another state; their marts are fresh."""
    places = {
        "own": Place("Zqalpha", "KANO", "Dala"),
        "same LGA": Place("Zqbravo", "KANO", "Dala"),
        "same state": Place("Zqcharlie", "KANO", "Fagge"),
        "other state": Place("Zqdelta", "LAGOS", "Ikeja"),
    }
    for number, place in enumerate(places.values()):
        _settle(place, number)
    vital_readings.read_due()
    search.search(Table.PATIENTS)
    for place in places.values():
        place.things["pair"] = DuplicatePair.objects.get(facility=place.facility)
    # A row that names the one state may stand in the other's file.
    RuleUse.objects.create(rule=places["own"].things["rule"], batch=places["other state"].things["batch"], line=2)
    rows.refresh_all()
    for place in places.values():
        place.things["text"] = TermText.objects.get(text=f"{place.word} pox")
    somebody = User.objects.create_user("somebody")
    audit.note(somebody, "update", "facilities", 1)
    now = timezone.now()
    of_nobody = {  # what is at no place
        "event": AuditEvent.objects.latest("id"),
        "run": IngestRun.objects.create(kind="manual"),
        "source": Source.objects.create(source="*/patients.csv", delivers="append"),
        "user": somebody,
        "search": DuplicateSearch.objects.latest("id"),
        "token": ProgramToken.objects.create(user=somebody, digest=b"digest", expires_at=now),
        "client": SmartClient.objects.create(client_id="lab", user=somebody, keys={"keys": []}, scopes=["system/*.rs"]),
        "alert": Alert.objects.create(cause="x", what="Trouble", link="/admin/"),
        "check": CheckRun.objects.create(started_at=now),
        "owner": DataOwner.objects.get(name="stewards"),
        "day": WatchedDay.objects.create(day=DAY, watched_at=now, facilities=0),
        "refresh": MartRefresh.objects.create(mart="triage_trends", started_at=now, why="asked"),
        "state": MartState.objects.get_or_create(
            mart="triage_trends",
            defaults={"as_of": now, "snapshot": "1:1:", "system": 1, "lagos_day": DAY, "reads": [], "rows": 0},
        )[0],
        "schedule": CrontabSchedule.objects.latest("id"),
        "interval": IntervalSchedule.objects.create(every=1, period="days"),
        "clock": ClockedSchedule.objects.create(clocked_time=now),
        "sun": SolarSchedule.objects.create(event="sunset", latitude=9, longitude=8),
        "task": PeriodicTask.objects.latest("id"),
    }
    for place in places.values():
        place.things |= of_nobody
    return places


def kept(blocker: Any) -> AbstractContextManager[dict[str, Place]]:
    """The country, made once for all tests of a module: what each of them changes is taken back."""
    return scenes.kept(blocker, country)


def _settle(place: Place, number: int) -> None:
    word, things = place.word, place.things
    known = {"state": place.state, "lga": place.lga, "lga_name": place.lga, "type": "Clinic"}
    at = things["facility"] = rows.facility(name=f"{word} Clinic", **known)
    named = {"first_name": VEIL, "last_name": f"{word} {VEIL}", "dob": date(1981, 3, 4 + number)}
    phones = [f"+23480312340{number}{twin}" for twin in (1, 2)]
    people = [
        rows.patient(at, **named, patient_number=f"{VEIL}-{word}-1", phone=phones[0]),
        rows.patient(at, **named | {"first_name": f"{VEIL}e"}, patient_number=f"{VEIL}-{word}-2", phone=phones[0]),
    ]
    things["patient"] = people[0]
    today = timezone.localdate()
    said = {"medications": f"{word} syrup", "treatment": VEIL, "notes": f"{VEIL} {word}", "record_id": f"{VEIL}-{word}"}
    things["record"] = rows.record(people[0], today, diagnosis=f"{word} fever", record_type=word, **said)
    signs = f"{VEIL} BP 120/80, HR 70, RR 16, T 37.0, SpO2 98% RA, AVPU: A"  # of who needs no second level
    said = {"chief_complaint": f"{VEIL} {word}", "vital_signs": signs, "recommendations": [VEIL], "provider": VEIL}
    things["visit"] = rows.visit(people[0], today, 2, visit_id=f"{VEIL}-{word}", conditions=[f"{word} pox"], **said)
    for back in range(1, 3 + number):
        rows.visit(people[0], today - timedelta(days=back), 3, conditions=[f"{word} pox"])
    # A state's folder is what makes a batch its stewards' to decide.
    held = batch(
        object_key=f"medical_records/input/{place.state}/{word}/patients.csv",
        status="held",
        reasons=["X"],
        folder=f"{place.state}/{word}",
    )
    raw = {"first_name": VEIL, "last_name": f"{word} {VEIL}", "dob": "03/04/1981"}
    refused = {"reasons": ["DATE_AMBIGUOUS:dob"], "raw": raw, "dataset": "patients", "source": held.source}
    things["batch"] = held
    things["refused"] = held.rejected_rows.create(line=2, facility=at, **refused)
    things["sighting"] = held.sightings.create(columns=1, ids=[people[0].pk])
    things["rule"] = Rule.objects.create(about="sex", text=word, value="F", state=place.state)
    known = {"day": DAY, "folder": held.folder, "source": f"{word}.csv", "dataset": "patients", "measure": "volume"}
    things["monitor"] = MonitorResult.objects.create(**known, value=1, among=1, verdict="learning")
    things["share"] = BatchShare.objects.create(batch=held, facilities=[at.pk], rows=[1])
    report = {
        "as_of": timezone.now(),
        "facts": {"verdict": {"level": "good", "words": "The night worked."}},
        "pdf": b"%PDF",
    }
    things["report"], _ = NightlyReport.objects.get_or_create(night=DAY, state=place.state, defaults=report)
    email = f"{place.state.lower()}@example.org"
    things["addressee"], _ = ReportAddressee.objects.get_or_create(email=email, state=place.state)
    counts = dict.fromkeys(("observed", "expected_low", "expected_high", "baseline_days", "rows_amiss"), 0)
    known = {"kind": "no_file", "began_on": DAY, "last_on": DAY, "recent": []}
    things["unit"] = OrgUnit.objects.create(facility=at, uid=f"aB345678{number:03}")
    sent = {"month": DAY.replace(day=1), "org_unit": "aB345678900", "state": "accepted", "sent_at": timezone.now()}
    things["sending"] = Sending.objects.create(facility=at, **sent)
    things["signal"] = FacilitySignal.objects.create(facility=at, **known, **counts)


def caller(role: str, scope: str, home: Place) -> Caller:
    """Somebody who holds the role there, as `create_user` makes them; also a superuser, and a user without any role."""
    if role == "superuser":
        made = Caller()
        made.user.is_superuser = made.user.is_staff = True
    elif role == "nobody":
        made = Caller()
    else:
        made = Caller((role, membership(scope, home)))
        made.user.is_staff = role == Role.STEWARD
    made.user.save()
    return made


def membership(scope: str, home: Place) -> dict[str, Any]:
    return {
        "facility": {"facility": home.facility},
        "LGA": {"state": home.state, "lga": home.lga},
        "state": {"state": home.state},
        "nation": {},
    }[scope]


ROLES = tuple(Role)
UNVEILED = (*(role for role in ROLES if role not in (Role.ANALYST, Role.AUDITOR)), "superuser")


def leaks(role: str, scope: str, home: Place, places: dict[str, Place], text: str) -> list[str]:
    """Words in an answer that its caller may not see."""
    text = text.lower()
    found = [one.word for one in places.values() if not one.is_in(scope, home) and one.word.lower() in text]
    return found + ([VEIL] if role not in UNVEILED and VEIL.lower() in text else [])


def as_text(answer: Any) -> str:
    return (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode(errors="replace")


def some(tried: list[Any], one_in: int, what: str) -> list[Any]:
    """One in so many, others in each run: the run says at its head with which TEST_SEED it is had again."""
    chance = random.Random(f"{os.environ['TEST_SEED']} {what}")
    return chance.sample(tried, -(-len(tried) // one_in))


# Every list of the API but that of the audit, which is the nation's; `facility-stats` is no resource of the router.
VIEWS = {f"api/{name}": view for name, view, _ in api.registry if issubclass(view, Listing) and name != "audit-events"}
LISTS = (*VIEWS, "api/analytics/facility-stats")


def filters_of(address: str) -> frozenset[str]:
    return frozenset(VIEWS[address].filterset_class.base_filters) if address in VIEWS else frozenset({"state"})

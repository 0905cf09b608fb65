"""Who may ask for what, and where: every role and scope at every address, against the table of tests/matrix.csv.

The addresses are those of the URL resolver: one without a line in the table fails, and so does a line without one.
The same holds of the table and the OpenAPI schema, which has to list every status that somebody is given.

What a cell of the table says of a caller: `own` is answered within the caller's scope and absent outside; `state` is
refused below the scope of a state; `folder` is absent below it, because files belong to states; `area` below an LGA,
`country` below the nation's; `decide` is `own`, but refused outside; `nation` is refused
below the nation's; `all` is answered, `absent`, `no` (403) and `no method` (405) are not, `moved` is sent on to its
page; `log in` is asked first who it is.
"""

import csv
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from drf_spectacular.generators import SchemaGenerator

from tests.places import ROLES, SCOPES, VEIL, Place, as_text, caller, kept, leaks, some

TABLE = Path(__file__).with_name("matrix.csv")
CALLERS = [(role, scope) for role in ROLES for scope in SCOPES]
CALLERS += [(role, "nation") for role in ("superuser", "nobody", "anonymous")]
OF_PLACES = {  # what stands at a route's id, by the folder of its address
    "facilities": "facility",
    "patients": "patient",
    "medical-records": "record",
    "triage-visits": "visit",
    "triage-second-look": "visit",
    "facility": "facility",
    "patient": "patient",
    "medicalrecord": "record",
    "triagevisit": "visit",
    "secondlook": "visit",
    "batches": "batch",
    "ingestbatch": "batch",
    "rejected-rows": "refused",
    "rejectedrow": "refused",
    "facilitysignal": "signal",
    "orgunit": "unit",
    "sending": "sending",
    "reports": "report",
    "nightlyreport": "report",
    "reportaddressee": "addressee",
    "duplicatepair": "pair",
    "termtext": "text",
    "auditlog": "batch",
    "sighting": "sighting",
    "batchshare": "share",
    "monitorresult": "monitor",
    "rule": "rule",
    "Organization": "facility",
    "Location": "facility",
    "Patient": "patient",
    "Encounter": "visit",
    "Condition": "visit",
    "Observation": "visit",
    "MedicationStatement": "record",
    "Provenance": "patient",
    "Group": "facility",
}
FHIR_IDS = {  # of what is made of it, where that is not its own id
    "Encounter": "visit-{}",
    "Condition": "visit-{}-1",
    "Observation": "visit-{}-acuity",
    "MedicationStatement": "record-{}",
    "Provenance": "patient-{}",
    "Group": "facility-{}",
}
OF_NO_PLACE = {
    "audit-events": "event",
    "auditevent": "event",
    "AuditEvent": "event",
    "runs": "run",
    "ingestrun": "run",
    "source": "source",
    "user": "user",
    "duplicatesearch": "search",
    "programtoken": "token",
    "smartclient": "client",
    "alert": "alert",
    "checkrun": "check",
    "dataowner": "owner",
    "watchedday": "day",
    "martrefresh": "refresh",
    "martstate": "state",
    "crontabschedule": "schedule",
    "intervalschedule": "interval",
    "clockedschedule": "clock",
    "solarschedule": "sun",
    "periodictask": "task",
}


class Route(NamedTuple):
    method: str
    address: str

    @property
    def is_page(self) -> bool:
        return self.address.startswith("admin/")

    @property
    def thing(self) -> str | None:
        """Of which place it is asked for."""
        return _of(self, OF_PLACES)

    @property
    def is_list(self) -> bool:
        folder = self.address.rstrip("/").rpartition("/")[2]
        return self.method == "get" and "<" not in self.address and (not self.is_page or folder in OF_PLACES)

    @property
    def has_places(self) -> bool:
        """Whether it is about something at a place."""
        return bool(self.thing) or self.address.startswith("api/analytics/")

    def id_of(self, thing: Any) -> str:
        return _of(self, FHIR_IDS).format(thing.pk) if _of(self, FHIR_IDS) else str(thing.pk)

    def path(self, place: Place) -> str:
        def fill(found: re.Match[str]) -> str:
            thing = "run" if found[1] == "run_id" else self.thing or _of(self, OF_NO_PLACE)
            if thing and found[1] in ("pk", "object_id", "id", "user_id", "run_id"):
                return self.id_of(place.things[thing])
            return {"line": "2", "name": "DATE_AMBIGUOUS"}.get(found[1], "1")

        return "/" + re.sub(r"<(\w+)>", fill, self.address)


def _of(route: Route, known: dict[str, str]) -> str | None:
    return next((known[part] for part in reversed(route.address.split("/")) if part in known), None)


@cache
def routes() -> tuple[Route, ...]:
    return tuple(
        sorted({Route(method, _plain(pattern)) for pattern, view in _walk(get_resolver()) for method in _methods(view)})
    )


def _walk(resolver: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for one in resolver.url_patterns:
        here = before + str(one.pattern)
        if hasattr(one, "url_patterns"):
            yield from _walk(one, here)
        else:
            yield here, one.callback


def _plain(pattern: str) -> str:
    """`api/^patients/(?P<pk>[^/.]+)/?$` and `admin/…/<path:object_id>/` with the names of their parts alone."""
    pattern = re.sub(r"\(\?P(<\w+>)(?:[^()]|\([^()]*\))*\)", r"\1", pattern)
    return re.sub(r"<\w+:", "<", pattern).replace("^", "").replace("/?$", "").removesuffix("$")


def _methods(view: Any) -> list[str]:
    if actions := getattr(view, "actions", None):
        return [method for method in actions if method != "head"]  # the framework adds it with a view's first request
    if kind := getattr(view, "cls", None):
        return [method for method in ("get", "post", "put", "patch", "delete") if hasattr(kind, method)]
    return ["get", "post"]


@cache
def table() -> dict[Route, dict[str, str]]:
    with TABLE.open(newline="") as file:
        return {Route(line.pop("method"), line.pop("address")): line for line in csv.DictReader(file)}


def test_every_address_has_a_line_in_the_table():
    assert set(routes()) - set(table()) == set()


def test_every_line_of_the_table_has_its_address():
    assert set(table()) - set(routes()) == set()


# --- The description


@cache
def described() -> dict[tuple[str, str], set[int]]:
    """Of each operation of the OpenAPI schema, with * for the parts of its path: the statuses that it lists."""
    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return {
        (method, re.sub("{[^}]+}", "*", path.strip("/"))): {int(status) for status in operation["responses"]}
        for path, operations in paths.items()
        for method, operation in operations.items()
    }


def operation_of(route: Route) -> tuple[str, str]:
    return route.method, re.sub("<[^>]+>", "*", route.address)


def test_the_table_and_the_description_are_of_the_same_operations():
    of_api = [route for route in table() if route.address.startswith("api/")]
    describing = ("api/schema", "api/docs", "api/contract")  # and not described
    api = {operation_of(route) for route in of_api if not route.address.startswith(describing)}
    assert api == set(described())


# --- What is asked, and what came of it


def body(route: Route, place: Place) -> dict[str, Any]:
    at, name = {"facility_id": place.facility.pk}, route.address.rpartition("/")[2]
    own = {"facility": place.facility.pk, "patient": place.things["patient"].pk}
    event = at | {"patient_id": own["patient"]}
    bodies = {
        "facilities": {"name": "New", "state": place.state, "lga": place.lga, "type": "Clinic"},
        "patients": at | {"first_name": "Ada", "last_name": "New", "sex": "F", "dob": "1990-01-01"},
        "medical-records": event | {"record_type": "Lab", "data": {"diagnosis": "Malaria"}},
        "triage-visits": event | {"triage_level": 2},
        "search": {"name": f"{place.word} {VEIL}"},
        "batches": {"dry_run": True},
        "release": {"as": "new_events"},
        "$everything": {"resourceType": "Parameters"},
        "$export": {"resourceType": "Parameters"},
    }
    if name in ("dismiss", "replay", "discard"):
        reason = {} if name == "replay" else {"reason": "said so"}
        return reason if "<" in route.address else reason | {"filter": {"facility_id": own["facility"]}}
    return bodies.get(name, {}) if route.method == "post" else {}


def ask(client: Client, route: Route, place: Place) -> Any:
    """What it changes is taken back."""
    with transaction.atomic():
        if route.is_page:
            answer = getattr(client, route.method)(route.path(place))
        elif route.method == "get":
            answer = client.get(route.path(place))
        elif route.address.endswith("_search"):
            answer = client.post(route.path(place), "_count=1000", content_type="application/x-www-form-urlencoded")
        else:
            given = json.dumps(body(route, place))
            answer = getattr(client, route.method)(route.path(place), given, content_type="application/json")
        text = as_text(answer)
        transaction.set_rollback(True)
    return answer, text


def outcome(route: Route, place: Place, answer: Any, text: str) -> str:
    """One of answered, moved, masked, absent, no, no method, log in."""
    status, asked = answer.status_code, route.path(place)
    assert status < 500, (route, status)
    assert status != 429, route
    if status == 302:
        where = answer["Location"].partition("?")[0]
        elsewhere = "moved" if route.method == "get" or where == f"{asked}change/" else "answered"
        return {"/admin/login/": "log in", "/admin/": "absent"}.get(where, elsewhere)
    if status in (401, 403, 404, 405):
        return {401: "log in", 403: "no", 404: "absent", 405: "no method"}[status]
    if status == 400 and "does_not_exist" in text:
        return "absent"
    if status == 200 and route.has_places and (route.is_list or route.address.endswith("search")):
        return "answered" if _lists(route, place, text) else "absent"
    return "masked" if status == 400 and "masked_field" in text else "answered"


def _lists(route: Route, place: Place, text: str) -> bool:
    """Whether something of the place is in the list."""
    if route.is_page:
        return f"/{place.things[route.thing].pk}/change/" in text
    found = json.loads(text)
    if route.address.startswith("fhir"):
        return route.id_of(place.things[route.thing]) in [one["resource"]["id"] for one in found.get("entry", ())]
    rows = found.get("facilities", found.get("results", []))
    if route.address.startswith("api/analytics"):
        someone = place.things["patient"].pk
        return any(
            row.get("facility_id") == place.facility.pk
            or row.get("patient_id") == someone
            or ("facility_id" not in row and "patient_id" not in row and row.get("state") == place.state)
            for row in rows
        )
    return place.things[route.thing].pk in [row["id"] for row in rows]


def expected(cell: str, scope: str, place: Place, home: Place) -> str:
    is_in, width = place.is_in(scope, home), SCOPES.index(scope)
    if cell in NARROW:
        least, refusal = NARROW[cell]
        if width < SCOPES.index(least):
            return refusal
        return "answered" if is_in else "absent"
    if cell == "decide":
        return "answered" if is_in else "no"
    return {"all": "answered"}.get(cell, cell)


NARROW = {  # from which scope on it is answered, and what is said below
    "own": ("facility", ""),
    "area": ("LGA", "absent"),
    "folder": ("state", "absent"),
    "state": ("state", "no"),
    "country": ("nation", "absent"),
    "nation": ("nation", "no"),
}


# --- The table


@pytest.fixture(scope="module")
def kept_places(django_db_setup, django_db_blocker):
    with kept(django_db_blocker) as places:
        yield places


@pytest.fixture
def places(kept_places, settings):
    settings.THROTTLE_USER = settings.THROTTLE_PATIENTS = "off"
    settings.REQUIRE_TOTP = False
    return kept_places


def asked_at(route: Route, scope: str, places: dict[str, Place], one_in: int) -> list[tuple[str, Place]]:
    """Where a route is asked for: at home, on both sides of the scope's border, and at one in so many other places."""
    if not route.has_places:
        return [("own", places["own"])]
    if route.is_page:
        return [(name, places[name]) for name in ("own", "other state")]
    inside = [name for name, place in places.items() if place.is_in(scope, places["own"])]
    outside = [name for name in places if name not in inside]
    border = {"own", inside[-1], *outside[:1]}
    others = some([name for name in places if name not in border], one_in, f"{route} {scope}")
    return [(name, place) for name, place in places.items() if name in border or name in others]


def compare(role: str, scope: str, places: dict[str, Place], chosen: list[Route], one_in: int = 1) -> None:
    """Each route at each place; what differs from the table, and what is said that may not be."""
    home = places["own"]
    client = Client() if role == "anonymous" else caller(role, scope, home).client
    wrong, leaked, undescribed, cells = [], [], [], 0
    answers: dict[tuple[str, str, str], Any] = {}  # a list is asked once: what it says of each place is in one answer
    for route in chosen:
        cell = table()[route][role]
        if cell == "-":  # the caller's own log-in, with tests of its own
            continue
        for name, place in asked_at(route, scope, places, one_in):
            asked = route.method, route.path(place), json.dumps(body(route, place))
            if asked not in answers:
                answers[asked] = ask(client, route, place)
            answer, text = answers[asked]
            cells += 1
            if answer.status_code not in described().get(operation_of(route), {answer.status_code}):
                undescribed.append((route, name, answer.status_code))
            found = outcome(route, place, answer, text)
            if found != expected(cell, scope, place, home):
                wrong.append((route, name, cell, found))
            leaked += [(route, name, word) for word in leaks(role, scope, home, places, text)]
    print(f"{role} of {scope}: {cells} cells of {len(answers)} requests, {len(leaked)} leaks")  # the figures, with -s
    assert leaked == []
    assert undescribed == []
    assert not wrong, "\n".join(
        f"{r.method} {r.address} at {name}: {cell}, not {found}" for r, name, cell, found in wrong
    )


@pytest.mark.django_db
@pytest.mark.parametrize(("role", "scope"), CALLERS)
def test_the_api_answers_as_the_table_says(places, role, scope):
    """All but FHIR whole, but for places far from the border; FHIR, whose resources share one path, in a sample."""
    api = [route for route in routes() if not route.is_page]
    fhir = [route for route in api if route.address.startswith("fhir")]
    chosen = {*api} - {*fhir} | {*some(fhir, 3, f"{role} {scope}")}
    compare(role, scope, places, [route for route in api if route in chosen], one_in=4)


@pytest.mark.drill
@pytest.mark.django_db
@pytest.mark.parametrize(("role", "scope"), CALLERS)
def test_every_cell_of_the_api_is_as_the_table_says(places, role, scope):
    compare(role, scope, places, [route for route in routes() if not route.is_page])


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["get", pytest.param("post", marks=pytest.mark.drill)])
@pytest.mark.parametrize(
    ("role", "scope"),
    [
        ("steward", "facility"),
        ("steward", "state"),
        *(pytest.param(role, "nation", marks=pytest.mark.drill) for role in ("steward", "superuser")),
    ],
)
def test_the_desk_answers_stewards_as_the_table_says(places, role, scope, method):
    compare(role, scope, places, [route for route in routes() if route.is_page and route.method == method])


@pytest.mark.django_db
@pytest.mark.parametrize("role", [*(role for role in ROLES if role != "steward"), "nobody", "anonymous"])
def test_the_desk_is_for_stewards(places, role):
    compare(role, "nation", places, [route for route in routes() if route.is_page and route.method == "get"])

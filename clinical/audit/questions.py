"""What is asked of the audit: who saw a patient, and what a user saw between two instants (the notice within 72 hours
that the Nigeria Data Protection Act asks for, s. 40)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from clinical.models import User

# All that were merged into one, and the one itself, which may have been merged into another.
MERGED = """
WITH RECURSIVE same(id) AS (
    SELECT %s::bigint
    UNION SELECT p.id FROM patients p JOIN same ON p.merged_into_id = same.id
) SELECT array_agg(id) FROM same
"""
WHO = """
SELECT e.at, u.username, e.roles, e.action, e.outcome, e.purpose, e."table", e.object_id, e.rows, e.route, e.address,
       e.request_id, e.id
FROM audit_events e LEFT JOIN clinical_user u ON u.id = e.actor_id
WHERE e.patient_ids && %s::bigint[] AND e.at >= %s AND e.at <= %s
ORDER BY e.id DESC
"""
_OF_USER = """
FROM audit_events e WHERE e.actor_id = %(user)s AND e.patient_ids IS NOT NULL AND e.outcome = 'ok'
  AND e.at >= %(since)s AND e.at <= %(until)s
"""
PATIENTS = f"SELECT DISTINCT unnest(e.patient_ids) AS patient_id {_OF_USER}"
BY_PLACE = f"""
SELECT coalesce(f.state, '') AS state, f.id AS facility_id, coalesce(f.name, '') AS facility, count(*) AS patients
FROM ({PATIENTS}) seen LEFT JOIN patients p ON p.id = seen.patient_id LEFT JOIN facilities f ON f.id = p.facility_id
GROUP BY f.state, f.id, f.name ORDER BY patients DESC, f.id
"""  # noqa: S608  our own
BY_ROUTE = f"""
SELECT e."table", e.action, e.route, count(*) AS times, sum(cardinality(e.patient_ids)) AS rows,
       min(e.at) AS first, max(e.at) AS last
{_OF_USER} GROUP BY 1, 2, 3 ORDER BY rows DESC
"""


class Seen(NamedTuple):
    """That somebody was told of the patient, or changed something of theirs."""

    at: datetime
    actor: str | None
    roles: list[str]
    action: str
    outcome: str
    purpose: str
    table: str
    object_id: int | None
    rows: int | None
    route: str
    address: str
    request_id: str
    event_id: int


class Sight(NamedTuple):
    """What one user was told: of how many distinct patients, where they are, and by which routes."""

    user_id: int
    patients: int
    events: int
    states: list[dict[str, Any]]
    facilities: list[dict[str, Any]]
    routes: list[dict[str, Any]]


class NoSuchUser(Exception):
    pass


def _rows(sql: str, params: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _dicts(sql: str, params: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def who_saw(patient_id: int, since: datetime | None = None, until: datetime | None = None) -> list[Seen]:
    """The newest first; under whichever id the patient was seen who is this one now."""
    ((ids,),) = _rows(MERGED, [patient_id])
    return [Seen(*row) for row in _rows(WHO, [ids, since or "-infinity", until or "infinity"])]


def _asked(user: str, since: datetime | None, until: datetime | None) -> dict[str, Any]:
    pk = User.objects.filter(username=user).values_list("pk", flat=True).first()
    if pk is None:
        raise NoSuchUser(f"There is no user {user}.")
    return {"user": pk, "since": since or "-infinity", "until": until or "infinity"}


def seen_by(user: str, since: datetime | None = None, until: datetime | None = None) -> Sight:
    """Raises NoSuchUser. Patients are where they are now; of whom nothing is left, nowhere."""
    asked = _asked(user, since, until)
    places, routes = _dicts(BY_PLACE, asked), _dicts(BY_ROUTE, asked)
    states: dict[str, int] = {}
    for place in places:
        states[place["state"]] = states.get(place["state"], 0) + place["patients"]
    return Sight(
        user_id=asked["user"],
        patients=sum(states.values()),
        events=sum(route["times"] for route in routes),
        states=[{"state": state, "patients": count} for state, count in sorted(states.items(), key=lambda s: -s[1])],
        facilities=places,
        routes=routes,
    )


def patients_seen_by(user: str, since: datetime | None = None, until: datetime | None = None) -> Iterator[int]:
    """Their ids, in order."""
    return (pk for (pk,) in sorted(_rows(PATIENTS, _asked(user, since, until))))


# --- Who reads more than anybody has to

MANY = """
SELECT e.actor_id, count(DISTINCT patient_id), array_agg(DISTINCT role)
FROM audit_events e CROSS JOIN unnest(e.patient_ids) patient_id CROSS JOIN unnest(e.roles) role
WHERE e.at >= %(since)s AND e.outcome = 'ok' AND e.actor_id IN (
    SELECT actor_id FROM audit_events WHERE at >= %(since)s AND patient_ids IS NOT NULL
    GROUP BY actor_id HAVING sum(cardinality(patient_ids)) > %(most)s)
GROUP BY e.actor_id HAVING count(DISTINCT patient_id) > %(most)s
"""


class Enumeration(NamedTuple):
    user_id: int
    patients: int
    roles: list[str]


def read_many(since: datetime, most: int) -> list[Enumeration]:
    """Who has been told of more distinct patients than `most` since then."""
    return [Enumeration(*row) for row in _rows(MANY, {"since": since, "most": most})]

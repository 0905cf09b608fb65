"""How good the facilities' data is: where they are, and whether anything comes of them."""

from analytics.checks.check import Check, Context, Kind, Owner, Severity, shared
from clinical import geography


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"


KNOWN_LGAS = ", ".join(
    f"({_quoted(state)}, {_quoted(lga)})" for state, lgas in sorted(geography.LGAS.items()) for lga in lgas
)
CENTRES = ", ".join(f"('{state}', {lat}, {lon})" for state, (lat, lon) in geography.CENTRES.items())
FARTHEST_KM = 300  # of the largest states' corners from the middle

PLACES: tuple[Check, ...] = (
    shared(
        "facilities",
        "coordinates_missing",
        Kind.FILLED,
        "lat IS NULL",
        0.6,
        "Most facilities could stand on no map.",
        severity=Severity.INFO,
    ),
    shared(
        "facilities",
        "lga_missing",
        Kind.FILLED,
        "lga = ''",
        0.05,
        "Figures by LGA leave these facilities out, and facilities of one name cannot be told apart.",
    ),
    shared(
        "facilities",
        "type_missing",
        Kind.FILLED,
        "type IS NULL",
        0.2,
        "They count as Other wherever kinds of facilities are compared.",
        severity=Severity.INFO,
    ),
    shared(
        "facilities",
        "lga_unknown",
        Kind.FORMAT,
        f"lga <> '' AND (state, lga_name) NOT IN (VALUES {KNOWN_LGAS})",
        0.05,
        "The LGA is none of the 774, or lies in another state.",
        context=Context.VALIDATION,
        owner=Owner.STEWARDS,
        own_remedy="Correct the LGA of the facility at the desk; its files still find it by the old one.",
    ),
    shared(
        "facilities",
        "without_patients",
        Kind.FILLED,
        "NOT EXISTS (SELECT FROM patients p WHERE p.facility_id = facilities.id AND p.deleted_at IS NULL)",
        0.3,
        "So many facilities without a patient mean that files of patients are missing, or facilities stand twice.",
    ),
    shared(
        "facilities",
        "same_point",
        Kind.DEFAULT,
        """(lat, lon) IN (SELECT lat, lon FROM facilities WHERE deleted_at IS NULL AND lat IS NOT NULL
GROUP BY lat, lon HAVING count(*) >= 5)""",
        0.02,
        "Five facilities or more at one point: it is a town's or an office's, not theirs.",
    ),
    Check(
        "facilities.far_from_state",
        "facilities",
        Kind.RANGE,
        f"""SELECT f.id FROM facilities f
JOIN (VALUES {CENTRES}) AS c (state, lat, lon) USING (state)
WHERE f.deleted_at IS NULL
AND 111.2 * sqrt((f.lat - c.lat) ^ 2 + ((f.lon - c.lon) * cos(radians(f.lat))) ^ 2) > {FARTHEST_KM}""",
        f"It lies more than {FARTHEST_KM} km from the middle of its state: coordinates or state are wrong.",
        severity=Severity.WARNING,
        context=Context.VALIDATION,
        own_remedy="Correct the coordinates or the state of the facility at the desk.",
    ),
    Check(
        "facilities.state_without_visits",
        "facilities",
        Kind.FILLED,
        """SELECT state FROM facilities f WHERE deleted_at IS NULL
GROUP BY state
HAVING NOT EXISTS (
    SELECT FROM triage_visits v JOIN facilities o ON o.id = v.facility_id
    WHERE o.state = f.state AND v.deleted_at IS NULL AND v.event_on > staging.lagos_today() - 30
)""",
        "No visit of the last 30 days came from any facility of a state: its figures are no figures.",
        severity=Severity.WARNING,
        owner=Owner.SURVEILLANCE,
        own_remedy="Look at the state's sources and at silent facilities, and call its office.",
    ),
)

"""What a delivery gains by columns that may be left out: for the app's makers, in plain words."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    columns: tuple[str, ...]
    without: str
    with_it: str


ADVICE = (
    Advice(
        ("record_id", "visit_id"),
        "An event without an id is known by its patient, day and words. A corrected spelling is then a second event,"
        " and an export that repeats earlier days is held until a steward has looked at it (OVERLAP_SUSPECT,"
        " SAME_CONTENT_NEW_DATE).",
        "A correction updates the event it belongs to, a repeated row changes nothing, and full exports load at once."
        " The id must stay the same for ever and be unique in its facility.",
    ),
    Advice(
        ("recorded_at", "visited_at"),
        "The event is put at midnight of the day in the file's name, marked as estimated: no times of day, and a file"
        " that comes late counts for the wrong day.",
        "Trends by day and hour are right, whenever the file arrives.",
    ),
    Advice(
        ("patient_dob", "patient_phone"),
        "Two patients of one name at a facility cannot be told apart, and their events wait (PATIENT_AMBIGUOUS).",
        "The date of birth says who it is; a phone helps to choose among several.",
    ),
    Advice(
        ("facility_state", "facility_lga"),
        "Many facilities share a name. A row that names one of them waits (FACILITY_AMBIGUOUS).",
        "The facility is known at once.",
    ),
    Advice(
        ("patient_number",),
        "A person who marries, or whose name is spelt anew, may become a second patient.",
        "Stewards see that both carry one number, and merge them.",
    ),
    Advice(
        ("hfr_code",),
        "Other systems (the facility registry, DHIS2) know the facility by its code; without it somebody has to match"
        " names by hand.",
        "Monthly figures reach the right organisation unit by themselves.",
    ),
)

"""How good the data of visits and records is: filled in, at a plausible time, and written for this patient."""

from analytics.checks.check import Check, Context, Kind, Owner, Severity, of_facilities, shared

NOTHING = "'unknown', 'nil', 'none', 'n/a', 'na', 'null', 'test', 'xxx', '-', '.'"
OF_WOMEN = r"pregnan|antenatal|eclampsia|ovarian|cervical cancer|postpartum|miscarriage"
OF_MEN = r"prostat|testicular|hydrocele"
SYSTOLIC = r"substring(vital_signs FROM 'BP:?\s*(\d{2,3})\s*/\s*\d{2,3}')"
BOTH = (("triage_visits", "visited_at"), ("medical_records", "recorded_at"))


def _impossible(table: str, texts: str) -> Check:
    return Check(
        f"{table}.impossible_for_sex",
        table,
        Kind.RANGE,
        f"""SELECT e.id FROM {table} e JOIN patients p ON p.id = e.patient_id
WHERE e.deleted_at IS NULL AND p.deleted_at IS NULL
AND (p.sex = 'M' AND {texts} ~* '{OF_WOMEN}' OR p.sex = 'F' AND {texts} ~* '{OF_MEN}')""",
        "A diagnosis that the patient's sex rules out: the sex is wrong, or the event is another patient's.",
        severity=Severity.WARNING,
        context=Context.VALIDATION,
        most_share=0.001,
        among=f"SELECT count(*) FROM {table} WHERE deleted_at IS NULL",
        own_remedy="Open the row and its patient, and ask the facility which of the two is wrong.",
    )


def _many(table: str, most: int) -> Check:
    return Check(
        f"{table}.many_on_a_day",
        table,
        Kind.RANGE,
        f"""SELECT DISTINCT patient_id FROM {table} WHERE deleted_at IS NULL AND NOT time_is_estimated
GROUP BY patient_id, event_on HAVING count(*) > {most}""",
        f"More than {most} for one patient on one day: two people are one patient, or a file was sent over and over.",
        severity=Severity.WARNING,
        most=5,
    )


def _of_time(table: str, instant: str) -> tuple[Check, ...]:
    """What holds for visits and records alike."""
    return (
        shared(
            table,
            "time_estimated",
            Kind.FILLED,
            "time_is_estimated",
            0.5,
            "The day of these events is the day of their file: trends by day follow deliveries, not patients.",
            severity=Severity.INFO,
        ),
        shared(
            table,
            "in_the_future",
            Kind.RANGE,
            "event_on > staging.lagos_today()",
            0.0,
            "It has not happened yet: the sender's clock or the date's format is wrong.",
        ),
        shared(
            table,
            "long_ago",
            Kind.RANGE,
            "event_on < created_at::date - 3650",
            0.01,
            "It was delivered more than ten years after it happened: the year is wrong, or old files were typed in.",
        ),
        shared(
            table,
            "said_twice",
            Kind.DUPLICATE,
            "ordinal > 1",
            0.02,
            "The same content for the same patient on the same day, more than once in a file.",
        ),
        of_facilities(
            table,
            "at_midnight",
            f"({instant} AT TIME ZONE 'Africa/Lagos')::time = '00:00'",
            0.8,
            50,
            "Nearly everything happens at midnight: the sender writes dates as times.",
            among="NOT time_is_estimated",
        ),
    )


EVENTS: tuple[Check, ...] = (
    *(check for table, instant in BOTH for check in _of_time(table, instant)),
    _many("triage_visits", 5),
    _many("medical_records", 10),
    _impossible("triage_visits", "array_to_string(e.conditions, ' ')"),
    _impossible("medical_records", "(e.data ->> 'diagnosis')"),
    shared(
        "triage_visits",
        "conditions_missing",
        Kind.FILLED,
        "conditions = '{}'",
        0.5,
        "Figures by condition speak of less than half of the visits.",
        owner=Owner.SURVEILLANCE,
    ),
    shared(
        "triage_visits",
        "complaint_missing",
        Kind.FILLED,
        "coalesce(chief_complaint, '') = ''",
        0.5,
        "Why patients came is not known for most visits.",
        severity=Severity.INFO,
    ),
    shared(
        "triage_visits",
        "vital_signs_missing",
        Kind.FILLED,
        "coalesce(vital_signs, '') = ''",
        0.8,
        "Nothing can be read of how ill patients were.",
        severity=Severity.INFO,
    ),
    shared(
        "medical_records",
        "diagnosis_missing",
        Kind.FILLED,
        "coalesce(data ->> 'diagnosis', '') = ''",
        0.5,
        "Most records say nothing that could be counted.",
        owner=Owner.SURVEILLANCE,
    ),
    shared(
        "medical_records",
        "diagnosis_is_none",
        Kind.DEFAULT,
        f"lower(data ->> 'diagnosis') IN ({NOTHING})",
        0.05,
        "A word that stands for nothing is counted as a diagnosis.",
    ),
    shared(
        "triage_visits",
        "condition_is_none",
        Kind.DEFAULT,
        f"EXISTS (SELECT FROM unnest(conditions) c WHERE lower(c) IN ({NOTHING}))",
        0.05,
        "A word that stands for nothing is counted as a condition.",
        owner=Owner.SURVEILLANCE,
    ),
    of_facilities(
        "triage_visits",
        "no_conditions_at_facility",
        "conditions = '{}'",
        0.95,
        50,
        "The facility judges urgency and never says what of.",
        kind=Kind.FILLED,
    ),
    of_facilities(
        "triage_visits",
        "level_1_share",
        "triage_level = 1",
        0.5,
        50,
        "Half of the visits are of the most urgent level: the scale is upside down, or 1 is the form's first answer.",
        context=Context.VALIDATION,
    ),
    of_facilities(
        "triage_visits",
        "one_level",
        "triage_level = 3",
        0.9,
        50,
        "Nearly every visit is of level 3: nobody judges, the form's middle is taken.",
        context=Context.VALIDATION,
    ),
    of_facilities(
        "triage_visits",
        "pressure_rounded",
        f"right({SYSTOLIC}, 1) = '0'",
        0.8,
        50,
        "Eight in ten blood pressures end in 0, where one in ten should (half, read by ear): they are estimated.",
        among=f"{SYSTOLIC} IS NOT NULL",
        context=Context.VALIDATION,
        severity=Severity.INFO,
    ),
    *(
        Check(
            f"{table}.same_text",
            table,
            Kind.DEFAULT,
            f"""SELECT facility_id FROM (
    SELECT facility_id, count(*) AS n FROM {table}
    WHERE deleted_at IS NULL AND coalesce({text}, '') <> '' GROUP BY facility_id, md5({text})
) AS of_a_text GROUP BY facility_id HAVING sum(n) >= 50 AND max(n) > 0.5 * sum(n)""",
            "Half of a facility's texts are word for word the same: a template, or one row copied.",
            severity=Severity.WARNING,
            owner=Owner.SENDERS,
        )
        for table, text in (("triage_visits", "chief_complaint"), ("medical_records", "data ->> 'notes'"))
    ),
)

"""The metric catalogue: what each figure is called, what it means, and where it is read.

The dashboard, the API's description, the comments in the database and /api/docs/metrics take their words from here.
A column's comment is the meaning of its metric; a test compares them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """`read_from`: relation.column, or the formula's relations; `answers`: fields of the API of another name.

    `better` says in which direction lies what one would wish for; most figures describe, and wish for nothing.
    """

    name: str
    label: str
    unit: str
    meaning: str
    read_from: tuple[str, ...]
    aggregated: Literal["sum", "mean", "ratio", "rank", "none"]
    caveat: str = ""
    better: Literal["higher", "lower", "neither"] = "neither"
    formula: str = ""
    answers: tuple[str, ...] = ()


IN_FORCE = "Deleted rows and patients whose processing is restricted are left out."
SMALL = "Numbers of 1 to 7 are not shown to readers without a clinical role."
USE = "It describes use; it is no clinical score."
DELIVERED = "A day without a delivery looks like a day without patients; see how many facilities reported."
LEVELS = "1 is the most severe level and 5 the least, so a lower mean is more severe."
CURRENT = "The facilities as they are today; a facility that has moved is counted where it is now."


def _of_days(name: str, label: str, meaning: str, caveat: str = DELIVERED) -> Metric:
    return Metric(name, label, "visits", meaning, (f"triage_trends.{name}",), "sum", caveat)


def _share_of_day(word: str, level: str) -> Metric:
    return Metric(
        f"{word}_pct",
        f"{word.capitalize()} share",
        "%",
        f"Share of the day's visits that are of level {level}, 0-100; null without visits",
        (f"triage_trends.{word}_pct",),
        "ratio",
        "Over several days it is computed from the counts; it is no mean of the days' shares.",
    )


TRENDS = (
    _of_days("total_visits", "Visits", "Triage visits on the day, in Lagos time"),
    _of_days("critical_count", "Critical visits", "Visits of level 1-2 on the day"),
    _of_days("high_count", "High visits", "Visits of level 3 on the day"),
    _of_days("medium_count", "Medium visits", "Visits of level 4 on the day"),
    _of_days("low_count", "Low visits", "Visits of level 5 on the day"),
    _share_of_day("critical", "1-2"),
    _share_of_day("high", "3"),
    _share_of_day("medium", "4"),
    _share_of_day("low", "5"),
    Metric(
        "ma_7_day_visits",
        "7-day mean",
        "visits a day",
        "Mean daily visits of this day and the 6 before; null for the first 6 days",
        ("triage_trends.ma_7_day_visits",),
        "mean",
        DELIVERED,
    ),
    Metric(
        "ma_7_day_critical",
        "7-day mean of critical visits",
        "visits a day",
        "Mean daily visits of level 1-2 of this day and the 6 before; null for the first 6 days",
        ("triage_trends.ma_7_day_critical",),
        "mean",
        DELIVERED,
    ),
    Metric(
        "visits_7_days_ago",
        "Visits a week before",
        "visits",
        "Visits on the same weekday a week before; null for the first 7 days",
        ("triage_trends.visits_7_days_ago",),
        "sum",
    ),
    Metric(
        "wow_growth_pct",
        "Growth over a week",
        "%",
        "Growth over the same weekday a week before, in percent; null where that day had no visits",
        ("triage_trends.wow_growth_pct",),
        "ratio",
        "Of few visits it jumps; look at the 7-day mean.",
    ),
)
CONDITIONS = (
    Metric(
        "occurrence_count",
        "Visits with the condition",
        "visits",
        "Visits that name the condition; each visit counts once",
        ("condition_analysis.occurrence_count",),
        "sum",
        f"Likely conditions of triage are no confirmed diagnoses. {SMALL}",
    ),
    Metric(
        "condition_level",
        "Mean level",
        "level 1-5",
        "Mean triage level of the visits that name the condition, two decimals",
        ("condition_analysis.avg_triage_level",),
        "mean",
        f"{LEVELS} The dashboard weights the means of the lines with their visits.",
    ),
    Metric(
        "condition_critical",
        "Critical visits with the condition",
        "visits",
        "Visits of level 1-2 that name the condition",
        ("condition_analysis.critical_count",),
        "sum",
        SMALL,
    ),
    Metric(
        "condition_total",
        "Visits with the condition in all",
        "visits",
        "Visits that name the condition in the whole table, at all times and in all states",
        ("condition_analysis.condition_total",),
        "none",
    ),
    Metric(
        "frequency_rank",
        "Rank by frequency",
        "rank",
        "Rank of the condition by its visits in the whole table, the most frequent first; equal ones share a rank",
        ("condition_analysis.frequency_rank",),
        "rank",
    ),
    Metric(
        "severity_rank",
        "Rank by severity",
        "rank",
        "Rank of the condition by its mean level in the whole table, the lowest (most severe) first; equal ones share"
        " a rank",
        ("condition_analysis.severity_rank",),
        "rank",
        LEVELS,
    ),
    Metric(
        "share_of_month_pct",
        "Share of the month",
        "%",
        "This line's share of all occurrences of all conditions in the month, 0-100",
        ("condition_analysis.share_of_month_pct",),
        "ratio",
        SMALL,
    ),
)
CODES = tuple(
    Metric(f"code_{column}", label, "occurrences", meaning, (f"condition_codes.{column}",), "sum", SMALL)
    for column, label, meaning in (
        ("occurrence_count", "Conditions of a meaning", "Conditions of visits that mean this; two in a visit are two"),
        ("critical_count", "Critical ones", "Those in visits of level 1-2"),
        ("at_least_count", "At least so many", "Those in lines of condition_analysis that everybody sees"),
    )
)
FACILITIES = (
    Metric(
        "total_patients",
        "Patients",
        "patients",
        "Patients that the facility knows",
        ("dim_facilities.total_patients", "facility_performance.total_patients"),
        "sum",
        f"One person known to two facilities is two patients. {IN_FORCE}",
        answers=("facility-stats.total_patients", "facility-stats.patient_count"),
    ),
    Metric(
        "total_medical_records",
        "Medical records",
        "records",
        "Medical records at the facility",
        ("dim_facilities.total_medical_records",),
        "sum",
        IN_FORCE,
        answers=("facility-stats.total_records", "facility-stats.record_count"),
    ),
    Metric(
        "total_triage_visits",
        "Triage visits in all",
        "visits",
        "Triage visits at the facility, at all times",
        ("dim_facilities.total_triage_visits",),
        "sum",
        IN_FORCE,
        answers=("facility-stats.total_triage_visits", "facility-stats.triage_count"),
    ),
    Metric(
        "avg_triage_level",
        "Mean level in all",
        "level 1-5",
        "Mean level of all visits at the facility, two decimals; null without visits",
        ("dim_facilities.avg_triage_level",),
        "mean",
        LEVELS,
        answers=("facility-stats.avg_triage_level",),
    ),
    Metric(
        "visits_30d",
        "Visits, 30 days",
        "visits",
        "Visits today and in the 29 days before",
        ("facility_performance.visits_30d",),
        "sum",
        DELIVERED,
    ),
    Metric(
        "critical_visits_30d",
        "Critical visits, 30 days",
        "visits",
        "Visits of level 1-2 today and in the 29 days before",
        ("facility_performance.critical_visits_30d",),
        "sum",
    ),
    Metric(
        "avg_triage_level_30d",
        "Mean level, 30 days",
        "level 1-5",
        "Mean level of the visits of the last 30 days, two decimals; null without visits",
        ("facility_performance.avg_triage_level_30d",),
        "mean",
        LEVELS,
    ),
    Metric(
        "avg_monthly_visits",
        "Visits a month",
        "visits a month",
        "Visits per month in the 12 complete calendar months before this one; 0 without activity",
        ("facility_performance.avg_monthly_visits",),
        "mean",
        "Younger facilities: since the month of their first activity.",
    ),
    Metric(
        "avg_monthly_patients",
        "Patients a month",
        "patients a month",
        "Mean of the monthly distinct patients with a visit or a record; 0 without activity",
        ("facility_performance.avg_monthly_patients",),
        "mean",
        "Not to be summed: who came in two months counts in each.",
    ),
    Metric(
        "avg_monthly_records",
        "Records a month",
        "records a month",
        "Records per month in the 12 complete calendar months before this one; 0 without activity",
        ("facility_performance.avg_monthly_records",),
        "mean",
    ),
    Metric(
        "volume_category",
        "Volume",
        "category",
        "Inactive without activity in 30 days; else by total_patients: High > 100, Medium 50-100, Low < 50",
        ("facility_performance.volume_category",),
        "none",
        "A facility that is High may have few visits: it knows many patients.",
    ),
    Metric(
        "acuity_category",
        "Acuity",
        "category",
        "By the unrounded mean level of 30 days: High up to 2.5, Medium up to 3.5, else Low; null without visits",
        ("facility_performance.acuity_category",),
        "none",
        USE,
    ),
)
PATIENTS = (
    Metric(
        "patients",
        "Patients of a group",
        "patients",
        "Patients of this facility, age group and sex",
        ("patient_groups.patients",),
        "sum",
        f"Ages are those of the day of the refresh. {SMALL}",
    ),
    Metric(
        "patients_with_phone",
        "Patients with a phone",
        "patients",
        "Patients of the group with a number that can be called",
        ("patient_groups.patients_with_phone",),
        "sum",
        "A number may be a relative's.",
        "higher",
    ),
    Metric(
        "records",
        "Records of a group",
        "records",
        "Medical records of the group's patients",
        ("patient_groups.records",),
        "sum",
    ),
    Metric(
        "records_with_diagnosis",
        "Records with a diagnosis",
        "records",
        "Medical records of the group's patients that name a diagnosis",
        ("patient_groups.records_with_diagnosis",),
        "sum",
        better="higher",
    ),
    Metric(
        "visits",
        "Visits of a group",
        "visits",
        "Triage visits of the group's patients",
        ("patient_groups.visits",),
        "sum",
    ),
    Metric(
        "visits_with_conditions",
        "Visits with conditions",
        "visits",
        "Triage visits of the group's patients that name a condition",
        ("patient_groups.visits_with_conditions",),
        "sum",
        better="higher",
    ),
    Metric(
        "new_patients",
        "New patients",
        "patients",
        "Patients that were first delivered on these days",
        ("stg_patients.created_at",),
        "sum",
        f"A first delivery brings many who are long known to their facility. {IN_FORCE}",
        formula="count(*) by the day of created_at",
    ),
    Metric(
        "engagement_score",
        "Engagement score",
        "0-100",
        "20 for a valid phone + 30 for any record + 30 if active in 90 days + 20 for a visit in 30 days; describes use,"
        " no clinical score",
        ("dim_patients.engagement_score",),
        "mean",
        USE,
    ),
    Metric(
        "records_last_12_months",
        "Records, 12 months",
        "records",
        "Records of the patient in the last 12 months",
        ("patient_summary.records_last_12_months",),
        "sum",
    ),
    Metric(
        "visits_last_12_months",
        "Visits, 12 months",
        "visits",
        "Triage visits of the patient in the last 12 months",
        ("patient_summary.visits_last_12_months",),
        "sum",
    ),
)
SHARES = (
    Metric(
        "mentions_pct",
        "Share of mentions",
        "%",
        "Share of the visits with the condition among those with any condition, each counted for every condition",
        ("condition_analysis.occurrence_count",),
        "ratio",
        SMALL,
        formula="100 * sum(occurrence_count) of the condition / sum(occurrence_count)",
    ),
    Metric(
        "phone_pct",
        "Patients with a phone",
        "%",
        "Share of patients with a number that can be called",
        ("patient_groups.patients_with_phone", "patient_groups.patients"),
        "ratio",
        better="higher",
        formula="100 * sum(patients_with_phone) / sum(patients)",
    ),
    Metric(
        "diagnosis_pct",
        "Records with a diagnosis",
        "%",
        "Share of medical records that name a diagnosis",
        ("patient_groups.records_with_diagnosis", "patient_groups.records"),
        "ratio",
        "Records of all times, whatever dates are chosen.",
        "higher",
        "100 * sum(records_with_diagnosis) / sum(records)",
    ),
    Metric(
        "conditions_pct",
        "Visits with a condition",
        "%",
        "Share of triage visits that name at least one condition",
        ("patient_groups.visits_with_conditions", "patient_groups.visits"),
        "ratio",
        "Visits of all times, whatever dates are chosen.",
        "higher",
        "100 * sum(visits_with_conditions) / sum(visits)",
    ),
    Metric(
        "coordinates_pct",
        "Facilities with coordinates",
        "%",
        "Share of facilities whose latitude and longitude are known",
        ("dim_facilities.has_coordinates",),
        "ratio",
        "Facilities without them are on no map of LGAs.",
        "higher",
        "100 * count(*) FILTER (WHERE has_coordinates) / count(*)",
    ),
    Metric(
        "reporting_pct",
        "Facilities that reported",
        "%",
        "Share of the facilities with a record or visit in the last year that had one in the last 30 days",
        ("dim_facilities.is_active_last_30_days", "dim_facilities.last_activity_date"),
        "ratio",
        "A facility that has closed counts as silent for a year, or until it is deleted.",
        "higher",
        "100 * count(*) FILTER (WHERE is_active_last_30_days)"
        " / count(*) FILTER (WHERE last_activity_date >= today - 365)",
    ),
    Metric(
        "visits_per_1000",
        "Visits per 1,000 patients",
        "visits",
        "Visits of the chosen days for each 1,000 patients that the place's facilities know",
        ("triage_trends.total_visits", "dim_facilities.total_patients"),
        "ratio",
        f"Of known patients; it is no rate of the population. {CURRENT}",
        formula="1000 * sum(total_visits) / sum(total_patients)",
    ),
    Metric(
        "change_pct",
        "Change",
        "%",
        "Growth of the visits over as many days just before the chosen ones",
        ("triage_trends.total_visits",),
        "ratio",
        DELIVERED,
        formula="100 * (sum of the chosen days - sum of the days before) / sum of the days before",
    ),
)
GROUPS = {
    "Visits over time": TRENDS,
    "Conditions": CONDITIONS,
    "Codes of conditions": CODES,
    "Facilities": FACILITIES,
    "Patients": PATIENTS,
    "Shares and rates": SHARES,
}
METRICS = {metric.name: metric for group in GROUPS.values() for metric in group}


def metric(name: str) -> Metric:
    return METRICS[name]


def columns() -> Iterator[tuple[str, str, Metric]]:
    """(relation, column, metric) of every column that is a metric as it stands there."""
    for one in METRICS.values():
        if not one.formula:
            for place in one.read_from:
                relation, _, column = place.partition(".")
                yield relation, column, one


def help_texts(relation: str) -> dict[str, dict[str, str]]:
    """A serializer's `extra_kwargs`: the meanings of the relation's metrics, for the API's description."""
    return {column: {"help_text": one.meaning} for table, column, one in columns() if table == relation}


def answered(field: str) -> str:
    """The meaning of a field of facility-stats."""
    return next(one.meaning for one in METRICS.values() if f"facility-stats.{field}" in one.answers)

"""Every relation once more, slowly and obviously: loops over the clinical rows, no SQL.

Written from contract/marts.md, not from analytics/sql. Each function gives the rows as dicts of all columns.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Any

from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from clinical.values import LAGOS
from tests.analytics import slow_disclosure

DAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LEVEL_NAMES = {1: "Emergency", 2: "Very urgent", 3: "Urgent", 4: "Less urgent", 5: "Non-urgent"}
PRIORITIES = {1: "Critical", 2: "Critical", 3: "High", 4: "Medium", 5: "Low"}
CATEGORIES = (
    ("Hospital", ("hospital",)),
    ("Pharmacy", ("pharmac", "chemist", "patent medicine")),
    ("Clinic", ("clinic",)),
    ("Health Center", ("center", "centre", "phc", "chc", "health post", "dispensary", "maternity")),
)


class Rows:
    """All that is stored: `facilities` and `patients` by id with the deleted, the other lists without."""

    def __init__(self, today: date) -> None:
        self.today = today
        self.facilities = {row["id"]: row for row in Facility.objects.values()}
        self.patients = {row["id"]: row for row in Patient.objects.values()}
        self.records = _undeleted(MedicalRecord.objects.order_by("id").values())
        self.visits = _undeleted(TriageVisit.objects.order_by("id").values())
        for event in self.records:
            event["day"] = event["recorded_at"].astimezone(LAGOS).date()
        for event in self.visits:
            event["day"] = event["visited_at"].astimezone(LAGOS).date()
        self.events = self.records + self.visits

    def is_within(self, day: date, days: int) -> bool:
        return self.today - timedelta(days=days - 1) <= day <= self.today

    def is_of_last_year(self, day: date) -> bool:
        return year_before(self.today) < day <= self.today

    def spellings(self) -> dict[str, str]:
        """Each condition, case-folded, to the spelling that most visits have."""
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for visit in self.visits:
            for spelling in set(visit["conditions"]):
                counts[spelling.lower()][spelling] += 1
        return {
            key: min(counter, key=lambda spelling: (-counter[spelling], spelling.encode()))
            for key, counter in counts.items()
        }


def _undeleted(rows: Iterable[dict]) -> list[dict]:
    return [row for row in rows if row["deleted_at"] is None]


def year_before(day: date) -> date:
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return date(day.year - 1, 2, 28)


def age(day: date, born: date) -> int:
    years = day.year - born.year
    return max(0, years - 1 if (day.month, day.day) < (born.month, born.day) else years)


def age_group(years: int) -> str:
    for group, below in (("Infant", 1), ("Child", 13), ("Adolescent", 18), ("Adult", 65)):
        if years < below:
            return group
    return "Senior"


def category(type_: str | None) -> str:
    for name, words in CATEGORIES:
        if any(word in (type_ or "").lower() for word in words):
            return name
    return "Other"


def rounded(number: Fraction | None, places: int) -> Decimal | None:
    if number is None:
        return None
    exact = Context(prec=60).divide(Decimal(number.numerator), Decimal(number.denominator))
    return exact.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def mean(numbers: list[int]) -> Fraction | None:
    return Fraction(sum(numbers), len(numbers)) if numbers else None


def percent(part: int, whole: int) -> Decimal | None:
    return rounded(Fraction(100 * part, whole), 1) if whole else None


def months_before(month: date, n: int) -> date:
    index = month.year * 12 + month.month - 1 - n
    return date(index // 12, index % 12 + 1, 1)


def by_codes(texts: Iterable[str]) -> list[str]:
    return sorted(set(texts), key=str.encode)


# --- Staging


def stg_facilities(rows: Rows) -> Iterator[dict]:
    for f in _undeleted(rows.facilities.values()):
        yield {
            "facility_id": f["id"],
            "facility_name": f["name"],
            "state": f["state"],
            "lga": f["lga"],
            "lga_name": f["lga_name"],
            "latitude": f["lat"],
            "longitude": f["lon"],
            "facility_type": f["type"],
            "facility_category": category(f["type"]),
            "has_coordinates": f["lat"] is not None and f["lon"] is not None,
            "created_at": f["created_at"],
        }


def stg_patients(rows: Rows) -> Iterator[dict]:
    for p in _undeleted(rows.patients.values()):
        years = age(rows.today, p["dob"])
        yield {
            "patient_id": p["id"],
            "facility_id": p["facility_id"],
            "first_name": p["first_name"],
            "last_name": p["last_name"],
            "full_name": f"{p['first_name']} {p['last_name']}",
            "sex": p["sex"],
            "date_of_birth": p["dob"],
            "age_years": years,
            "age_group": age_group(years),
            "phone_number": p["phone"],
            "has_valid_phone": p["phone"] is not None,
            "created_at": p["created_at"],
        }


def stg_medical_records(rows: Rows) -> Iterator[dict]:
    for r in rows.records:
        yield {
            "record_id": r["id"],
            "patient_id": r["patient_id"],
            "facility_id": r["facility_id"],
            "record_type": r["record_type"],
            "diagnosis": r["data"]["diagnosis"],
            "treatment": r["data"]["treatment"],
            "medications": r["data"]["medications"],
            "clinical_notes": r["data"]["notes"],
            "record_data": r["data"],
            "recorded_at": r["recorded_at"],
            "recorded_on": r["day"],
            "is_updated": r["updated_at"] > r["created_at"],
            "days_since_creation": (rows.today - r["created_at"].astimezone(LAGOS).date()).days,
            "created_at": r["created_at"],
            "updated_at": r["updated_at"],
        }


def stg_triage_visits(rows: Rows) -> Iterator[dict]:
    for v in rows.visits:
        yield {
            "triage_id": v["id"],
            "patient_id": v["patient_id"],
            "facility_id": v["facility_id"],
            "triage_level": v["triage_level"],
            "triage_description": LEVEL_NAMES[v["triage_level"]],
            "priority_category": PRIORITIES[v["triage_level"]],
            "likely_conditions": v["conditions"],
            "recommendations": v["recommendations"],
            "condition_count": len(v["conditions"]),
            "recommendation_count": len(v["recommendations"]),
            "language_code": v["language"],
            "provider_name": v["provider"],
            "visited_at": v["visited_at"],
            "visited_on": v["day"],
            "is_time_estimated": v["time_is_estimated"],
        }


# --- Facts


def _who_and_where(rows: Rows, event: dict) -> dict:
    whose, at = rows.patients[event["patient_id"]], rows.facilities[event["facility_id"]]
    years = age(event["day"], whose["dob"])
    return {
        "patient_id": whose["id"],
        "facility_id": at["id"],
        "patient_age": years,
        "patient_age_group": age_group(years),
        "patient_sex": whose["sex"],
        "facility_name": at["name"],
        "facility_state": at["state"],
        "facility_category": category(at["type"]),
    }


def _calendar(prefix: str, day: date) -> dict:
    return {
        f"{prefix}_date": day,
        f"{prefix}_year": day.year,
        f"{prefix}_month": day.month,
        f"{prefix}_day_of_week": day.isoweekday(),
        f"{prefix}_day_name": DAY_NAMES[day.weekday()],
    }


def fct_medical_records(rows: Rows) -> Iterator[dict]:
    for r in rows.records:
        yield {
            "record_id": r["id"],
            "record_type": r["record_type"],
            "diagnosis": r["data"]["diagnosis"],
            "recorded_at": r["recorded_at"],
            **_who_and_where(rows, r),
            **_calendar("record", r["day"]),
        }


def time_of_day(instant: datetime) -> str:
    hour = instant.astimezone(LAGOS).hour
    for name, first, last in (("Morning", 6, 11), ("Afternoon", 12, 17), ("Evening", 18, 21)):
        if first <= hour <= last:
            return name
    return "Night"


def fct_triage_visits(rows: Rows) -> Iterator[dict]:
    for v in rows.visits:
        yield {
            "triage_id": v["id"],
            "triage_level": v["triage_level"],
            "triage_description": LEVEL_NAMES[v["triage_level"]],
            "priority_category": PRIORITIES[v["triage_level"]],
            "likely_conditions": v["conditions"],
            "recommendations": v["recommendations"],
            "condition_count": len(v["conditions"]),
            "visited_at": v["visited_at"],
            "is_time_estimated": v["time_is_estimated"],
            **_who_and_where(rows, v),
            **_calendar("visit", v["day"]),
            "visit_hour": v["visited_at"].astimezone(LAGOS).hour,
            "time_of_day": None if v["time_is_estimated"] else time_of_day(v["visited_at"]),
        }


# --- Marts


def dim_facilities(rows: Rows) -> Iterator[dict]:
    for f in stg_facilities(rows):
        here = [event["day"] for event in rows.events if event["facility_id"] == f["facility_id"]]
        visits = [v for v in rows.visits if v["facility_id"] == f["facility_id"]]
        yield f | {
            "total_patients": sum(p["facility_id"] == f["facility_id"] for p in stg_patients(rows)),
            "total_medical_records": len(here) - len(visits),
            "total_triage_visits": len(visits),
            "avg_triage_level": rounded(mean([v["triage_level"] for v in visits]), 2),
            "first_activity_date": min(here, default=None),
            "last_activity_date": max(here, default=None),
            "is_active_last_30_days": any(rows.is_within(day, 30) for day in here),
        }


def dim_patients(rows: Rows) -> Iterator[dict]:
    for p in stg_patients(rows):
        at = rows.facilities[p["facility_id"]]
        records = [r for r in rows.records if r["patient_id"] == p["patient_id"]]
        visits = [v for v in rows.visits if v["patient_id"] == p["patient_id"]]
        is_active = any(rows.is_within(event["day"], 90) for event in records + visits)
        has_recent = any(rows.is_within(v["day"], 30) for v in visits)
        score = 20 * p["has_valid_phone"] + 30 * bool(records) + 30 * is_active + 20 * has_recent
        del p["created_at"]
        yield p | {
            "facility_name": at["name"],
            "facility_state": at["state"],
            "facility_lga": at["lga"],
            "facility_lga_name": at["lga_name"],
            "total_medical_records": len(records),
            "distinct_record_types": len({r["record_type"] for r in records} - {None}),
            "first_record_date": min((r["day"] for r in records), default=None),
            "last_record_date": max((r["day"] for r in records), default=None),
            "total_triage_visits": len(visits),
            "most_severe_triage_level": min((v["triage_level"] for v in visits), default=None),
            "last_triage_date": max((v["day"] for v in visits), default=None),
            "is_active_last_90_days": is_active,
            "has_recent_triage": has_recent,
            "has_critical_triage_history": any(v["triage_level"] in (1, 2) for v in visits),
            "engagement_score": score,
        }


def patient_summary(rows: Rows) -> Iterator[dict]:
    spellings = rows.spellings()
    for p in dim_patients(rows):
        of_patient = [e for e in rows.events if e["patient_id"] == p["patient_id"] and rows.is_of_last_year(e["day"])]
        records = [e for e in of_patient if "data" in e]
        visits = [e for e in of_patient if "triage_level" in e]
        levels = {v["triage_level"] for v in visits}
        holds = {
            "critical_visit": bool(levels & {1, 2}),
            "urgent_visit": 3 in levels,
            "frequent_visits": len(visits) > 3,
        }
        reasons = [reason for reason, does_hold in holds.items() if does_hold]
        yield {
            "patient_id": p["patient_id"],
            "facility_id": p["facility_id"],
            "facility_state": p["facility_state"],
            "facility_lga_name": p["facility_lga_name"],
            "record_types": by_codes(r["record_type"] for r in records if r["record_type"]),
            "recent_diagnoses": by_codes(r["data"]["diagnosis"] for r in records if r["data"]["diagnosis"]),
            "recent_conditions": by_codes(spellings[item.lower()] for v in visits for item in v["conditions"]),
            "records_last_12_months": len(records),
            "visits_last_12_months": len(visits),
            "most_severe_triage_last_year": min(levels, default=None),
            "risk_level": _risk(visits, reasons),
            "risk_reasons": reasons,
            "engagement_score": p["engagement_score"],
        }


def _risk(visits: list[dict], reasons: list[str]) -> str | None:
    if not visits:
        return None
    if "critical_visit" in reasons:
        return "High"
    return "Medium" if reasons else "Low"


def facility_performance(rows: Rows) -> Iterator[dict]:
    this_month = rows.today.replace(day=1)
    year = [months_before(this_month, n) for n in range(12, 0, -1)]
    for f in dim_facilities(rows):
        here = [event for event in rows.events if event["facility_id"] == f["facility_id"]]
        levels = [e["triage_level"] for e in here if "triage_level" in e and rows.is_within(e["day"], 30)]
        born = f["first_activity_date"].replace(day=1) if here else this_month
        months = [month for month in year if month >= born] or [year[-1]]
        by_month = [[e for e in here if e["day"].replace(day=1) == month] for month in months]
        yield {
            "facility_id": f["facility_id"],
            "facility_name": f["facility_name"],
            "state": f["state"],
            "lga": f["lga"],
            "lga_name": f["lga_name"],
            "facility_category": f["facility_category"],
            "total_patients": f["total_patients"],
            "volume_category": _volume(f),
            "acuity_category": _acuity(mean(levels)),
            "visits_30d": len(levels),
            "critical_visits_30d": sum(level <= 2 for level in levels),
            "avg_triage_level_30d": rounded(mean(levels), 2),
            "avg_monthly_visits": rounded(mean([sum("triage_level" in e for e in month) for month in by_month]), 2),
            "avg_monthly_patients": rounded(mean([len({e["patient_id"] for e in month}) for month in by_month]), 2),
            "avg_monthly_records": rounded(mean([sum("data" in e for e in month) for month in by_month]), 2),
        }


def _volume(f: dict) -> str:
    if not f["is_active_last_30_days"]:
        return "Inactive"
    if f["total_patients"] > 100:
        return "High"
    return "Medium" if f["total_patients"] >= 50 else "Low"


def _acuity(level: Fraction | None) -> str | None:
    if level is None:
        return None
    if level <= Fraction(5, 2):
        return "High"
    return "Medium" if level <= Fraction(7, 2) else "Low"


def patient_groups(rows: Rows) -> Iterator[dict]:
    groups: dict[tuple, list[dict]] = defaultdict(list)
    for p in _undeleted(rows.patients.values()):
        groups[p["facility_id"], age_group(age(rows.today, p["dob"])), p["sex"]].append(p)
    for (facility_id, group, sex), people in groups.items():
        ids = {p["id"] for p in people}
        records = [r for r in rows.records if r["patient_id"] in ids]
        visits = [v for v in rows.visits if v["patient_id"] in ids]
        yield {
            "facility_id": facility_id,
            "state": rows.facilities[facility_id]["state"],
            "age_group": group,
            "sex": sex,
            "patients": len(people),
            "patients_with_phone": sum(p["phone"] is not None for p in people),
            "records": len(records),
            "records_with_diagnosis": sum(bool(r["data"].get("diagnosis")) for r in records),
            "visits": len(visits),
            "visits_with_conditions": sum(bool(v["conditions"]) for v in visits),
        }


def triage_trends(rows: Rows) -> Iterator[dict]:
    states = {rows.facilities[v["facility_id"]]["state"] for v in rows.visits}
    for state in [*states, "ALL"] if states else []:
        by_day = defaultdict(list)
        for v in rows.visits:
            if state in ("ALL", rows.facilities[v["facility_id"]]["state"]):
                by_day[v["day"]].append(v["triage_level"])
        first = min(v["day"] for v in rows.visits)
        for n in range((rows.today - first).days + 1):
            yield _trend(first, first + timedelta(days=n), by_day) | {"state": state}


def _trend(first: date, day: date, by_day: dict[date, list[int]]) -> dict:
    levels = by_day.get(day, [])
    counts = {
        "critical": sum(level in (1, 2) for level in levels),
        "high": levels.count(3),
        "medium": levels.count(4),
        "low": levels.count(5),
    }
    week = [by_day.get(day - timedelta(days=n), []) for n in range(7)]
    is_week = (day - first).days >= 6
    ago = len(by_day.get(day - timedelta(days=7), [])) if (day - first).days >= 7 else None
    return {
        "day": day,
        "day_name": DAY_NAMES[day.weekday()],
        "total_visits": len(levels),
        **{f"{name}_count": count for name, count in counts.items()},
        **{f"{name}_pct": percent(count, len(levels)) for name, count in counts.items()},
        "ma_7_day_visits": rounded(mean([len(one) for one in week]), 2) if is_week else None,
        "ma_7_day_critical": rounded(mean([sum(x <= 2 for x in one) for one in week]), 2) if is_week else None,
        "visits_7_days_ago": ago,
        "wow_growth_pct": rounded_growth(len(levels), ago),
    }


def rounded_growth(now: int, ago: int | None) -> Decimal | None:
    if not ago:
        return None
    growth = rounded(Fraction(100 * abs(now - ago), ago), 1)
    return -growth if now < ago else growth


def condition_analysis(rows: Rows) -> Iterator[dict]:
    spellings = rows.spellings()
    lines: dict[tuple, list[int]] = defaultdict(list)
    for v in rows.visits:
        whose = rows.patients[v["patient_id"]]
        group = age_group(age(v["day"], whose["dob"]))
        state = rows.facilities[v["facility_id"]]["state"]
        for key in {item.lower() for item in v["conditions"]}:
            lines[spellings[key], state, group, whose["sex"], v["day"].replace(day=1)].append(v["triage_level"])
    levels: dict[str, list[int]] = defaultdict(list)
    month_totals: Counter[date] = Counter()
    for (condition, *_, month), of_line in lines.items():
        levels[condition] += of_line
        month_totals[month] += len(of_line)
    visits = Counter((rows.facilities[v["facility_id"]]["state"], v["day"].replace(day=1)) for v in rows.visits)
    hidden = slow_disclosure.hidden({line: len(of_line) for line, of_line in lines.items()}, visits)
    shown = {condition: of_it for condition, of_it in levels.items() if condition not in hidden.conditions}
    for line, of_line in lines.items():
        condition, state, group, sex, month = line
        yield {
            "condition": condition,
            "state": state,
            "age_group": group,
            "sex": sex,
            "month": month,
            "occurrence_count": len(of_line),
            "avg_triage_level": rounded(mean(of_line), 2),
            "critical_count": sum(level <= 2 for level in of_line),
            "condition_total": len(levels[condition]),
            "frequency_rank": 1 + sum(len(other) > len(levels[condition]) for other in levels.values()),
            "severity_rank": 1 + sum(mean(other) < mean(levels[condition]) for other in levels.values()),
            "share_of_month_pct": percent(len(of_line), month_totals[month]),
            "is_small": line in hidden.lines,
            "shows_total": condition in shown,
            "shows_share": month not in hidden.months,
            "shown_frequency_rank": _rank(condition, shown, lambda of_it: -len(of_it)),
            "shown_severity_rank": _rank(condition, shown, mean),
        }


def _rank(condition: str, among: dict[str, list[int]], measure: Callable[[list[int]], Any]) -> int | None:
    if condition not in among:
        return None
    return 1 + sum(measure(other) < measure(among[condition]) for other in among.values())

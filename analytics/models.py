"""The staging views and marts, as models that are only read: made by analytics/sql, listed in analytics/relations.py.

Marts are read through schema scoped, which ends for the web at its user's scope (migration 0004).

Schema and name share `db_table`, with the quotes that Django puts round the whole.
"""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models

from clinical import values


def _name(of: str, *, null: bool = False) -> "models.CharField[Any, Any]":
    """A text as long as clinical/values allows it."""
    return models.CharField(max_length=values.LENGTHS[of], null=null)


def _level() -> "models.DecimalField[Any, Any]":
    """A mean of triage levels; null where there is none."""
    return models.DecimalField(max_digits=3, decimal_places=2, null=True)


def _share() -> "models.DecimalField[Any, Any]":
    """0 to 100; null where the whole is 0."""
    return models.DecimalField(max_digits=4, decimal_places=1, null=True)


def _mean() -> "models.DecimalField[Any, Any]":
    return models.DecimalField(max_digits=12, decimal_places=2)


def _texts() -> "ArrayField[Any, Any]":
    return ArrayField(models.TextField())


class StagedFacility(models.Model):
    """One facility that is not deleted."""

    facility_id = models.BigIntegerField(primary_key=True)
    facility_name = _name("facility_name")
    state = _name("state")
    lga = _name("lga")
    lga_name = _name("lga")
    latitude = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    longitude = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    facility_type = _name("type", null=True)
    facility_category = models.TextField()
    has_coordinates = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = 'staging"."stg_facilities'

    def __str__(self) -> str:
        return f"Facility {self.pk}"


class StagedPatient(models.Model):
    """One patient who is not deleted."""

    patient_id = models.BigIntegerField(primary_key=True)
    facility_id = models.BigIntegerField()
    first_name = _name("first_name")
    last_name = _name("last_name")
    full_name = models.TextField()
    sex = models.CharField(max_length=10)
    date_of_birth = models.DateField()
    age_years = models.IntegerField()
    age_group = models.TextField()
    phone_number = _name("phone", null=True)
    has_valid_phone = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = 'staging"."stg_patients'

    def __str__(self) -> str:
        return f"Patient {self.pk}"


class StagedRecord(models.Model):
    """One medical record that is not deleted; `record_id` is our number, not the source's id."""

    record_id = models.BigIntegerField(primary_key=True)
    patient_id = models.BigIntegerField()
    facility_id = models.BigIntegerField()
    record_type = _name("record_type", null=True)
    diagnosis = models.TextField(null=True)
    treatment = models.TextField(null=True)
    medications = models.TextField(null=True)
    clinical_notes = models.TextField(null=True)
    record_data = models.JSONField()
    recorded_at = models.DateTimeField()
    recorded_on = models.DateField()
    is_updated = models.BooleanField()
    days_since_creation = models.IntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = 'staging"."stg_medical_records'

    def __str__(self) -> str:
        return f"Record {self.pk}"


class StagedVisit(models.Model):
    """One triage visit that is not deleted."""

    triage_id = models.BigIntegerField(primary_key=True)
    patient_id = models.BigIntegerField()
    facility_id = models.BigIntegerField()
    triage_level = models.SmallIntegerField()
    triage_description = models.TextField()
    priority_category = models.TextField()
    likely_conditions = _texts()
    recommendations = _texts()
    condition_count = models.IntegerField()
    recommendation_count = models.IntegerField()
    language_code = models.TextField(null=True)
    provider_name = models.TextField(null=True)
    visited_at = models.DateTimeField()
    visited_on = models.DateField()
    is_time_estimated = models.BooleanField()

    class Meta:
        managed = False
        db_table = 'staging"."stg_triage_visits'

    def __str__(self) -> str:
        return f"Visit {self.pk}"


class RecordFact(models.Model):
    """One medical record with what is asked about it; a view, always current."""

    record_id = models.BigIntegerField(primary_key=True)
    patient_id = models.BigIntegerField()
    facility_id = models.BigIntegerField()
    record_type = _name("record_type", null=True)
    diagnosis = models.TextField(null=True)
    recorded_at = models.DateTimeField()
    patient_age = models.IntegerField()
    patient_age_group = models.TextField()
    patient_sex = models.CharField(max_length=10)
    facility_name = _name("facility_name")
    facility_state = _name("state")
    facility_category = models.TextField()
    record_date = models.DateField()
    record_year = models.IntegerField()
    record_month = models.IntegerField()
    record_day_of_week = models.IntegerField()
    record_day_name = models.TextField()

    class Meta:
        managed = False
        db_table = 'scoped"."fct_medical_records'

    def __str__(self) -> str:
        return f"Record {self.pk}"


class VisitFact(models.Model):
    """One triage visit with what is asked about it; a view, always current."""

    triage_id = models.BigIntegerField(primary_key=True)
    patient_id = models.BigIntegerField()
    facility_id = models.BigIntegerField()
    triage_level = models.SmallIntegerField()
    triage_description = models.TextField()
    priority_category = models.TextField()
    likely_conditions = _texts()
    recommendations = _texts()
    condition_count = models.IntegerField()
    visited_at = models.DateTimeField()
    is_time_estimated = models.BooleanField()
    patient_age = models.IntegerField()
    patient_age_group = models.TextField()
    patient_sex = models.CharField(max_length=10)
    facility_name = _name("facility_name")
    facility_state = _name("state")
    facility_category = models.TextField()
    visit_date = models.DateField()
    visit_year = models.IntegerField()
    visit_month = models.IntegerField()
    visit_day_of_week = models.IntegerField()
    visit_day_name = models.TextField()
    visit_hour = models.IntegerField()
    time_of_day = models.TextField(null=True)

    class Meta:
        managed = False
        db_table = 'scoped"."fct_triage_visits'

    def __str__(self) -> str:
        return f"Visit {self.pk}"


class FacilityDimension(models.Model):
    """One facility, with what happened there in all."""

    facility_id = models.BigIntegerField(primary_key=True)
    facility_name = _name("facility_name")
    state = _name("state")
    lga = _name("lga")
    lga_name = _name("lga")
    latitude = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    longitude = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    facility_type = _name("type", null=True)
    facility_category = models.TextField()
    has_coordinates = models.BooleanField()
    created_at = models.DateTimeField()
    total_patients = models.BigIntegerField()
    total_medical_records = models.BigIntegerField()
    total_triage_visits = models.BigIntegerField()
    avg_triage_level = _level()
    first_activity_date = models.DateField(null=True)
    last_activity_date = models.DateField(null=True)
    is_active_last_30_days = models.BooleanField()

    class Meta:
        managed = False
        db_table = 'scoped"."dim_facilities'

    def __str__(self) -> str:
        return f"Facility {self.pk}"


class PatientDimension(models.Model):
    """One patient, with what happened to them in all."""

    patient_id = models.BigIntegerField(primary_key=True)
    facility_id = models.BigIntegerField()
    facility_name = _name("facility_name")
    facility_state = _name("state")
    facility_lga = _name("lga")
    facility_lga_name = _name("lga")
    first_name = _name("first_name")
    last_name = _name("last_name")
    full_name = models.TextField()
    sex = models.CharField(max_length=10)
    date_of_birth = models.DateField()
    age_years = models.IntegerField()
    age_group = models.TextField()
    phone_number = _name("phone", null=True)
    has_valid_phone = models.BooleanField()
    total_medical_records = models.BigIntegerField()
    distinct_record_types = models.BigIntegerField()
    first_record_date = models.DateField(null=True)
    last_record_date = models.DateField(null=True)
    total_triage_visits = models.BigIntegerField()
    most_severe_triage_level = models.SmallIntegerField(null=True)
    last_triage_date = models.DateField(null=True)
    is_active_last_90_days = models.BooleanField()
    has_recent_triage = models.BooleanField()
    has_critical_triage_history = models.BooleanField()
    engagement_score = models.IntegerField()

    class Meta:
        managed = False
        db_table = 'scoped"."dim_patients'

    def __str__(self) -> str:
        return f"Patient {self.pk}"


class PatientSummary(models.Model):
    """One patient, with what happened to them in the last 12 months. It describes use; it is no clinical score."""

    patient_id = models.BigIntegerField(primary_key=True)
    facility_id = models.BigIntegerField()
    facility_state = _name("state")
    facility_lga_name = _name("lga")
    record_types = _texts()
    recent_diagnoses = _texts()
    recent_conditions = _texts()
    records_last_12_months = models.BigIntegerField()
    visits_last_12_months = models.BigIntegerField()
    most_severe_triage_last_year = models.SmallIntegerField(null=True)
    risk_level = models.TextField(null=True)
    risk_reasons = _texts()
    engagement_score = models.IntegerField()

    class Meta:
        managed = False
        db_table = 'scoped"."patient_summary'

    def __str__(self) -> str:
        return f"Patient {self.pk}"


class FacilityPerformance(models.Model):
    """One facility: its last 30 days and its mean month."""

    facility_id = models.BigIntegerField(primary_key=True)
    facility_name = _name("facility_name")
    state = _name("state")
    lga = _name("lga")
    lga_name = _name("lga")
    facility_category = models.TextField()
    total_patients = models.BigIntegerField()
    volume_category = models.TextField()
    acuity_category = models.TextField(null=True)
    visits_30d = models.BigIntegerField()
    critical_visits_30d = models.BigIntegerField()
    avg_triage_level_30d = _level()
    avg_monthly_visits = _mean()
    avg_monthly_patients = _mean()
    avg_monthly_records = _mean()

    class Meta:
        managed = False
        db_table = 'scoped"."facility_performance'

    def __str__(self) -> str:
        return f"Facility {self.pk}"


class PatientGroup(models.Model):
    """One facility's patients of one age group and sex, and how complete what is known of them is."""

    pk = models.CompositePrimaryKey("facility_id", "age_group", "sex")
    facility_id = models.BigIntegerField()
    state = _name("state")
    age_group = models.TextField()
    sex = models.TextField()
    patients = models.BigIntegerField()
    patients_with_phone = models.BigIntegerField()
    records = models.BigIntegerField()
    records_with_diagnosis = models.BigIntegerField()
    visits = models.BigIntegerField()
    visits_with_conditions = models.BigIntegerField()

    class Meta:
        managed = False
        db_table = 'scoped"."patient_groups'

    def __str__(self) -> str:
        return f"{self.facility_id} {self.age_group} {self.sex}"


class TriageTrend(models.Model):
    """One day of one state, or of ALL; days without visits are there too."""

    pk = models.CompositePrimaryKey("state", "day")
    day = models.DateField()
    state = models.TextField()
    day_name = models.TextField()
    total_visits = models.BigIntegerField()
    critical_count = models.BigIntegerField()
    high_count = models.BigIntegerField()
    medium_count = models.BigIntegerField()
    low_count = models.BigIntegerField()
    critical_pct = _share()
    high_pct = _share()
    medium_pct = _share()
    low_pct = _share()
    ma_7_day_visits = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    ma_7_day_critical = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    visits_7_days_ago = models.BigIntegerField(null=True)
    wow_growth_pct = models.DecimalField(max_digits=12, decimal_places=1, null=True)

    class Meta:
        managed = False
        db_table = 'scoped"."triage_trends'

    def __str__(self) -> str:
        return f"{self.state} {self.day}"


class ConditionLine(models.Model):
    """What the two forms of condition_analysis share: its grain."""

    condition = models.TextField()
    state = _name("state")
    age_group = models.TextField()
    sex = models.CharField(max_length=10)
    month = models.DateField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.condition} {self.state} {self.age_group} {self.sex} {self.month}"


class ConditionAnalysis(ConditionLine):
    """One condition by state, age group, sex and month; the last five say what analysts see (analytics/disclosure)."""

    pk = models.CompositePrimaryKey("condition", "month", "state", "age_group", "sex")
    occurrence_count = models.BigIntegerField()
    avg_triage_level = models.DecimalField(max_digits=3, decimal_places=2)
    critical_count = models.BigIntegerField()
    condition_total = models.BigIntegerField()
    frequency_rank = models.BigIntegerField()
    severity_rank = models.BigIntegerField()
    share_of_month_pct = models.DecimalField(max_digits=4, decimal_places=1)
    is_small = models.BooleanField()
    shows_total = models.BooleanField()
    shows_share = models.BooleanField()
    shown_frequency_rank = models.BigIntegerField(null=True)
    shown_severity_rank = models.BigIntegerField(null=True)

    class Meta:
        managed = False
        db_table = 'scoped"."condition_analysis'


class SuppressedConditionAnalysis(ConditionLine):
    """The same lines as analysts see them: without numbers where `suppressed`, and without telling totals."""

    pk = models.CompositePrimaryKey("condition", "month", "state", "age_group", "sex")
    occurrence_count = models.BigIntegerField(null=True)
    avg_triage_level = _level()
    critical_count = models.BigIntegerField(null=True)
    condition_total = models.BigIntegerField(null=True)
    frequency_rank = models.BigIntegerField(null=True)
    severity_rank = models.BigIntegerField(null=True)
    share_of_month_pct = _share()
    suppressed = models.BooleanField()

    class Meta:
        managed = False
        db_table = 'scoped"."suppressed_condition_analysis'


class CodeLine(models.Model):
    """What the two forms of condition_codes share: its grain. A line without a code says why in `code`."""

    state = _name("state")
    month = models.DateField()
    system = models.TextField()
    code = models.TextField()
    display = models.TextField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.code} {self.state} {self.month}"


class ConditionCode(CodeLine):
    """Conditions of one meaning by state and month."""

    pk = models.CompositePrimaryKey("code", "month", "state", "system")
    occurrence_count = models.BigIntegerField()
    critical_count = models.BigIntegerField()
    at_least_count = models.BigIntegerField()
    is_small = models.BooleanField()

    class Meta:
        managed = False
        db_table = 'scoped"."condition_codes'


class SuppressedConditionCode(CodeLine):
    """The same lines as analysts see them."""

    pk = models.CompositePrimaryKey("code", "month", "state", "system")
    occurrence_count = models.BigIntegerField(null=True)
    critical_count = models.BigIntegerField(null=True)
    at_least_count = models.BigIntegerField()
    suppressed = models.BooleanField()

    class Meta:
        managed = False
        db_table = 'scoped"."suppressed_condition_codes'


# For Django's registry; the first as a module, which reads this one:
import analytics.nightly_reports  # noqa: E402
import analytics.publications  # noqa: E402, F401
from analytics.dhis2.models import OrgUnit, Sending  # noqa: E402, F401
from analytics.facility_signals import BatchShare, FacilitySignal, WatchedDay  # noqa: E402, F401
from analytics.history import CheckResult, CheckRun, DataOwner, MartRefresh, MartState  # noqa: E402, F401
from analytics.monitor_results import MonitorResult  # noqa: E402, F401

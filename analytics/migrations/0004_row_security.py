"""Marts behind row-level security: the web reads them in schema scoped, where they end at its user's scope.

A materialized view can have no policy, and the views of schema bi need those below them to run as their owner.
"""

from django.db import migrations

ANYWHERE = "(SELECT current_user <> 'medilink_web') OR (SELECT scope_is_national('read', '{resource}'))"
BY_FACILITY = ANYWHERE + " OR facility_id IN (SELECT scope_facilities('read', '{resource}'))"
BY_STATE = ANYWHERE + " OR state = ANY ((SELECT scope_places('read', '{resource}'))::text[])"
SCOPED = {
    "fct_medical_records": ("marts.fct_medical_records", BY_FACILITY),
    "fct_triage_visits": ("marts.fct_triage_visits", BY_FACILITY),
    "dim_facilities": ("marts.dim_facilities", BY_FACILITY),
    "dim_patients": ("marts.dim_patients", BY_FACILITY),
    "patient_summary": ("marts.patient_summary", BY_FACILITY),
    "facility_performance": ("marts.facility_performance", BY_FACILITY),
    "triage_trends": ("marts.triage_trends", BY_STATE),
    "condition_analysis": ("marts.condition_analysis", BY_STATE),
    "suppressed_condition_analysis": ("bi.condition_analysis", BY_STATE),
}
RESOURCES = {"fct_medical_records": "analytics_records"}


class Migration(migrations.Migration):
    dependencies = [("analytics", "0003_facility_signals"), ("clinical", "0010_row_security")]
    operations = [
        migrations.RunSQL("CREATE SCHEMA scoped", "DROP SCHEMA scoped"),
        *(
            migrations.RunSQL(
                f"CREATE VIEW scoped.{name} WITH (security_barrier) AS SELECT * FROM {mart} WHERE "
                + condition.format(resource=RESOURCES.get(name, "analytics")),
                f"DROP VIEW scoped.{name}",
            )
            for name, (mart, condition) in SCOPED.items()
        ),
        *(
            migrations.AlterModelTable(model, f'scoped"."{table}')
            for model, table in (
                ("recordfact", "fct_medical_records"),
                ("visitfact", "fct_triage_visits"),
                ("facilitydimension", "dim_facilities"),
                ("patientdimension", "dim_patients"),
                ("patientsummary", "patient_summary"),
                ("facilityperformance", "facility_performance"),
                ("triagetrend", "triage_trends"),
                ("conditionanalysis", "condition_analysis"),
                ("suppressedconditionanalysis", "suppressed_condition_analysis"),
            )
        ),
    ]

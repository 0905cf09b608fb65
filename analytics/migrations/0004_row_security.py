"""Marts behind row-level security: the web reads them in schema scoped, where they end at its user's scope.

A materialized view can have no policy. The facts and staging views are plain: they ask the policies of their tables.
"""

from django.db import migrations

NOT_THE_WEB = "(SELECT current_user <> 'medilink_web') OR (SELECT scope_is_national('read', 'analytics'))"
BY_FACILITY = f"{NOT_THE_WEB} OR facility_id IN (SELECT scope_facilities('read', 'analytics'))"
BY_STATE = f"{NOT_THE_WEB} OR state = ANY ((SELECT scope_places('read', 'analytics'))::text[])"
SCOPED = {
    "dim_facilities": ("marts.dim_facilities", BY_FACILITY),
    "dim_patients": ("marts.dim_patients", BY_FACILITY),
    "patient_summary": ("marts.patient_summary", BY_FACILITY),
    "facility_performance": ("marts.facility_performance", BY_FACILITY),
    "triage_trends": ("marts.triage_trends", BY_STATE),
    "condition_analysis": ("marts.condition_analysis", BY_STATE),
    "suppressed_condition_analysis": ("bi.condition_analysis", BY_STATE),
}
INVOKED = (
    *(f"staging.stg_{name}" for name in ("facilities", "patients", "medical_records", "triage_visits")),
    "staging.stg_condition_spellings",
    "marts.fct_medical_records",
    "marts.fct_triage_visits",
)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0003_facility_signals"), ("clinical", "0010_row_security")]
    operations = [
        migrations.RunSQL("CREATE SCHEMA scoped", "DROP SCHEMA scoped"),
        *(
            migrations.RunSQL(
                f"CREATE VIEW scoped.{name} WITH (security_barrier) AS SELECT * FROM {mart} WHERE {condition}",
                f"DROP VIEW scoped.{name}",
            )
            for name, (mart, condition) in SCOPED.items()
        ),
        *(
            migrations.RunSQL(
                f"ALTER VIEW {view} SET (security_invoker = true)", f"ALTER VIEW {view} RESET (security_invoker)"
            )
            for view in INVOKED
        ),
        *(
            migrations.AlterModelTable(model, f'scoped"."{table}')
            for model, table in (
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

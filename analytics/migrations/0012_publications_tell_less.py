"""No two publications, nor one and the figures of today, give away what either hides; patient_groups are published too.

Of what was published, analysts see a line only where today's mart shows it as well, and no total, rank or share: the
sums of one day and the lines of another would tell what was hidden on it (analytics/disclosure).
"""

from importlib import import_module

from django.db import migrations, models

PUBLISHED = import_module("analytics.migrations.0007_publications")
SMALL_CELLS = import_module("analytics.migrations.0009_small_cells")
NAME = "suppressed_condition_analysis"
# Whatever the spelling: the most frequent one may have changed since.
KEY = "lower({line}.condition COLLATE pg_c_utf8)"
INDEX = f"""
CREATE INDEX condition_analysis_hidden ON marts.condition_analysis
    ({KEY.format(line="condition_analysis")}, month, state, age_group, sex) WHERE is_small
"""
# Said anew in each column: what is small is not looked up, and a join would look up all.
IS_HIDDEN = f"""(l.is_small OR EXISTS (
        SELECT FROM marts.condition_analysis m
        WHERE m.is_small AND {KEY.format(line="m")} = {KEY.format(line="l")}
          AND (m.month, m.state, m.age_group, m.sex) = (l.month, l.state, l.age_group, l.sex)
    ))"""
COLUMNS = f"""l.condition, l.state, l.age_group, l.sex, l.month,
    NULL::bigint AS condition_total, NULL::bigint AS frequency_rank, NULL::bigint AS severity_rank,
    CASE WHEN NOT {IS_HIDDEN} THEN l.occurrence_count END AS occurrence_count,
    (CASE WHEN NOT {IS_HIDDEN} THEN l.avg_triage_level END)::numeric(3, 2) AS avg_triage_level,
    CASE WHEN NOT {IS_HIDDEN} THEN l.critical_count END AS critical_count,
    NULL::numeric(4, 1) AS share_of_month_pct,
    {IS_HIDDEN} AS suppressed"""
TOLD = PUBLISHED.VIEW.format(
    name=NAME,
    mart="condition_analysis",
    columns=COLUMNS,
    more="",
    scope=PUBLISHED.ANYWHERE + PUBLISHED.IN_STATE,
    is_of_the_day=PUBLISHED.OF_THE_DAY.format(line="l"),
)
GROUPS = PUBLISHED.TABLE.format(
    name="patient_groups", columns="*", source="marts.patient_groups", grain="facility_id, age_group, sex"
) + PUBLISHED.REFUSES.format(table="published.patient_groups")
OF_GROUPS = PUBLISHED.VIEW.format(
    name="patient_groups",
    mart="patient_groups",
    columns="l.*",
    more="",
    scope=f"{PUBLISHED.ANYWHERE}{PUBLISHED.IN_STATE} OR l.facility_id IN (SELECT scope_facilities('read', 'analytics'))",
    is_of_the_day=PUBLISHED.OF_THE_DAY.format(line="l"),
)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0011_nightly_reports")]
    operations = [
        migrations.RunSQL(INDEX, "DROP INDEX marts.condition_analysis_hidden"),
        migrations.RunSQL(
            SMALL_CELLS.DROP_TOLD + TOLD, SMALL_CELLS.DROP_TOLD + SMALL_CELLS.TOLD_NOW
        ),
        migrations.RunSQL(GROUPS, "DROP TABLE published.patient_groups"),
        migrations.RunSQL(OF_GROUPS, "DROP VIEW scoped.published_patient_groups"),
        migrations.CreateModel(
            name="PublishedPatientGroup",
            fields=[
                ("facility_id", models.BigIntegerField()),
                ("state", models.CharField(max_length=100)),
                ("age_group", models.TextField()),
                ("sex", models.TextField()),
                ("patients", models.BigIntegerField()),
                ("patients_with_phone", models.BigIntegerField()),
                ("records", models.BigIntegerField()),
                ("records_with_diagnosis", models.BigIntegerField()),
                ("visits", models.BigIntegerField()),
                ("visits_with_conditions", models.BigIntegerField()),
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "facility_id",
                        "age_group",
                        "sex",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("published_on", models.DateField()),
            ],
            options={"db_table": 'scoped"."published_patient_groups', "managed": False},
        ),
    ]

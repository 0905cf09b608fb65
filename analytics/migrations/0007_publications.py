"""Publications: the aggregated marts as they were on a day, in schema published; nobody changes what was published."""

from django.db import migrations, models
import django.contrib.postgres.indexes

TABLES = {
    "dim_facilities": ("*", "marts.dim_facilities", "facility_id"),
    "facility_performance": ("*", "marts.facility_performance", "facility_id"),
    "triage_trends": ("*", "marts.triage_trends", "state, day"),
    "condition_analysis": (
        "condition, state, age_group, sex, month, occurrence_count, avg_triage_level, critical_count,"
        " share_of_month_pct, is_small",
        "marts.condition_analysis",
        "condition, month, state, age_group, sex",
    ),
    # Said once per condition: they change with every visit.
    "conditions": ("condition, condition_total, frequency_rank, severity_rank", "marts.condition_analysis", "condition"),
}
# A line begins after whatever its mart was published on, and may end once, not before that.
GUARD = """
CREATE FUNCTION published.stays_as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last_day date;
BEGIN
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        SELECT max(day) INTO last_day FROM public.publications
        WHERE mart = CASE TG_TABLE_NAME WHEN 'conditions' THEN 'condition_analysis' ELSE TG_TABLE_NAME END;
        IF TG_OP = 'INSERT' AND NEW.last_on IS NULL AND NEW.first_on > coalesce(last_day, '-infinity') THEN
            RETURN NEW;
        END IF;
        IF TG_OP = 'UPDATE' AND OLD.last_on IS NULL AND NEW.last_on >= coalesce(last_day, '-infinity')
           AND to_jsonb(OLD) - 'last_on' = to_jsonb(NEW) - 'last_on' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'What was published stays as it was.' USING ERRCODE = 'restrict_violation';
END $$;
"""
REFUSES = """
CREATE TRIGGER stays_as_it_is BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW
EXECUTE FUNCTION published.stays_as_it_is();
CREATE TRIGGER is_not_emptied BEFORE TRUNCATE ON {table} FOR EACH STATEMENT
EXECUTE FUNCTION published.stays_as_it_is();
"""
TABLE = """
CREATE TABLE published.{name} AS SELECT {columns}, NULL::date AS first_on, NULL::date AS last_on FROM {source} WITH NO DATA;
ALTER TABLE published.{name}
    ALTER first_on SET NOT NULL,
    ADD CONSTRAINT {name}_begins_first CHECK (first_on <= last_on),
    ADD CONSTRAINT {name}_grain PRIMARY KEY ({grain}, first_on);
CREATE UNIQUE INDEX {name}_one_open ON published.{name} ({grain}) WHERE last_on IS NULL;
CREATE INDEX {name}_days ON published.{name} (last_on, first_on);
"""
TRUST = """
CREATE TABLE published.trust (
    mart text NOT NULL, day date NOT NULL, state text NOT NULL, trust jsonb NOT NULL, PRIMARY KEY (mart, day, state)
);
"""
NO_WRITES = """
CREATE FUNCTION published.is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'What was published stays as it was.' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER stays_as_it_is BEFORE UPDATE OR DELETE ON published.trust FOR EACH ROW EXECUTE FUNCTION published.is_final();
CREATE TRIGGER is_not_emptied BEFORE TRUNCATE ON published.trust FOR EACH STATEMENT EXECUTE FUNCTION published.is_final();
CREATE TRIGGER stays_as_it_is BEFORE UPDATE OR DELETE ON publications FOR EACH ROW EXECUTE FUNCTION published.is_final();
CREATE TRIGGER is_not_emptied BEFORE TRUNCATE ON publications FOR EACH STATEMENT EXECUTE FUNCTION published.is_final();
"""
ANYWHERE = "(SELECT current_user <> 'medilink_web') OR (SELECT scope_is_national('read', 'analytics'))"
IN_STATE = " OR l.state = ANY ((SELECT scope_places('read', 'analytics'))::text[])"
LGA_KEY = 'lower(l.lga_name COLLATE pg_c_utf8) COLLATE "C"'
# By the place that a line has. Who holds a facility alone sees it wherever it was; whoever holds a state, what was there.
OF_A_PLACE = (
    f"{ANYWHERE}{IN_STATE} OR l.state || '/' || {LGA_KEY} = ANY ((SELECT scope_places('read', 'analytics'))::text[])"
    " OR l.facility_id IN (SELECT scope_single_facilities('read', 'analytics'))"
)
SINGLE = """
CREATE FUNCTION scope_single_facilities(action text, resource text) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN QUERY
    SELECT m.facility_id FROM memberships m
    JOIN clinical_user u ON u.id = m.user_id AND u.is_active
    JOIN role_rights r ON r.role = m.role
    WHERE m.user_id = scope_user() AND m.facility_id IS NOT NULL
      AND r.action = scope_single_facilities.action AND r.resource = scope_single_facilities.resource;
END $$;
"""
OF_THE_DAY = "{line}.first_on <= p.day AND ({line}.last_on IS NULL OR {line}.last_on >= p.day)"
VIEW = """
CREATE VIEW scoped.published_{name} WITH (security_barrier) AS
SELECT p.day AS published_on, {columns}
FROM publications p JOIN published.{mart} l ON {is_of_the_day}{more}
WHERE p.mart = '{mart}' AND ({scope});
"""
CONDITIONS = f" JOIN published.conditions c ON c.condition = l.condition AND {OF_THE_DAY.format(line='c')}"
LINE = "l.condition, l.state, l.age_group, l.sex, l.month, c.condition_total, c.frequency_rank, c.severity_rank"
HIDDEN = """
    CASE WHEN NOT l.is_small THEN l.occurrence_count END AS occurrence_count,
    (CASE WHEN NOT l.is_small THEN l.avg_triage_level END)::numeric(3, 2) AS avg_triage_level,
    CASE WHEN NOT l.is_small THEN l.critical_count END AS critical_count,
    (CASE WHEN NOT l.is_small THEN l.share_of_month_pct END)::numeric(4, 1) AS share_of_month_pct,
    l.is_small AS suppressed
"""
VIEWS = {
    "dim_facilities": ("dim_facilities", f"l.*, {LGA_KEY} AS lga_key", "", OF_A_PLACE),
    "facility_performance": ("facility_performance", f"l.*, {LGA_KEY} AS lga_key", "", OF_A_PLACE),
    "triage_trends": ("triage_trends", "l.*", "", ANYWHERE + IN_STATE),
    "condition_analysis": (
        "condition_analysis",
        f"{LINE}, l.occurrence_count, l.avg_triage_level, l.critical_count, l.share_of_month_pct, l.is_small",
        CONDITIONS,
        ANYWHERE + IN_STATE,
    ),
    "suppressed_condition_analysis": ("condition_analysis", f"{LINE}, {HIDDEN}", CONDITIONS, ANYWHERE + IN_STATE),
}
TRUST_VIEW = f"""
CREATE VIEW scoped.published_trust WITH (security_barrier) AS
SELECT l.mart, l.day AS published_on, l.state, l.trust FROM published.trust l WHERE {ANYWHERE}{IN_STATE}
"""


def view(name: str) -> str:
    mart, columns, more, scope = VIEWS[name]
    of_the_day = OF_THE_DAY.format(line="l")
    return VIEW.format(name=name, mart=mart, columns=columns, more=more, scope=scope, is_of_the_day=of_the_day)


class Migration(migrations.Migration):

    dependencies = [
        ('analytics', '0006_patient_groups'),
        ('ingestion', '0009_excluded_rows'),
    ]

    operations = [
        migrations.CreateModel(
            name='PublishedConditionAnalysis',
            fields=[
                ('condition', models.TextField()),
                ('state', models.CharField(max_length=100)),
                ('age_group', models.TextField()),
                ('sex', models.CharField(max_length=10)),
                ('month', models.DateField()),
                ('condition_total', models.BigIntegerField()),
                ('frequency_rank', models.BigIntegerField()),
                ('severity_rank', models.BigIntegerField()),
                ('occurrence_count', models.BigIntegerField()),
                ('avg_triage_level', models.DecimalField(decimal_places=2, max_digits=3)),
                ('critical_count', models.BigIntegerField()),
                ('share_of_month_pct', models.DecimalField(decimal_places=1, max_digits=4)),
                ('is_small', models.BooleanField()),
                ('pk', models.CompositePrimaryKey('condition', 'month', 'state', 'age_group', 'sex', blank=True, editable=False, primary_key=True, serialize=False)),
                ('published_on', models.DateField()),
            ],
            options={
                'db_table': 'scoped"."published_condition_analysis',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='PublishedFacilityDimension',
            fields=[
                ('lga_key', models.TextField(db_collation='C')),
                ('facility_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('facility_name', models.CharField(max_length=255)),
                ('state', models.CharField(max_length=100)),
                ('lga', models.CharField(max_length=100)),
                ('lga_name', models.CharField(max_length=100)),
                ('latitude', models.DecimalField(decimal_places=7, max_digits=10, null=True)),
                ('longitude', models.DecimalField(decimal_places=7, max_digits=10, null=True)),
                ('facility_type', models.CharField(max_length=100, null=True)),
                ('facility_category', models.TextField()),
                ('has_coordinates', models.BooleanField()),
                ('created_at', models.DateTimeField()),
                ('total_patients', models.BigIntegerField()),
                ('total_medical_records', models.BigIntegerField()),
                ('total_triage_visits', models.BigIntegerField()),
                ('avg_triage_level', models.DecimalField(decimal_places=2, max_digits=3, null=True)),
                ('first_activity_date', models.DateField(null=True)),
                ('last_activity_date', models.DateField(null=True)),
                ('is_active_last_30_days', models.BooleanField()),
                ('published_on', models.DateField()),
            ],
            options={
                'db_table': 'scoped"."published_dim_facilities',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='PublishedFacilityPerformance',
            fields=[
                ('lga_key', models.TextField(db_collation='C')),
                ('facility_id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('facility_name', models.CharField(max_length=255)),
                ('state', models.CharField(max_length=100)),
                ('lga', models.CharField(max_length=100)),
                ('lga_name', models.CharField(max_length=100)),
                ('facility_category', models.TextField()),
                ('total_patients', models.BigIntegerField()),
                ('volume_category', models.TextField()),
                ('acuity_category', models.TextField(null=True)),
                ('visits_30d', models.BigIntegerField()),
                ('critical_visits_30d', models.BigIntegerField()),
                ('avg_triage_level_30d', models.DecimalField(decimal_places=2, max_digits=3, null=True)),
                ('avg_monthly_visits', models.DecimalField(decimal_places=2, max_digits=12)),
                ('avg_monthly_patients', models.DecimalField(decimal_places=2, max_digits=12)),
                ('avg_monthly_records', models.DecimalField(decimal_places=2, max_digits=12)),
                ('published_on', models.DateField()),
            ],
            options={
                'db_table': 'scoped"."published_facility_performance',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='PublishedSuppressedConditionAnalysis',
            fields=[
                ('condition', models.TextField()),
                ('state', models.CharField(max_length=100)),
                ('age_group', models.TextField()),
                ('sex', models.CharField(max_length=10)),
                ('month', models.DateField()),
                ('condition_total', models.BigIntegerField()),
                ('frequency_rank', models.BigIntegerField()),
                ('severity_rank', models.BigIntegerField()),
                ('occurrence_count', models.BigIntegerField(null=True)),
                ('avg_triage_level', models.DecimalField(decimal_places=2, max_digits=3, null=True)),
                ('critical_count', models.BigIntegerField(null=True)),
                ('share_of_month_pct', models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ('suppressed', models.BooleanField()),
                ('pk', models.CompositePrimaryKey('condition', 'month', 'state', 'age_group', 'sex', blank=True, editable=False, primary_key=True, serialize=False)),
                ('published_on', models.DateField()),
            ],
            options={
                'db_table': 'scoped"."published_suppressed_condition_analysis',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='PublishedTriageTrend',
            fields=[
                ('day', models.DateField()),
                ('state', models.TextField()),
                ('day_name', models.TextField()),
                ('total_visits', models.BigIntegerField()),
                ('critical_count', models.BigIntegerField()),
                ('high_count', models.BigIntegerField()),
                ('medium_count', models.BigIntegerField()),
                ('low_count', models.BigIntegerField()),
                ('critical_pct', models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ('high_pct', models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ('medium_pct', models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ('low_pct', models.DecimalField(decimal_places=1, max_digits=4, null=True)),
                ('ma_7_day_visits', models.DecimalField(decimal_places=2, max_digits=12, null=True)),
                ('ma_7_day_critical', models.DecimalField(decimal_places=2, max_digits=12, null=True)),
                ('visits_7_days_ago', models.BigIntegerField(null=True)),
                ('wow_growth_pct', models.DecimalField(decimal_places=1, max_digits=12, null=True)),
                ('pk', models.CompositePrimaryKey('state', 'day', blank=True, editable=False, primary_key=True, serialize=False)),
                ('published_on', models.DateField()),
            ],
            options={
                'db_table': 'scoped"."published_triage_trends',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='PublishedTrust',
            fields=[
                ('pk', models.CompositePrimaryKey('mart', 'published_on', 'state', blank=True, editable=False, primary_key=True, serialize=False)),
                ('mart', models.TextField()),
                ('published_on', models.DateField()),
                ('state', models.TextField()),
                ('trust', models.JSONField()),
            ],
            options={
                'db_table': 'scoped"."published_trust',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='Publication',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('mart', models.TextField()),
                ('as_of', models.DateTimeField(help_text='the rows are those of this instant')),
                ('published_at', models.DateTimeField()),
                ('rows', models.BigIntegerField()),
                ('changed', models.BigIntegerField(help_text='lines that were new, or no longer as on the day before it')),
                ('batches', models.BigIntegerField(help_text='files and replays that it is made of')),
                ('last_batch_id', models.BigIntegerField(null=True)),
                ('digest', models.TextField(help_text='of all its lines, in whatever order')),
            ],
            options={
                'db_table': 'publications',
                'ordering': ['-day', 'mart'],
            },
        ),
        migrations.AddIndex(
            model_name='batchshare',
            index=django.contrib.postgres.indexes.GinIndex(fields=['facilities'], name='facility_shares_of_a_facility'),
        ),
        migrations.AddConstraint(
            model_name='publication',
            constraint=models.UniqueConstraint(fields=('mart', 'day'), name='publications_one_a_day'),
        ),
        migrations.AddConstraint(
            model_name='publication',
            constraint=models.CheckConstraint(condition=models.Q(('changed__gte', 0), ('rows__gte', 0)), name='publications_counts_not_negative'),
        ),
        migrations.RunSQL("CREATE SCHEMA published", "DROP SCHEMA published"),
        migrations.RunSQL(GUARD, "DROP FUNCTION published.stays_as_it_is"),
        *(
            migrations.RunSQL(
                TABLE.format(name=name, columns=columns, source=source, grain=grain)
                + REFUSES.format(table=f"published.{name}"),
                f"DROP TABLE published.{name}",
            )
            for name, (columns, source, grain) in TABLES.items()
        ),
        migrations.RunSQL(TRUST, "DROP TABLE published.trust"),
        migrations.RunSQL(
            NO_WRITES,
            "DROP TRIGGER stays_as_it_is ON publications; DROP TRIGGER is_not_emptied ON publications;"
            " DROP FUNCTION published.is_final CASCADE",
        ),
        migrations.RunSQL(SINGLE, "DROP FUNCTION scope_single_facilities"),
        *(migrations.RunSQL(view(name), f"DROP VIEW scoped.published_{name}") for name in VIEWS),
        migrations.RunSQL(TRUST_VIEW, "DROP VIEW scoped.published_trust"),
    ]

"""What is read out of visits' vital signs: readings, coded values, scores; and the visits to look at a second time."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


# A reading goes with its visit, values and scores go with their reading; so nothing that stays speaks of what is gone.
# Taken away where the words, the day or the patient's birth change, whoever changes them: what stands is never stale.
PROMISES = """
ALTER TABLE vital_readings ADD CONSTRAINT vital_readings_visit
    FOREIGN KEY (visit_id) REFERENCES triage_visits (id) ON DELETE CASCADE;
ALTER TABLE vital_signs ADD CONSTRAINT vital_signs_reading
    FOREIGN KEY (visit_id) REFERENCES vital_readings (visit_id) ON DELETE CASCADE;
ALTER TABLE visit_scores ADD CONSTRAINT visit_scores_reading
    FOREIGN KEY (visit_id) REFERENCES vital_readings (visit_id) ON DELETE CASCADE;

CREATE FUNCTION forget_vital_reading() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.vital_readings WHERE visit_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_vital_reading AFTER UPDATE OF vital_signs, visited_at, patient_id ON triage_visits FOR EACH ROW
WHEN (OLD.vital_signs IS DISTINCT FROM NEW.vital_signs OR OLD.visited_at <> NEW.visited_at
      OR OLD.patient_id <> NEW.patient_id)
EXECUTE FUNCTION forget_vital_reading();

CREATE FUNCTION forget_vital_readings_of_patient() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public AS $$
BEGIN
    DELETE FROM public.vital_readings r USING public.triage_visits v
    WHERE v.patient_id = NEW.id AND r.visit_id = v.id;
    RETURN NULL;
END $$;
CREATE TRIGGER forget_vital_readings AFTER UPDATE OF dob ON patients FOR EACH ROW
WHEN (OLD.dob <> NEW.dob) EXECUTE FUNCTION forget_vital_readings_of_patient();
"""
NO_PROMISES = """
DROP TRIGGER forget_vital_readings ON patients;
DROP TRIGGER forget_vital_reading ON triage_visits;
DROP FUNCTION forget_vital_readings_of_patient, forget_vital_reading;
ALTER TABLE visit_scores DROP CONSTRAINT visit_scores_reading;
ALTER TABLE vital_signs DROP CONSTRAINT vital_signs_reading;
ALTER TABLE vital_readings DROP CONSTRAINT vital_readings_visit;
"""

# Seen by whom the visit is seen: the visits' own policy is asked. Nothing of it is written by the web.
TABLES = ("vital_readings", "vital_signs", "visit_scores")
POLICIES = "".join(
    f"""
    ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY scope_read ON {table} FOR SELECT USING (
        (SELECT scope_is_national('read', 'visits'))
        OR EXISTS (SELECT FROM triage_visits v WHERE v.id = {table}.visit_id)
    );
    """
    for table in TABLES
)
NO_POLICIES = "".join(
    f"DROP POLICY scope_read ON {table}; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;" for table in TABLES
)

# The rules of clinical/scores/second_look.py as they were at this migration: the first that fits is told. The view asks
# the policies in its reader's name.
VIEW = """
CREATE VIEW triage_second_look WITH (security_invoker = true) AS
SELECT v.id, v.patient_id, v.facility_id, v.triage_level, v.visited_at, v.time_is_estimated,
       CASE WHEN NOT v.time_is_estimated
            THEN extract(hour FROM v.visited_at AT TIME ZONE 'Africa/Lagos')::smallint END AS hour,
       r.kind, r.rule, s.minimum::integer AS minimum, s.maximum::integer AS maximum, s.missing, s.reds
FROM visit_scores s
JOIN triage_visits v ON v.id = s.visit_id
CROSS JOIN LATERAL (
    SELECT of.rule, of.kind
    FROM (VALUES
        (1, 'NEWS2 of 7 or more', 'under', 3, 5, 7, 20, false),
        (2, 'NEWS2 of 5 or 6', 'under', 4, 5, 5, 20, false),
        (3, 'one sign with 3 points', 'under', 4, 5, 0, 20, true),
        (4, 'NEWS2 of 1 at most', 'over', 1, 2, 0, 1, false)
    ) AS of (place, rule, kind, level_from, level_to, at_least, at_most, needs_red)
    WHERE v.triage_level BETWEEN of.level_from AND of.level_to AND s.minimum >= of.at_least
      AND s.maximum <= of.at_most AND (NOT of.needs_red OR s.reds <> '{}')
    ORDER BY of.place LIMIT 1
) r
WHERE s.score = 'NEWS2' AND (s.minimum >= 5 OR s.maximum <= 1 OR NOT (s.reds = '{}'::text[]))
  AND v.deleted_at IS NULL AND v.restricted_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0017_restricted_rows"),
    ]

    operations = [
        migrations.CreateModel(
            name="VitalReading",
            fields=[
                (
                    "visit",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="vital_reading",
                        serialize=False,
                        to="clinical.triagevisit",
                    ),
                ),
                ("parser_version", models.SmallIntegerField()),
                ("scores_version", models.SmallIntegerField()),
                ("leftover", models.TextField(null=True)),
                ("read_at", models.DateTimeField()),
            ],
            options={
                "db_table": "vital_readings",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("leftover", ""), _negated=True), name="vital_readings_leftover_not_empty"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="VisitScore",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "visit_id", "score", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("score", models.TextField()),
                ("version", models.SmallIntegerField()),
                ("minimum", models.DecimalField(decimal_places=2, max_digits=8, null=True)),
                ("maximum", models.DecimalField(decimal_places=2, max_digits=8, null=True)),
                (
                    "missing",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), default=list, size=None),
                ),
                (
                    "reds",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        default=list,
                        help_text="inputs with three points of NEWS2 for certain",
                        size=None,
                    ),
                ),
                (
                    "visit",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="scores",
                        to="clinical.triagevisit",
                    ),
                ),
            ],
            options={
                "db_table": "visit_scores",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("score__in", ["NEWS2", "qSOFA", "shock index", "MAP"])),
                        name="visit_scores_score_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("minimum__lte", models.F("maximum"))),
                        name="visit_scores_minimum_up_to_maximum",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("maximum__isnull", True), ("minimum__isnull", True)),
                            models.Q(("maximum__isnull", False), ("minimum__isnull", False)),
                            _connector="OR",
                        ),
                        name="visit_scores_both_ends",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="VitalSign",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "visit_id", "position", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.SmallIntegerField()),
                ("code", models.TextField()),
                ("value", models.DecimalField(decimal_places=2, max_digits=9, null=True)),
                ("unit", models.TextField(null=True)),
                ("coded", models.TextField(null=True)),
                ("written", models.TextField(help_text="the words that it was read from")),
                ("flag", models.TextField(null=True)),
                (
                    "visit",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="vital_values",
                        to="clinical.triagevisit",
                    ),
                ),
            ],
            options={
                "db_table": "vital_signs",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("coded__isnull", True), ("unit__isnull", False), ("value__isnull", False)),
                            models.Q(("coded__isnull", False), ("unit__isnull", True), ("value__isnull", True)),
                            _connector="OR",
                        ),
                        name="vital_signs_number_or_word",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("flag__in", ["implausible", "reversed"])), name="vital_signs_flag_is_known"
                    ),
                ],
            },
        ),
        migrations.RunSQL(PROMISES, NO_PROMISES),
        migrations.RunSQL(POLICIES, NO_POLICIES),
        migrations.AddIndex(
            model_name="visitscore",
            index=models.Index(
                condition=models.Q(
                    ("score", "NEWS2"),
                    models.Q(
                        ("minimum__gte", 5), ("maximum__lte", 1), models.Q(("reds", []), _negated=True), _connector="OR"
                    ),
                ),
                fields=["visit"],
                name="visit_scores_to_look_at",
            ),
        ),
        migrations.RunSQL(VIEW, "DROP VIEW triage_second_look"),
        migrations.CreateModel(
            name="SecondLook",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("triage_level", models.SmallIntegerField()),
                ("visited_at", models.DateTimeField()),
                ("time_is_estimated", models.BooleanField()),
                ("hour", models.SmallIntegerField(null=True)),
                ("kind", models.TextField(choices=[("under", "under-triage"), ("over", "over-triage")])),
                ("rule", models.TextField()),
                ("minimum", models.IntegerField(verbose_name="NEWS2, at least")),
                ("maximum", models.IntegerField(verbose_name="NEWS2, at most")),
                (
                    "missing",
                    django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None),
                ),
                ("reds", django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
            ],
            options={
                "verbose_name": "second look at triage",
                "verbose_name_plural": "second looks at triage",
                "db_table": "triage_second_look",
                "ordering": ["-id"],
                "managed": False,
            },
        ),
    ]

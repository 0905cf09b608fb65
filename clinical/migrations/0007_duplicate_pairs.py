"""Probable duplicates, what was decided of each, and the searches that found them."""

import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("clinical", "0006_history"),
    ]

    operations = [
        migrations.CreateModel(
            name="DuplicateSearch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "table",
                    models.CharField(choices=[("patients", "Patients"), ("facilities", "Facilities")], max_length=10),
                ),
                ("is_full", models.BooleanField(help_text="all rows, not only those that had changed")),
                ("version", models.SmallIntegerField()),
                ("horizon", models.DateTimeField(help_text="what was written before it has been seen")),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                ("rows", models.IntegerField(help_text="rows that had changed")),
                ("blocked", models.BigIntegerField(help_text="pairs that share a key")),
                ("compared", models.BigIntegerField(help_text="of these, pairs with names alike enough to be scored")),
                ("found", models.IntegerField(help_text="of these, pairs that are probably one")),
                (
                    "capped",
                    models.JSONField(
                        default=dict, help_text="blocks too large to compare all with all, by kind of key"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "duplicate searches",
                "db_table": "duplicate_searches",
                "ordering": ["-id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("table__in", ["patients", "facilities"])),
                        name="duplicate_searches_table_is_known",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DuplicatePair",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "table",
                    models.CharField(
                        choices=[("patients", "Patients"), ("facilities", "Facilities")],
                        max_length=10,
                        verbose_name="what",
                    ),
                ),
                ("low_id", models.BigIntegerField()),
                ("high_id", models.BigIntegerField()),
                ("score", models.FloatField(help_text="bits: 0 is as probable as not, each one more doubles the odds")),
                ("evidence", models.JSONField(help_text="a field, what agrees, its weight: no values of a person")),
                ("version", models.SmallIntegerField(help_text="of the rules by which it was scored")),
                (
                    "found_at",
                    models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow(), editable=False),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "Open"), ("same", "the same"), ("different", "Different")],
                        db_default="open",
                        default="open",
                        max_length=10,
                    ),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("why", models.CharField(blank=True, db_default="", default="", max_length=500)),
                (
                    "decided_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "facility",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="clinical.facility"
                    ),
                ),
                (
                    "merge",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="clinical.merge",
                    ),
                ),
                (
                    "other_facility",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="clinical.facility"
                    ),
                ),
            ],
            options={
                "verbose_name": "probable duplicate",
                "db_table": "duplicate_pairs",
                "ordering": ["-score", "id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "open")), fields=["-score", "id"], name="duplicate_pairs_open"
                    ),
                    models.Index(fields=["table", "high_id"], name="duplicate_pairs_of_a_row"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("table", "low_id", "high_id"), name="duplicate_pairs_identity"),
                    models.CheckConstraint(
                        condition=models.Q(("low_id__lt", models.F("high_id"))), name="duplicate_pairs_of_two"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("table__in", ["patients", "facilities"])),
                        name="duplicate_pairs_table_is_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("facility_id", models.F("other_facility_id")), ("table", "patients")),
                            models.Q(
                                ("facility_id", models.F("low_id")),
                                ("other_facility_id", models.F("high_id")),
                                ("table", "facilities"),
                            ),
                            _connector="OR",
                        ),
                        name="duplicate_pairs_where_they_are",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at", None), ("decided_by", None), ("merge", None), ("state", "open")),
                            models.Q(
                                ("decided_at__isnull", False),
                                ("decided_by__isnull", False),
                                ("merge__isnull", False),
                                ("state", "same"),
                            ),
                            models.Q(
                                ("decided_at__isnull", False),
                                ("decided_by__isnull", False),
                                ("merge", None),
                                ("state", "different"),
                            ),
                            _connector="OR",
                        ),
                        name="duplicate_pairs_decided_by_somebody",
                    ),
                ],
            },
        ),
    ]

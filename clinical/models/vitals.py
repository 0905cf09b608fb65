"""What was read out of the words of visits, beside them: it can be thrown away and read again at any time."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from clinical.models.columns import holds
from clinical.models.rows import ClinicalQuerySet, Facility, Patient, TriageVisit
from clinical.scores import Name
from clinical.scores.second_look import Kind
from clinical.vitals import Flag


class VitalReading(models.Model):
    """That a visit's vital signs were read, by which version, and what was not understood, one piece a line.

    It is of the visit's words, of its patient's age and of nothing else: where these change a trigger takes it away,
    and the next pass reads again (clinical/vital_readings.py).
    """

    # The foreign key and its cascade are the database's (migration 0018): a visit that goes takes all of this with it.
    visit = models.OneToOneField(
        TriageVisit, models.DO_NOTHING, primary_key=True, related_name="vital_reading", db_constraint=False
    )
    parser_version = models.SmallIntegerField()
    scores_version = models.SmallIntegerField()
    leftover = models.TextField(null=True)
    read_at = models.DateTimeField()

    class Meta:
        db_table = "vital_readings"
        constraints = [holds(~Q(leftover=""), "vital_readings_leftover_not_empty")]

    def __str__(self) -> str:
        return f"Reading of visit {self.pk}"


class VitalSign(models.Model):
    """One coded value of a visit, as it was written: LOINC, UCUM, or a word (`coded`); see clinical/vitals/signs.py."""

    pk = models.CompositePrimaryKey("visit_id", "position")
    visit = models.ForeignKey(
        TriageVisit, models.DO_NOTHING, related_name="vital_values", db_constraint=False, db_index=False
    )
    position = models.SmallIntegerField()  # from 1, in the order of the text
    code = models.TextField()
    value = models.DecimalField(max_digits=9, decimal_places=2, null=True)
    unit = models.TextField(null=True)
    coded = models.TextField(null=True)
    written = models.TextField(help_text="the words that it was read from")
    flag = models.TextField(null=True)

    class Meta:
        db_table = "vital_signs"
        constraints = [
            holds(
                Q(value__isnull=False, unit__isnull=False, coded__isnull=True)
                | Q(value__isnull=True, unit__isnull=True, coded__isnull=False),
                "vital_signs_number_or_word",
            ),
            holds(Q(flag__in=[*Flag]), "vital_signs_flag_is_known"),
        ]
        # A search by code, also by one that hardly anybody has.
        indexes = [models.Index(fields=["code", "visit"], name="vital_signs_code")]

    def __str__(self) -> str:
        return f"{self.code} of visit {self.visit_id}"


class VisitScore(models.Model):
    """One score of a visit: a range where inputs are missing; no numbers where it cannot be said at all."""

    pk = models.CompositePrimaryKey("visit_id", "score")
    visit = models.ForeignKey(
        TriageVisit, models.DO_NOTHING, related_name="scores", db_constraint=False, db_index=False
    )
    score = models.TextField()
    version = models.SmallIntegerField()
    minimum = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    maximum = models.DecimalField(max_digits=8, decimal_places=2, null=True)
    missing = ArrayField(models.TextField(), default=list)
    reds = ArrayField(models.TextField(), default=list, help_text="inputs with three points of NEWS2 for certain")

    class Meta:
        db_table = "visit_scores"
        constraints = [
            holds(Q(score__in=[*Name]), "visit_scores_score_is_known"),
            holds(Q(minimum__lte=F("maximum")), "visit_scores_minimum_up_to_maximum"),
            holds(
                Q(minimum__isnull=True, maximum__isnull=True) | Q(minimum__isnull=False, maximum__isnull=False),
                "visit_scores_both_ends",
            ),
        ]
        indexes = [
            # Visits to look at a second time, by scores that can say so at all.
            models.Index(
                fields=["visit"],
                condition=Q(score="NEWS2") & (Q(minimum__gte=5) | Q(maximum__lte=1) | ~Q(reds=[])),
                name="visit_scores_to_look_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.score} of visit {self.visit_id}"


class SecondLook(models.Model):
    """A view: a visit whose level and NEWS2 disagree, and the first rule that says so (clinical/scores/second_look.py).

    Nothing of deleted or restricted visits. `hour` is that of Lagos, and unknown where the source named no time.
    """

    RESOURCE = "visits"
    PLACE = ("facility__state", "facility__lga_key", "facility_id")

    id = models.BigIntegerField(primary_key=True)  # the visit's
    patient = models.ForeignKey(Patient, models.DO_NOTHING, related_name="+")
    facility = models.ForeignKey(Facility, models.DO_NOTHING, related_name="+")
    triage_level = models.SmallIntegerField()
    visited_at = models.DateTimeField()
    time_is_estimated = models.BooleanField()
    hour = models.SmallIntegerField(null=True)
    kind = models.TextField(choices=[(kind.value, f"{kind}-triage") for kind in Kind])
    rule = models.TextField()
    minimum = models.IntegerField("NEWS2, at least")
    maximum = models.IntegerField("NEWS2, at most")
    missing = ArrayField(models.TextField())
    reds = ArrayField(models.TextField())

    objects = ClinicalQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "triage_second_look"
        ordering = ["-id"]
        verbose_name = "second look at triage"
        verbose_name_plural = "second looks at triage"

    def __str__(self) -> str:
        return f"Visit {self.pk}"

"""What was published when: the aggregated marts as they were each night, and how to read them as of a day.

Lines stand in schema published, each with the days on which it was so (migration 0007 refuses to change them); the web
reads them through schema scoped, where each has the day that is asked for beside it.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from django.db import models
from django.db.models import Q

from analytics.models import (
    ConditionAnalysis,
    FacilityDimension,
    FacilityPerformance,
    PatientGroup,
    SuppressedConditionAnalysis,
    TriageTrend,
)


class Publication(models.Model):
    """One mart as it was published on one day; what was published stays as it is."""

    day = models.DateField()
    mart = models.TextField()
    as_of = models.DateTimeField(help_text="the rows are those of this instant")
    published_at = models.DateTimeField()
    rows = models.BigIntegerField()
    changed = models.BigIntegerField(help_text="lines that were new, or no longer as on the day before it")
    batches = models.BigIntegerField(help_text="files and replays that it is made of")
    last_batch_id = models.BigIntegerField(null=True)
    digest = models.TextField(help_text="of all its lines, in whatever order")

    class Meta:
        db_table = "publications"
        ordering = ["-day", "mart"]
        constraints = [
            models.UniqueConstraint(fields=["mart", "day"], name="publications_one_a_day"),
            models.CheckConstraint(condition=Q(rows__gte=0, changed__gte=0), name="publications_counts_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.mart} of {self.day}"


class PublishedTrust(models.Model):
    """How far a publication could be trusted on its day: of the nation (no state), and of each state."""

    pk = models.CompositePrimaryKey("mart", "published_on", "state")
    mart = models.TextField()
    published_on = models.DateField()
    state = models.TextField()
    trust = models.JSONField()

    class Meta:
        managed = False
        db_table = 'scoped"."published_trust'

    def __str__(self) -> str:
        return f"{self.mart} of {self.published_on} {self.state}"


def _published(model: Any, **more: Any) -> Any:
    """The same columns as of a day."""
    fields = {field.name: field.clone() for field in model._meta.concrete_fields} | {"pk": model._meta.pk.clone()}
    if not isinstance(model._meta.pk, models.CompositePrimaryKey):
        del fields["pk"]
    table = model._meta.db_table.replace('scoped"."', 'scoped"."published_')
    meta = type("Meta", (), {"managed": False, "db_table": table, "app_label": "analytics"})
    own = {"__module__": __name__, "Meta": meta, "__str__": model.__str__, "published_on": models.DateField()}
    return type(f"Published{model.__name__}", (models.Model,), fields | more | own)


def _of_a_place(model: Any) -> Any:
    return _published(model, lga_key=models.TextField(db_collation="C"))


PublishedFacilityDimension = _of_a_place(FacilityDimension)
PublishedFacilityPerformance = _of_a_place(FacilityPerformance)
PublishedPatientGroup = _published(PatientGroup)
PublishedTriageTrend = _published(TriageTrend)
PublishedConditionAnalysis = _published(ConditionAnalysis)
PublishedSuppressedConditionAnalysis = _published(SuppressedConditionAnalysis)
MARTS = ("dim_facilities", "facility_performance", "patient_groups", "triage_trends", "condition_analysis")
PLACE = ("state", "lga_key", "facility_id")  # as it was: a facility that moves takes nothing along
MODELS = {
    FacilityDimension: PublishedFacilityDimension,
    FacilityPerformance: PublishedFacilityPerformance,
    PatientGroup: PublishedPatientGroup,
    TriageTrend: PublishedTriageTrend,
    ConditionAnalysis: PublishedConditionAnalysis,
    SuppressedConditionAnalysis: PublishedSuppressedConditionAnalysis,
}


class NotPublished(Exception):
    """Nothing was published that day; `nearest` is the last day before it on which something was."""

    def __init__(self, nearest: date | None) -> None:
        super().__init__()
        self.nearest = nearest


def find(mart: str, day: date) -> Publication:
    found = Publication.objects.filter(mart=mart, day__lte=day).order_by("-day").first()
    if found is None or found.day != day:
        raise NotPublished(found.day if found else None)
    return found


def lines(model: Any, day: date) -> "models.QuerySet[Any]":
    return MODELS[model].objects.filter(published_on=day)


def trust_of(publication: Publication, states: Sequence[str] | None) -> dict[str, Any] | None:
    """As it was kept: of the nation (None), or of one state. None of anything smaller or in between."""
    if states is not None and len(states) != 1:
        return None
    kept = PublishedTrust.objects.filter(mart=publication.mart, published_on=publication.day)
    return kept.filter(state=states[0] if states else "").values_list("trust", flat=True).first()


def suppressed(day: date, states: Sequence[str]) -> int:
    """Lines of these states, or (none) of the nation, that are hidden from who sees no small numbers."""
    found = lines(SuppressedConditionAnalysis, day).filter(suppressed=True)
    return (found.filter(state__in=states) if states else found).count()

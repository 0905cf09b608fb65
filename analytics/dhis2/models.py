"""What DHIS2 calls a facility, and what was last sent to it of each facility and month."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q

from clinical.access import READ, Scope

if TYPE_CHECKING:
    from clinical.models import User


class OrgUnit(models.Model):
    """The organisation unit of one facility. One without is listed as unmapped, and never left out in silence."""

    facility = models.OneToOneField("clinical.Facility", models.CASCADE, primary_key=True, related_name="org_unit")
    uid = models.CharField(max_length=11, unique=True, help_text="as DHIS2 has it: a letter and ten letters or digits")

    class Meta:
        db_table = "dhis2_org_units"
        verbose_name = "DHIS2 organisation unit"
        constraints = [
            models.CheckConstraint(condition=Q(uid__regex=r"^[A-Za-z][A-Za-z0-9]{10}$"), name="dhis2_org_units_uid")
        ]

    def __str__(self) -> str:
        return self.uid


class SendingQuerySet(models.QuerySet["Sending"]):
    def inside(self, scope: Scope) -> "SendingQuerySet":
        return self.filter(scope.of_places("facility__state", "facility__lga_key", "facility_id"))

    def visible_to(self, user: "User") -> "SendingQuerySet":
        return self.inside(user.access.scope(READ, "analytics"))


class Sending(models.Model):
    """The last sending of one facility and month, and what DHIS2 said to it.

    failed → accepted | partly | refused, when it is sent again; accepted is sent again only where the figures changed.
    """

    class State(models.TextChoices):
        ACCEPTED = "accepted"
        PARTLY = "partly", "partly accepted"
        REFUSED = "refused"
        FAILED = "failed", "not reached"

    facility = models.ForeignKey("clinical.Facility", models.CASCADE, related_name="+")
    month = models.DateField(help_text="its first day")
    org_unit = models.CharField(max_length=11)
    digest = models.CharField(max_length=64, help_text="SHA-256 of what was sent")
    state = models.CharField(max_length=8, choices=State.choices)
    sent_at = models.DateTimeField()
    attempts = models.SmallIntegerField(default=1)
    imported = models.IntegerField(default=0)
    updated = models.IntegerField(default=0)
    ignored = models.IntegerField(default=0)
    conflicts = models.JSONField(default=list, help_text="what DHIS2 did not take, in its words")

    objects = SendingQuerySet.as_manager()

    class Meta:
        db_table = "dhis2_sendings"
        verbose_name = "sending to DHIS2"
        verbose_name_plural = "sendings to DHIS2"
        ordering = ["-month", "facility_id"]
        constraints = [
            models.UniqueConstraint(fields=["month", "facility"], name="dhis2_sendings_last_of_each"),
            models.CheckConstraint(
                condition=Q(state__in=["accepted", "partly", "refused", "failed"]), name="dhis2_sendings_state_is_known"
            ),
            models.CheckConstraint(condition=Q(month__day=1), name="dhis2_sendings_month_is_a_first_day"),
        ]

    def __str__(self) -> str:
        return f"Sending {self.pk}"

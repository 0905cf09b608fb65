"""People and programs that log in, what they may do, and what they did."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from clinical import access, geography, row_security, values
from clinical.models.columns import holds, key_of
from clinical.sealing import SealedField

if TYPE_CHECKING:
    from clinical.smart.scopes import Scopes


class User(AbstractUser):
    """A person or program that may log in.

    Whoever is disabled, or whose password changes, is logged out everywhere by a trigger (migration 0010).
    """

    must_change_password = models.BooleanField(
        default=False, help_text="the password is somebody else's choice: it lets in to choose another, and no further"
    )

    # By which key a program has come that may be narrower than its user; set by who has let it in.
    via_token: int | None = None  # of ProgramToken
    via_client: int | None = None  # of SmartClient
    fhir_scopes: "Scopes | None" = None

    def check_password(self, raw_password: str | None) -> bool:
        """A right one may be hashed anew, as today's settings want it: by its owner."""
        with row_security.standing_for(self.pk):
            return super().check_password(raw_password)

    @cached_property
    def access(self) -> access.Access:
        """What this user may do, as it stood when it was first asked for: ask anew with each request."""
        if not self.is_active:
            return access.NOBODY
        if self.is_superuser:
            return access.EVERYTHING
        rows = self.memberships.values_list("role", "state", "lga_key", "facility_id")
        return access.Access(tuple(access.Grant(access.Role(role), *scope) for role, *scope in rows))


class Membership(models.Model):
    """One pair of a role and a scope: the nation where nothing is given, else a state, an LGA of it, or a facility."""

    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=access.Role.choices)
    state = models.CharField(max_length=values.LENGTHS["state"], choices=[(s, s) for s in geography.STATES], blank=True)
    lga = models.CharField("LGA", max_length=values.LENGTHS["lga"], blank=True)
    facility = models.ForeignKey("Facility", models.CASCADE, null=True, blank=True, related_name="+")
    lga_key = key_of("lga")

    class Meta:
        db_table = "memberships"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "state", "lga_key", "facility"],
                name="memberships_identity",
                nulls_distinct=False,
            ),
            holds(Q(role__in=access.Role.values), "memberships_role_is_known"),
            holds(Q(state="") | Q(state__in=geography.STATES), "memberships_state_is_known"),
            holds(Q(lga="") | ~Q(state=""), "memberships_lga_of_a_state"),
            holds(Q(facility__isnull=True) | Q(state=""), "memberships_one_scope"),
        ]

    def __str__(self) -> str:
        where = self.facility or ", ".join(filter(None, (self.lga, self.state))) or "national"
        return f"{self.role} ({where})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.lga:
            self.lga = values.lga(self.lga, self.state) or self.lga
        super().save(*args, **kwargs)


class IdempotencyKey(models.Model):
    """The first answer to a POST that named a key, so that the same request again changes nothing; kept for a day."""

    user = models.ForeignKey(User, models.CASCADE, related_name="+")
    route = models.TextField()
    key = models.CharField(max_length=255)
    body_digest = models.BinaryField(max_length=32)
    status = models.SmallIntegerField()
    body = SealedField(bound_to=("user_id", "route", "key"), help_text="it may hold a person's values")
    headers = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=TransactionNow())

    class Meta:
        db_table = "idempotency_keys"
        constraints = [models.UniqueConstraint(fields=["user", "route", "key"], name="idempotency_keys_identity")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_keys_age")]

    def __str__(self) -> str:
        return f"Key {self.pk}"

"""How people and programs get in, and how long they stay: log-ins, tokens of programs, second factors, failures."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q

from clinical import access, geography, values
from clinical.models.columns import holds, key_of
from clinical.sealing import SealedField


class Login(models.Model):
    """One log-in with a password, from its beginning to its end: a browser's session, or an app's chain of tokens.

    Alive until `ended_at` is set; what is too old or too long unused is found out when it is asked for.
    """

    class Kind(models.TextChoices):
        BROWSER = "browser"
        APP = "app"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="logins")
    kind = models.CharField(max_length=7, choices=Kind.choices)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="to the minute in a browser, at the last refresh in an app")
    ended_at = models.DateTimeField(null=True, blank=True)
    verified_at = models.DateTimeField(null=True, blank=True, help_text="when the second factor was given")
    address = models.CharField(max_length=45, blank=True)
    refresh_digest = models.BinaryField(max_length=32, null=True, editable=False)

    class Meta:
        db_table = "logins"
        ordering = ["-id"]
        constraints = [
            holds(Q(kind__in=["browser", "app"]), "logins_kind_is_known"),
            holds(Q(kind="browser") | Q(refresh_digest__isnull=False), "logins_of_apps_have_a_refresh_token"),
        ]
        indexes = [
            # All that a user has open: shown, counted and ended together.
            models.Index(fields=["user", "id"], condition=Q(ended_at__isnull=True), name="logins_open_of_a_user"),
        ]

    def __str__(self) -> str:
        return f"Log-in {self.pk}"


class ProgramToken(models.Model):
    """A long random token by which a program logs in as its user; only its hash is kept.

    It may be narrower than its user: one role, one place, reading only, from some addresses. What both allow counts.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tokens")
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="to the hour")
    role = models.CharField(max_length=10, choices=access.Role.choices, blank=True, default="")
    state = models.CharField(
        max_length=values.LENGTHS["state"], choices=[(s, s) for s in geography.STATES], blank=True, default=""
    )
    lga = models.CharField("LGA", max_length=values.LENGTHS["lga"], blank=True, default="")
    facility = models.ForeignKey("Facility", models.CASCADE, null=True, blank=True, related_name="+")
    lga_key = key_of("lga")
    is_read_only = models.BooleanField(default=False)
    networks = ArrayField(
        models.CharField(max_length=43), blank=True, default=list, help_text="where it may come from; none: anywhere"
    )

    class Meta:
        db_table = "program_tokens"
        ordering = ["-id"]
        constraints = [
            holds(Q(role="") | Q(role__in=access.Role.values), "program_tokens_role_is_known"),
            holds(Q(lga="") | ~Q(state=""), "program_tokens_lga_of_a_state"),
            holds(Q(facility__isnull=True) | Q(state=""), "program_tokens_one_scope"),
        ]

    def __str__(self) -> str:
        return f"Token {self.pk}"


class SecondFactor(models.Model):
    """The secret that a user's phone makes codes of (TOTP, RFC 6238); counts once a first code has confirmed it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="second_factor", primary_key=True
    )
    secret = SealedField(bound_to=["user_id"], editable=False)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    last_step = models.BigIntegerField(default=0, help_text="of the last code that was taken: none is taken twice")

    class Meta:
        db_table = "second_factors"

    def __str__(self) -> str:
        return f"Second factor of user {self.pk}"


class RecoveryCode(models.Model):
    """A code for whoever has lost the phone, good for one use; only its hash is kept. A used one is deleted."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="recovery_codes")
    digest = models.BinaryField(max_length=32, editable=False)

    class Meta:
        db_table = "recovery_codes"
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="recovery_codes_identity")]

    def __str__(self) -> str:
        return f"Recovery code {self.pk}"


class LoginFailures(models.Model):
    """How often somebody has failed to log in lately: of one name, or from one address, of which a keyed hash is kept.

    Here and not in Redis, so that nobody gets more tries by Redis going away.
    """

    who = models.BinaryField(max_length=32, primary_key=True, editable=False)
    failed = models.IntegerField()
    since = models.DateTimeField(help_text="the first one, or the one that was too many")

    class Meta:
        db_table = "login_failures"

    def __str__(self) -> str:
        return f"{self.failed} failures"

"""Programs that log in with a key of their own (SMART backend services)."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.db import models
from django.db.models import Q

from clinical.models.columns import holds


class SmartClient(models.Model):
    """A registered program: it acts as its user, and proves with one of these public keys that it is the program."""

    client_id = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="smart_clients")
    keys = models.JSONField(help_text="a JWKS of public keys; they are pasted, never fetched")
    scopes = ArrayField(models.TextField(), help_text="the widest that it may ask for, as system/*.rs")
    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "smart_clients"
        verbose_name = "SMART client"
        ordering = ["client_id"]
        constraints = [
            holds(Q(client_id__regex=r"^[A-Za-z0-9._-]{1,64}$"), "smart_clients_id_is_plain"),
            holds(Q(scopes__len__gt=0), "smart_clients_may_something"),
        ]

    def __str__(self) -> str:
        return self.client_id


class SmartToken(models.Model):
    """What an assertion was exchanged for: good for minutes, and for these scopes. Only its hash is kept.

    An assertion is good for one: that its `jti` comes once only is a promise of this table.
    """

    client = models.ForeignKey(SmartClient, models.CASCADE, related_name="tokens", db_index=False)
    jti = models.TextField()
    digest = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = ArrayField(models.TextField())
    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    expires_at = models.DateTimeField(help_text="kept an hour longer, by when its assertion is over too")

    class Meta:
        db_table = "smart_tokens"
        constraints = [models.UniqueConstraint(fields=["client", "jti"], name="smart_tokens_one_of_an_assertion")]
        indexes = [models.Index(fields=["expires_at"], name="smart_tokens_age")]

    def __str__(self) -> str:
        return f"Token {self.pk}"

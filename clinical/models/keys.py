"""What sealed values are compared by."""

from django.db import models
from django.db.models import Q

from clinical.sealing import SealedField


class IndexKey(models.Model):
    """The one key of the keyed hashes (clinical/keyed.py), sealed like what they are hashes of."""

    id = models.BigIntegerField(primary_key=True, default=1)
    key = SealedField()

    class Meta:
        db_table = "index_keys"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="index_keys_only_one")]

    def __str__(self) -> str:
        return "The key of the hashes"

"""What the models' columns and promises are written with."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Collate, Lower


def key_of(field: str) -> models.GeneratedField:
    """The one definition of when two names are equal: lower case by Unicode's own table, on text that is NFC already.

    pg_c_utf8 is built into PostgreSQL 17+, so that the key is the same on every machine; "C" makes it cheap to sort.
    """
    return models.GeneratedField(
        expression=Lower(Collate(field, "pg_c_utf8")),
        output_field=models.TextField(db_collation="C"),
        db_persist=True,
    )


def holds(condition: Q, name: str) -> models.CheckConstraint:
    return models.CheckConstraint(condition=condition, name=name)

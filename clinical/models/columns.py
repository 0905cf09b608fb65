"""What the models' columns and promises are written with."""

from typing import Any

from django.db import models
from django.db.models import Func, Q
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


class Numbers(models.Field):
    """A set of whole numbers, which takes little room where they follow one another: `{[1,5),[7,9)}`."""

    def db_type(self, connection: Any) -> str:
        return "int8multirange"


class CurrentTransaction(Func):
    """Its number, as PostgreSQL counts them without ever starting again; as a bigint, which has every index."""

    template = "(pg_current_xact_id()::text)::bigint"
    output_field = models.BigIntegerField()
    arity = 0

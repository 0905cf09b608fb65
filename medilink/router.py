"""Which database a model is read from: the replica inside `replica.answered`, and the primary everywhere else."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from clinical import replica

# Who somebody is and what they may do: a right that has been taken away is gone at once.
OF_PRIMARY = {
    "clinical.user",
    "clinical.membership",
    "clinical.login",
    "clinical.programtoken",
    "clinical.secondfactor",
    "sessions.session",
}


class Router:
    def db_for_read(self, model: type[Model], **_: Any) -> str:
        is_there = replica.is_reading() and model._meta.label_lower not in OF_PRIMARY
        return replica.ALIAS if is_there else DEFAULT_DB_ALIAS

    def db_for_write(self, model: type[Model], **_: Any) -> str:
        return DEFAULT_DB_ALIAS

    def allow_relation(self, one: Model, other: Model, **_: Any) -> bool:
        return True  # they are the same rows

    def allow_migrate(self, alias: str, label: str, **_: Any) -> bool:
        return alias == DEFAULT_DB_ALIAS

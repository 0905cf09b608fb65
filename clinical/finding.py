"""What is typed into a search box of the desk, as conditions that an index answers at any number of rows."""

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db.models import BigIntegerField, Func, Q, QuerySet, TextField, Value

from clinical import row_security, values
from clinical.api.filters import key
from clinical.models import Patient

LETTERS = 3  # of one word at least: the index on parts of names knows nothing shorter
PATIENTS = 200  # whose events are shown for a name


class TooShort(Exception):
    """No word has letters enough to be looked for."""


def patients(rows: "QuerySet[Any]", text: str) -> "QuerySet[Any]":
    """Those with this id, whole phone number or patient number; else with each word as a part of a name."""
    if any(map(str.isdigit, text)):
        phone = values.phone(text)
        same = Q(pk=_number(text)) | Q(patient_number=text) | (Q(phone=phone) if phone else Q(pk=None))
        return rows.filter(same)
    words = text.split()
    if not any(len(word) >= LETTERS for word in words):
        raise TooShort
    return named(rows, words)


class PatientsNamed(Func):
    """The ids that the index on parts of names finds, within the scope for which the statement stands (0010)."""

    template = "(SELECT patients_named(%(expressions)s))"
    output_field = BigIntegerField()


def named(rows: "QuerySet[Any]", words: list[str]) -> "QuerySet[Any]":
    """Those with each word as a part of the first or the last name."""
    if row_security.who() is not None:  # no policy lets LIKE meet an index before it has been asked itself
        return rows.filter(pk__in=PatientsNamed(Value(words, ArrayField(TextField()))))
    for word in words:
        part = key(Value(word))
        rows = rows.filter(Q(first_name_key__contains=part) | Q(last_name_key__contains=part))
    return rows


def events(
    rows: "QuerySet[Any]", text: str, external_id: str, whose: "QuerySet[Patient]"
) -> "tuple[QuerySet[Any], bool]":
    """Those with this id, here or at the source, or of the patients who are called so; and whether of all of those."""
    everywhere = rows.model.objects.order_by().values_list("pk", flat=True)
    ids = [*everywhere.filter(**{external_id: text})[:PATIENTS]]
    if text.isdigit():
        return rows.filter(pk__in=[*ids, _number(text)]), True
    try:
        named = [*patients(whose, text).order_by().values_list("pk", flat=True)[: PATIENTS + 1]]
    except TooShort:
        named = []
    # By their own ids: beside the facilities of a scope PostgreSQL would not see that these are few.
    ids += everywhere.filter(patient__in=named[:PATIENTS])
    return rows.filter(pk__in=ids), len(named) <= PATIENTS


def _number(text: str) -> int | None:
    """An id, where the text can be one."""
    return int(text) if text.isdecimal() and len(text) < 19 else None

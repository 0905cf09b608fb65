"""The rules that concern a batch. How stewards make them and take them back: ingestion/rulemaking.py.

A rule is applied where cells are read (ingestion/rows.py) or, for a facility's name, where names are resolved
(load/places.py); both note which lines came in by it, so that taking it back parks exactly those again.
"""

from django.db.models import Q, QuerySet

from clinical.keyed import hashes
from ingestion.datasets import Dataset
from ingestion.models import IngestBatch, RejectedRow, Rule, RuleUse
from ingestion.models.answers import RuleQuerySet
from ingestion.models.batches import folders_in
from ingestion.objects import folder_state
from ingestion.rulebook import NO_RULES, Rulebook, Ruling


def in_force(batch: IngestBatch) -> Rulebook:
    """Those that may change what a cell of the batch's rows says; facilities' names are resolved in the database."""
    return _rulebook(batch, Rule.objects.active())


def used_by(batch: IngestBatch) -> Rulebook:
    """Those by which rows of the batch came in, in force or not, as far as their rows have stayed."""
    return _rulebook(batch, Rule.objects.filter(pk__in=RuleUse.objects.filter(batch=batch).values("rule")))


def _rulebook(batch: IngestBatch, chosen: RuleQuerySet) -> Rulebook:
    rules = chosen.for_source(batch.source).exclude(about=Rule.About.FACILITY)
    found: dict[str, dict[str, list[Ruling]]] = {}
    for rule in rules.only("about", "text_key", "value", "state"):
        found.setdefault(rule.about, {}).setdefault(rule.text_key, []).append(Ruling(rule.pk, rule.value, rule.state))
    return Rulebook(found, folder_state(batch.folder) or "") if found else NO_RULES


# The cells that a rule is about, by dataset.
CELLS: dict[str, dict[Dataset, str]] = {
    Rule.About.FACILITY: dict.fromkeys([d for d in Dataset if d.stage], "facility_name"),
    Rule.About.STATE: {Dataset.FACILITIES: "state"} | dict.fromkeys([d for d in Dataset if d.stage], "facility_state"),
    Rule.About.LGA: {Dataset.FACILITIES: "lga"} | dict.fromkeys([d for d in Dataset if d.stage], "facility_lga"),
    Rule.About.SEX: {Dataset.PATIENTS: "sex"},
    Rule.About.DIAGNOSIS: {Dataset.MEDICAL_RECORDS: "diagnosis"},
}


def waiting(rule: Rule) -> "QuerySet[RejectedRow]":
    """Open rows in the rule's reach of which a cell has its text."""
    said, text = Q(pk__in=[]), hashes().hex_of(rule.text_key)
    columns = CELLS[rule.about]
    rows = RejectedRow.objects.filter(state=RejectedRow.State.OPEN, dataset__in=[*columns])
    for column in {*columns.values()}:
        datasets = [dataset for dataset in columns if columns[dataset] == column]
        said |= Q(dataset__in=datasets, **{f"cell_keys__{column}": text})
    rows = rows.filter(said)
    if rule.source:
        rows = rows.filter(source=rule.source)
    if rule.state:
        rows = rows.filter(Q(named_state=rule.state) | Q(batch__folder__in=folders_in({rule.state})))
    return rows

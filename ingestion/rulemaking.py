"""How stewards make a rule of a correction: tried first, then put in force, changed by a new version, taken back."""

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, OperationalError, transaction
from django.db.models import Func, QuerySet, TextField
from django.db.models.fields.json import KT
from django.db.models.functions import Now
from django.utils import timezone

from clinical import access, audit, merging, row_security, values
from clinical.models import Facility, MedicalRecord
from ingestion import queue, replay, reverting, rulebook, rules, stewards
from ingestion.models import IngestBatch, RejectedRow, Rule, RuleUse
from ingestion.objects import folder_state, lagos_day
from ingestion.parking import park_lines
from ingestion.stewards import NotPossible

if TYPE_CHECKING:
    from clinical.models import User

MOST_TRIED = 20_000  # rows, before a rule is saved; of more, so many are tried
MOST_COUNTED = 100_000
TAKEN_BACK = "RULE_TAKEN_BACK"


@dataclass(frozen=True)
class Proposal:
    """What a steward would have a text mean, and where. `value` is not used where `facility` is."""

    about: str
    text: str
    facility: Facility | None = None
    value: str = ""
    source: str = ""
    state: str = ""
    expires_on: date | None = None
    why: str = ""
    replaces: Rule | None = None


@dataclass(frozen=True)
class Preview:
    """What a rule would do. `freed` is None where a load is at work and it could not be tried."""

    waiting: int
    tried: int = 0
    freed: int | None = None
    still: dict[str, int] = field(default_factory=dict)  # reason → rows that stay refused
    would_have_changed: dict[str, int] = field(default_factory=dict)  # table → rows that are stored already


class _TriedOut(Exception):
    pass


@row_security.lifted()
def preview(proposal: Proposal, *, by: "User") -> Preview:
    """Tries the rule and leaves no trace. Raises NotPossible as `save` does."""
    found: list[Preview] = []
    try:
        with transaction.atomic():
            rule = _put_in_force(proposal, by)
            rows = rules.waiting(rule)
            found.append(Preview(rows.count(), would_have_changed=_accepted(rule)))
            with transaction.atomic():
                found.append(_try(rule, found[0]))
            raise _TriedOut
    except _TriedOut:
        pass
    except OperationalError:
        if not found:
            raise
    return found[-1]


def _try(rule: Rule, so_far: Preview) -> Preview:
    ids = [*rules.waiting(rule).order_by("pk").values_list("pk", flat=True)[:MOST_TRIED]]
    batches = replay.replay(RejectedRow.objects.filter(pk__in=ids))
    still: dict[str, int] = {}
    refused = RejectedRow.objects.filter(pk__in=ids, state=RejectedRow.State.OPEN)
    for reasons in refused.values_list("reasons", flat=True):
        still[reasons[0]] = still.get(reasons[0], 0) + 1
    freed = sum(batch.rows_read - batch.rejected for batch in batches)
    return Preview(so_far.waiting, len(ids), freed, still, so_far.would_have_changed)


@row_security.lifted()
def save(proposal: Proposal, *, by: "User") -> Rule:
    """Puts the rule in force; what waits for it is tried by `apply`. Raises NotPossible."""
    with audit.acting(by, "rule", "rules", about=proposal.about, reach=proposal.source or proposal.state or "all"):
        return _put_in_force(proposal, by)


@row_security.lifted()
def apply(rule: Rule, *, by: "User | None") -> list[IngestBatch]:
    """Tries the rows again that wait for the rule; twice does no harm."""
    return stewards.replay(rules.waiting(rule), by=by)


@row_security.lifted()
def end(rule: Rule, *, why: str, by: "User") -> None:
    """The rule applies no more; what came in by it stays."""
    if not why.strip():
        raise NotPossible("Say why the rule ends.")
    with audit.acting(by, "end", "rules", rule.pk):
        ended = Rule.objects.filter(pk=rule.pk, ended_at=None)
        if not ended.update(ended_at=Now(), ended_by=by, ended_why=why.strip()):
            raise NotPossible("This rule is not in force any more.")


@row_security.lifted()
def take_back(rule: Rule, *, why: str, by: "User") -> int:
    """The rule ends, and exactly the rows that came in by it wait again; returns how many.

    Raises NotPossible, or reverting.Obstructed where later changes rest on one of them. They are tried at once without
    the rule: what its own text would have let in lands as it was delivered.
    """
    if not why.strip():
        raise NotPossible("Say why the rule is taken back.")
    with audit.acting(by, "take_back", "rules", rule.pk), audit.unhurried():
        rule = Rule.objects.select_for_update(of=("self",)).get(pk=rule.pk)
        if rule.is_taken_back:
            raise NotPossible("This rule is taken back already.")
        ended = {} if rule.ended_at else {"ended_at": Now(), "ended_by": by, "ended_why": why.strip()}
        Rule.objects.filter(pk=rule.pk).update(is_taken_back=True, **ended)
        uses = RuleUse.objects.filter(rule=rule)
        parked = park_lines(uses, TAKEN_BACK)
        reverting.undo_uses(uses)
        RejectedRow.objects.filter(pk__in=parked).update(reasons=[TAKEN_BACK], tried_at=Now())
    try:
        stewards.replay(RejectedRow.objects.filter(pk__in=parked), by=by)
    except OperationalError:  # a load is at work; the rows wait, and a worker tries them
        queue.send("replay_rows", parked, by.pk)
    return len(parked)


# --- What may be said


def _put_in_force(proposal: Proposal, by: "User") -> Rule:
    text = _cleaned(proposal.text)
    meaning = _meaning(proposal, text)
    _refuse_out_of_reach(proposal, by)
    old = proposal.replaces
    if old:
        ended = Rule.objects.filter(pk=old.pk, ended_at=None)
        if not ended.update(ended_at=Now(), ended_by=by, ended_why="Replaced by a newer version."):
            raise NotPossible("This rule is not in force any more; make a new one.")
    try:
        with transaction.atomic():
            rule = Rule.objects.create(
                about=proposal.about,
                text=text,
                source=proposal.source.strip(),
                state=proposal.state,
                expires_on=proposal.expires_on,
                why=proposal.why.strip(),
                version=old.version + 1 if old else 1,
                replaces=old,
                decided_by=by,
                **meaning,
            )
    except IntegrityError:
        raise NotPossible("There is a rule on this text with this reach already; change that one.") from None
    rule.refresh_from_db()
    return rule


def _cleaned(text: str) -> str:
    cleaned, _ = values.text(text, is_name=True)
    if not cleaned:
        raise NotPossible("Give the text that the files have.")
    return cleaned


def _meaning(proposal: Proposal, text: str) -> dict[str, Any]:
    if proposal.expires_on and proposal.expires_on <= lagos_day(timezone.now()):
        raise NotPossible("The rule would be over already; choose a later day.")
    if proposal.about == Rule.About.FACILITY:
        if not proposal.facility:
            raise NotPossible("Choose the facility that is meant.")
        return {"facility": merging.survivor_of(proposal.facility)}
    judge = _JUDGES[Rule.About(proposal.about)]
    try:
        value = judge(proposal.value.strip(), proposal.state)
    except values.Invalid:
        value = None
    if not value:
        raise NotPossible(_UNKNOWN[Rule.About(proposal.about)])
    try:
        is_known = proposal.about != Rule.About.DIAGNOSIS and judge(text, proposal.state)
    except values.Invalid:
        is_known = None
    if is_known:
        raise NotPossible("This text is understood without a rule.")
    if rulebook.key_of(text) == rulebook.key_of(value):
        raise NotPossible("It means itself already.")
    return {"value": value}


_JUDGES: dict[Rule.About, Any] = {
    Rule.About.STATE: lambda value, _: values.state(value) if value else None,
    Rule.About.LGA: lambda value, state: values.lga(value, state) if state else None,
    Rule.About.SEX: lambda value, _: values.sex(value) if value else None,
    Rule.About.DIAGNOSIS: lambda value, _: values.text(value, is_name=False)[0],
}
_UNKNOWN = {
    Rule.About.STATE: "Choose one of the 36 states or FCT.",
    Rule.About.LGA: "Choose the state in which the rule holds, and an LGA of that state.",
    Rule.About.SEX: "Choose M, F, Other or Unknown.",
    Rule.About.DIAGNOSIS: "Give the diagnosis that is meant.",
}


def _refuse_out_of_reach(proposal: Proposal, by: "User") -> None:
    """A state's steward makes rules for the files of that state."""
    scope = by.access.scope(access.UPDATE, "deliveries")
    named = {proposal.state, folder_state(proposal.source.rpartition("/")[0])} - {"", None}
    if not scope.is_national and not named & scope.states:
        raise NotPossible("Limit the rule to a state of yours; only national stewards make rules for all.")


def _accepted(rule: Rule) -> dict[str, int]:
    """Stored rows that would have been others, had the rule been in force. Saving it does not change them."""
    found: dict[str, QuerySet[Any]] = {}
    if rule.about == Rule.About.LGA:
        found["facilities"] = Facility.objects.present().filter(state=rule.state, lga_key=rule.text_key)
    if rule.about == Rule.About.DIAGNOSIS:
        records = MedicalRecord.objects.present()
        if rule.state:
            records = records.filter(facility__state=rule.state)
        key = Func(KT("data__diagnosis"), function="lower", output_field=TextField())
        found["medical_records"] = records.alias(key=key).filter(key=rule.text_key)
    if rule.source:
        batches = IngestBatch.objects.filter(source=rule.source).values("pk")
        found = {table: rows.filter(batch_id__in=batches) for table, rows in found.items()}
    counts = {table: rows.order_by()[:MOST_COUNTED].count() for table, rows in found.items()}
    return {table: count for table, count in counts.items() if count}

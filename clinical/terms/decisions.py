"""What a steward says a word means, and taking it back. Each is a line that stays, with its line of the audit."""

import re

from django.db import connection, transaction

from clinical import access, audit
from clinical.models import TermDecision, User
from clinical.terms import counting, shipped
from clinical.terms.shipped import SYSTEMS, Coding, Kind

ICD10_CODE = re.compile(r"[A-Z][0-9]{2}(\.[0-9]{1,2})?")
MEDICINE_CODE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
CODES = {Kind.DIAGNOSIS: ICD10_CODE, Kind.MEDICATION: MEDICINE_CODE}


class NotPossible(Exception):
    """With the reason in words."""


def may_decide(user: User) -> bool:
    """A national steward: a word means the same in every state. Only stewards may delete records."""
    return user.access.scope(access.DELETE, "records").is_national


def coding_of(kind: Kind, code: str, display: str) -> Coding:
    """A concept of the map, or one that the steward names in full."""
    code = code.strip()
    known = shipped.concepts(kind, shipped.newest()).get(code)
    if known:
        return known[0]
    if not CODES[kind].fullmatch(code):
        raise NotPossible("That is no code of this system.")
    if not display.strip():
        raise NotPossible("The map does not have this code; say in words what it means.")
    return Coding(SYSTEMS[kind], code, display.strip())


@transaction.atomic
def decide(kind: Kind, key: str, text: str, coding: Coding | None, *, by: User, reason: str) -> TermDecision:
    """The word means this from now on, and applied backwards; without a coding none of the map's concepts."""
    _refuse(by, reason)
    _in_turn()
    system, code, display = coding or ("", "", "")
    done = TermDecision.objects.create(
        kind=kind, key=key, text=text, system=system, code=code, display=display, reason=reason, decided_by=by
    )
    audit.note(by, "decide_term", "term_decisions", done.pk, kind=kind, code=code)
    counting.read_again(kind, key)
    return done


@transaction.atomic
def take_back(decision: TermDecision, *, by: User, reason: str) -> TermDecision:
    """It holds no more; the one before it does, or the delivered map."""
    _refuse(by, reason)
    _in_turn()
    if decision.takes_back_id or TermDecision.objects.filter(takes_back=decision).exists():
        raise NotPossible("It was taken back already.")
    done = TermDecision.objects.create(
        kind=decision.kind, key=decision.key, text=decision.text, takes_back=decision, reason=reason, decided_by=by
    )
    audit.note(by, "take_back_term", "term_decisions", done.pk, kind=decision.kind)
    counting.read_again(decision.kind, decision.key)
    return done


def _refuse(by: User, reason: str) -> None:
    if not may_decide(by):
        raise NotPossible("Only a national steward says what a word means.")
    if not reason.strip():
        raise NotPossible("Say why; it is kept with the decision.")


def _in_turn() -> None:
    """Numbers follow one another as transactions do, so that no version ever gets a decision later on."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [counting.LOCK])

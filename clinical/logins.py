"""Making and ending log-ins: users with their roles and scopes, and the tokens of programs."""

import hashlib
import secrets
from datetime import timedelta

from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from clinical import audit, values
from clinical.access import Role
from clinical.models import Facility, Membership, ProgramToken, User
from clinical.values import Invalid

PREFIX = "ml_"


class Refused(Exception):
    """It cannot be done as asked; the text says what to do."""


@transaction.atomic
def create_user(
    name: str,
    role: str,
    *,
    state: str = "",
    lga: str = "",
    facility_id: int | None = None,
    password: str | None = None,
) -> tuple[User, Membership, bool]:
    """The user, who now holds this pair too, and whether the user is new. Without a password there is none."""
    user, is_new = User.objects.get_or_create(username=name)
    if password is not None:
        validate_password(password, user)
        user.set_password(password)
    elif is_new:
        user.set_unusable_password()
    user.is_staff = user.is_staff or role == Role.STEWARD
    user.save()
    pair = Membership.objects.filter(user=user, role=role, state=state, facility=facility_id)
    known = [one for one in pair if values.lga(one.lga, state) == values.lga(lga, state) or one.lga == lga]
    membership = known[0] if known else Membership(user=user, role=role, state=state, lga=lga, facility_id=facility_id)
    if not known:
        membership.save()
    return user, membership, is_new


def place(state: str | None, lga: str | None, facility_id: int | None) -> tuple[str, str, int | None]:
    """What a scope's options name, as it is stored: an LGA is written STATE/LGA."""
    if facility_id is not None:
        if not Facility.objects.present().filter(pk=facility_id).exists():
            raise Refused(f"There is no facility {facility_id}; /api/facilities lists them.")
        return "", "", facility_id
    if lga is not None:
        state, slash, lga = lga.partition("/")
        if not slash:
            raise Refused("Write the LGA with its state, as KANO/Dala.")
    if state is None:
        return "", "", None
    try:
        found = values.state(state)
    except Invalid as error:
        raise Refused("There is no such state; write its name, as KANO or Akwa Ibom.") from error
    if lga is None:
        return found, "", None
    official = values.lga(lga, found)
    if official is None:
        raise Refused(f"{found} has no LGA of that name.")
    return found, official, None


def issue_token(name: str, days: int) -> str:
    """A new token of the user; it is shown once, here."""
    user = User.objects.filter(username=name).first()
    if user is None:
        raise Refused(f"There is no user {name}; make one with create_user.")
    if not user.is_active:
        raise Refused(f"The user {name} is disabled.")
    token = PREFIX + secrets.token_urlsafe(32)
    ProgramToken.objects.create(user=user, digest=digest_of(token), expires_at=timezone.now() + timedelta(days=days))
    return token


def revoke_token(name_or_token: str) -> int:
    """Ends one token, or all of a user; returns how many were alive."""
    tokens: QuerySet[ProgramToken]
    if name_or_token.startswith(PREFIX):
        tokens = ProgramToken.objects.filter(digest=digest_of(name_or_token))
    elif User.objects.filter(username=name_or_token).exists():
        tokens = ProgramToken.objects.filter(user__username=name_or_token)
    else:
        raise Refused("There is neither a user nor a token of this name.")
    alive = tokens.filter(revoked_at=None, expires_at__gt=timezone.now())
    for token in alive:
        audit.note(None, "revoke_token", "program_tokens", token.pk, user_id=token.user_id)
    return alive.update(revoked_at=timezone.now())


def digest_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

"""Making and ending log-ins: users with their roles and scopes, and the tokens of programs."""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address, ip_network

from django.contrib.auth.password_validation import validate_password
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from clinical import audit, lockout, row_security, sessions, values
from clinical.access import Role
from clinical.models import Facility, Membership, ProgramToken, User
from clinical.values import Invalid

PREFIX = "ml_"
USERS = "clinical_user"


class Refused(Exception):
    """It cannot be done as asked; the text says what to do."""


@transaction.atomic
def create_user(
    name: str,
    role: str = "",
    *,
    state: str = "",
    lga: str = "",
    facility_id: int | None = None,
    password: str | None = None,
    is_superuser: bool = False,
) -> tuple[User, Membership | None, bool]:
    """The user, who now holds this pair too, and whether the user is new. Without a password there is none."""
    user, is_new = User.objects.get_or_create(username=name)
    if password is not None:
        validate_password(password, user)
        user.set_password(password)
    elif is_new:
        user.set_unusable_password()
    user.is_superuser = user.is_superuser or is_superuser
    user.is_staff = user.is_staff or user.is_superuser or role == Role.STEWARD
    user.save()
    if not role:
        return user, None, is_new
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


def issue_token(
    name: str,
    days: int,
    *,
    role: str = "",
    state: str = "",
    lga: str = "",
    facility_id: int | None = None,
    is_read_only: bool = False,
    networks: Iterable[str] = (),
) -> str:
    """A new token of the user, as narrow as asked for; it is shown once, here."""
    user = known_user(name)
    if not user.is_active:
        raise Refused(f"The user {name} is disabled.")
    if role and not user.is_superuser and role not in user.access.roles:
        raise Refused(f"The user {name} is no {role}; a token cannot be more than its user.")
    try:
        places = [str(ip_network(network)) for network in networks]
    except ValueError as error:
        raise Refused("Write an address as 41.58.0.7, a network as 41.58.0.0/24.") from error
    token = PREFIX + secrets.token_urlsafe(32)
    ProgramToken.objects.create(
        user=user,
        digest=sessions.digest_of(token),
        expires_at=timezone.now() + timedelta(days=days),
        role=role,
        state=state,
        lga=lga,
        facility_id=facility_id,
        is_read_only=is_read_only,
        networks=places,
    )
    return token


def revoke_token(name_or_token: str) -> int:
    """Ends one token, or all of a user; returns how many were alive."""
    tokens: QuerySet[ProgramToken]
    if name_or_token.startswith(PREFIX):
        tokens = ProgramToken.objects.filter(digest=sessions.digest_of(name_or_token))
    elif User.objects.filter(username=name_or_token).exists():
        tokens = ProgramToken.objects.filter(user__username=name_or_token)
    else:
        raise Refused("There is neither a user nor a token of this name.")
    return revoke(tokens)


@transaction.atomic
def revoke(tokens: "QuerySet[ProgramToken]") -> int:
    alive = living(tokens)
    for token in alive:
        audit.note(None, "revoke_token", "program_tokens", token.pk, user_id=token.user_id)
    return alive.update(revoked_at=timezone.now())


def living(tokens: "QuerySet[ProgramToken]") -> "QuerySet[ProgramToken]":
    return tokens.filter(revoked_at=None, expires_at__gt=timezone.now())


def limits_of(token: ProgramToken) -> str:
    """In words; a token that has none allows what its user may do."""
    where = token.facility or ", ".join(filter(None, (token.lga, token.state)))
    said = [token.role, str(where), "reading only" if token.is_read_only else "", " ".join(token.networks)]
    return ", ".join(filter(None, said)) or "all that its user may do"


def state_of(token: ProgramToken) -> str:
    return "ended" if token.revoked_at else "expired" if token.expires_at <= timezone.now() else "alive"


def is_from(address: str, networks: Iterable[str]) -> bool:
    return bool(address) and any(ip_address(address) in _network(network) for network in networks)


_network = lru_cache(maxsize=256)(ip_network)


def note_use(token_id: int) -> None:
    """At most once an hour, so that it costs nothing; of many requests at once one writes."""
    now = timezone.now()
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - timedelta(hours=1))
    ProgramToken.objects.filter(stale, pk=token_id).update(last_used_at=now)


# --- What ends them


def known_user(name: str) -> User:
    user = User.objects.filter(username=name).first()
    if user is None:
        raise Refused(f"There is no user {name}; make one with create_user.")
    return user


@transaction.atomic
def disable(user: User, *, by: User | None, reason: str) -> None:
    """Ends at once all that the user has open; the log-ins and tokens by a trigger, whoever disables."""
    if is_last_superuser(user):
        raise Refused("This is the last superuser; make another one first.")
    User.objects.filter(pk=user.pk).update(is_active=False)
    audit.note(by, "disable", USERS, user.pk, reason=reason)


@transaction.atomic
def enable(user: User, *, by: User | None) -> None:
    """The user logs in anew; no token comes back."""
    User.objects.filter(pk=user.pk).update(is_active=True)
    audit.note(by, "enable", USERS, user.pk)


@transaction.atomic
def end_sessions(user: User, *, by: User | None) -> tuple[int, int]:
    """Logs the user out everywhere, programs too: how many log-ins, how many tokens."""
    ended = sessions.end_all(user)
    audit.note(by, "end sessions", USERS, user.pk, logins=ended[0], tokens=ended[1])
    return ended


@transaction.atomic
def unlock(user: User, *, by: User | None) -> bool:
    """Whether failed log-ins of this name were counted."""
    audit.note(by, "unlock", USERS, user.pk)
    return lockout.unlock(user.username)


@transaction.atomic
def change_password(user: User, password: str, *, by: User | None, is_first: bool = False) -> None:
    """Ends every log-in of the user. A first password is somebody else's choice, and has to be changed."""
    user.set_password(password)
    user.must_change_password = is_first
    with row_security.standing_for((by or user).pk):  # who owes a password of their own is nobody yet
        user.save(update_fields=["password", "must_change_password"])
    audit.note(by, "change password", USERS, user.pk, is_first=is_first)


def is_last_superuser(user: User) -> bool:
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    return user.is_superuser and user.is_active and not others.exists()

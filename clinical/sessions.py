"""Log-ins from their beginning to their end, of browsers and of apps; whoever ends one ends all that rests on it.

Each request looks at the row again, so that an end counts at once: a browser's here, an app's in the query that finds
its user (medilink/api/authentication.py).
"""

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from clinical.models import Login, ProgramToken, User
from clinical.requests import client_address

IDLE = timedelta(minutes=15)
LONGEST = timedelta(hours=12)
AT_MOST = 3  # browsers of one user at the same time
REFRESHED_WITHIN = timedelta(days=14)
KEPT = timedelta(days=90)  # after its end; the audit knows for longer who was in
NOTED_EVERY = timedelta(minutes=1)  # reading pages writes no more often


def begin(user: User, kind: str, *, is_verified: bool, key: str = "") -> Login:
    """A log-in that went well; verified: with a second factor. The oldest browser of too many is logged out."""
    now = timezone.now()
    with transaction.atomic():
        if kind == Login.Kind.BROWSER:
            User.objects.select_for_update().get(pk=user.pk)  # two at once must not both count the others
        login = Login.objects.create(
            user=user,
            kind=kind,
            began_at=now,
            seen_at=now,
            verified_at=now if is_verified else None,
            address=client_address.get(),
            refresh_digest=digest_of(key) if key else None,
        )
        if kind == Login.Kind.BROWSER:
            beyond = [one.pk for one in of_user(user).filter(kind=kind)][AT_MOST:]
            end(Login.objects.filter(pk__in=beyond))
    return login


def of_user(user: User) -> "QuerySet[Login]":
    """Those alive, the newest first."""
    return alive().filter(user=user).order_by("-id")


def alive() -> "QuerySet[Login]":
    now = timezone.now()
    browser = Q(kind=Login.Kind.BROWSER, seen_at__gt=now - IDLE, began_at__gt=now - LONGEST)
    app = Q(kind=Login.Kind.APP, seen_at__gt=now - REFRESHED_WITHIN)
    return Login.objects.filter(browser | app, ended_at=None)


def browser(login_id: int, user_id: int) -> Login | None:
    """The browser's log-in with its user, where it is alive; that it was seen is noted."""
    known = alive().filter(pk=login_id, user=user_id, kind=Login.Kind.BROWSER, user__is_active=True)
    login = known.select_related("user__second_factor").first()
    if login and login.seen_at < (now := timezone.now()) - NOTED_EVERY:
        Login.objects.filter(pk=login.pk, ended_at=None).update(seen_at=now)
    return login


def verify(login: Login) -> None:
    """The second factor was given."""
    Login.objects.filter(pk=login.pk).update(verified_at=timezone.now())


def end(logins: "QuerySet[Login]") -> int:
    return logins.filter(ended_at=None).update(ended_at=timezone.now())


def end_all(user: User) -> tuple[int, int]:
    """Ends every log-in and every token of a program: how many of each lived."""
    living = of_user(user).count()
    end(Login.objects.filter(user=user))
    tokens = ProgramToken.objects.filter(user=user, revoked_at=None, expires_at__gt=timezone.now())
    return living, tokens.update(revoked_at=timezone.now())


def new_key() -> str:
    """What makes a refresh token the one that is good now."""
    return secrets.token_urlsafe(32)


def rotate(login_id: int, key: str) -> str | None:
    """The key of the next refresh token, for that of the present one; None where the log-in is over.

    A token that was rotated away comes from a thief, or a thief has taken the one after it: the log-in ends for both.
    """
    now, following = timezone.now(), new_key()
    app = alive().filter(pk=login_id, kind=Login.Kind.APP)
    if app.filter(refresh_digest=digest_of(key)).update(refresh_digest=digest_of(following), seen_at=now):
        return following
    end(Login.objects.filter(pk=login_id, kind=Login.Kind.APP))
    return None


def digest_of(token: str) -> bytes:
    """Of 256 random bits, which need no salt and no slowness."""
    return hashlib.sha256(token.encode()).digest()

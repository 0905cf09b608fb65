"""The second factor: codes that a phone makes of a shared secret every thirty seconds (TOTP, RFC 6238).

No code is taken twice, a wrong one counts as a failed log-in, and the secret is sealed. Ten recovery codes, shown once,
are for whoever has lost the phone.
"""

import hashlib
import hmac
import secrets
from base64 import b32decode, b32encode
from contextlib import AbstractContextManager
from typing import cast
from urllib.parse import quote

from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.db import transaction
from django.utils import timezone

from clinical import audit, lockout, row_security, sessions
from clinical.access import Role
from clinical.models import Login, RecoveryCode, SecondFactor, User
from clinical.sealing import SealedField

STEP = 30  # seconds
DIGITS = 6
SECRET_BYTES = 20
RECOVERY_CODES = 10
# pragma: allowlist nextline secret
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another
USER = "clinical_user"


def is_set(user: User) -> bool:
    return SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).exists()


def is_required(user: User) -> bool:
    """Of whoever may enter the desk. Others may have one, and are then asked for it."""
    return settings.REQUIRE_TOTP and (user.is_superuser or user.is_staff or Role.STEWARD in user.access.roles)


def _own(user: User) -> AbstractContextManager[None]:
    """Whose password was right is nobody yet, but what they show or set up is their own."""
    return row_security.standing_for(user.pk)


def is_owed(login: Login) -> bool:
    """Asked at each request: a log-in that began with a password alone does not gain what its user is given later."""
    if login.verified_at:
        return False
    factor = getattr(login.user, "second_factor", None)
    return bool(factor and factor.confirmed_at) or is_required(login.user)


def check(user: User, code: str) -> bool:
    """Whether this is the code of now, one of the steps beside it, or a recovery code; raises lockout.Locked."""
    lockout.take_a_try(user.username)
    with _own(user):
        is_right = _takes(user, code) or _recovers(user, code)
    if not is_right:
        user_login_failed.send(__name__, credentials={"username": user.username}, request=None)
        return False
    lockout.forgive(user.username)
    return True


@transaction.atomic
def begin(user: User) -> str:
    """A secret in base32, as apps take it; it counts once `confirm` has seen a code of it. Not where one is set."""
    with _own(user):
        factor = SecondFactor.objects.select_for_update().filter(user=user).first() or SecondFactor(user=user)
        if not factor.secret:
            _field().seal_in(factor, secrets.token_bytes(SECRET_BYTES))
            factor.save()
    return b32encode(_secret(factor)).decode()


@transaction.atomic
def confirm(user: User, code: str) -> list[str] | None:
    """The recovery codes, which are shown only now; None where the code is wrong."""
    with _own(user):
        if not _takes(user, code, is_confirmed=False):
            return None
        SecondFactor.objects.filter(user=user).update(confirmed_at=timezone.now())
    audit.note(user, "set second factor", USER, user.pk)
    return new_recovery_codes(user)


@transaction.atomic
def new_recovery_codes(user: User) -> list[str]:
    """Ten new ones; those before are void."""
    codes = [f"{_letters(5)}-{_letters(5)}" for _ in range(RECOVERY_CODES)]
    with _own(user):
        RecoveryCode.objects.filter(user=user).delete()
        RecoveryCode.objects.bulk_create(RecoveryCode(user=user, digest=_digest(user, code)) for code in codes)
    return codes


def _letters(count: int) -> str:
    return "".join(secrets.choice(LETTERS) for _ in range(count))


@transaction.atomic
def reset(user: User, *, by: User | None) -> bool:
    """Takes the second factor away and logs the user out, so that a new one is set; whether there was one."""
    RecoveryCode.objects.filter(user=user).delete()
    count, _ = SecondFactor.objects.filter(user=user).delete()
    sessions.end(Login.objects.filter(user=user))
    audit.note(by, "reset factor", USER, user.pk)
    return count > 0


def address_for_apps(user: User, secret: str) -> str:
    """What the picture says to a phone."""
    return f"otpauth://totp/Medilink:{quote(user.username)}?secret={secret}&issuer=Medilink"


def code_at(secret: bytes, step: int) -> str:
    mac = hmac.digest(secret, step.to_bytes(8, "big"), hashlib.sha1)  # what apps know
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}d}"


def code_now(secret: str) -> str:
    """Of a secret in base32."""
    return code_at(b32decode(secret), _step_now())


def _step_now() -> int:
    return int(timezone.now().timestamp()) // STEP


def _takes(user: User, code: str, is_confirmed: bool = True) -> bool:
    """One UPDATE takes the code, so that of two requests with it one is let in."""
    known = SecondFactor.objects.filter(user=user, confirmed_at__isnull=not is_confirmed)
    factor = known.first()
    given = code.replace(" ", "")
    if factor is None or not (given.isascii() and given.isdigit()):
        return False
    secret, now = _secret(factor), _step_now()
    steps = [step for step in (now - 1, now, now + 1) if hmac.compare_digest(code_at(secret, step), given)]
    return bool(steps) and known.filter(last_step__lt=steps[0]).update(last_step=steps[0]) == 1


def _recovers(user: User, code: str) -> bool:
    return RecoveryCode.objects.filter(user=user, digest=_digest(user, code)).delete()[0] == 1


def _digest(user: User, code: str) -> bytes:
    """Of fifty random bits, behind the lock-out; salted by the user."""
    plain = "".join(letter for letter in code.casefold() if letter in LETTERS)
    return hashlib.scrypt(plain.encode(), salt=f"recovery {user.pk}".encode(), n=2**14, r=8, p=1, dklen=32)


def _field() -> SealedField:
    return cast(SealedField, SecondFactor._meta.get_field("secret"))


def _secret(factor: SecondFactor) -> bytes:
    plain = _field().unseal_in(factor)
    assert plain is not None
    return plain

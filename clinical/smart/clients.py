"""Registering programs with their public keys, and ending them."""

import re
from typing import Any

import jwt
from django.db import transaction
from django.utils import timezone

from clinical import audit, logins
from clinical.models import SmartClient, User
from clinical.smart import scopes

ALGORITHMS = {"RSA": "RS384", "EC": "ES384"}
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
CURVE = "P-384"
SMALLEST_RSA = 2048
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


class Refused(logins.Refused):
    """The keys or scopes are none that can be registered; the text says why."""


def checked(keys: Any) -> dict[str, Any]:
    """A JWKS of public keys for RS384 and ES384, each with an id; what else stands in it is left out."""
    found = keys.get("keys") if isinstance(keys, dict) else None
    if not isinstance(found, list) or not found:
        raise Refused('Write a JWKS: {"keys": [...]} with at least one public key.')
    kept = [_checked(one) for one in found]
    if len({one["kid"] for one in kept}) < len(kept):
        raise Refused("Two keys bear the same kid.")
    return {"keys": kept}


def _checked(one: Any) -> dict[str, Any]:
    if not isinstance(one, dict) or one.get("kty") not in ALGORITHMS:
        raise Refused("Each key is of kty RSA or EC.")
    if PRIVATE & {*one}:
        raise Refused(
            "This is a private key: give the public one alone, and make a new pair, since others have seen it."
        )
    if not isinstance(one.get("kid"), str) or not one["kid"]:
        raise Refused("Each key has a kid, by which an assertion names it.")
    algorithm = ALGORITHMS[one["kty"]]
    if one.get("alg", algorithm) != algorithm or one.get("crv", CURVE) != CURVE:
        raise Refused("Keys are for RS384 (RSA) or for ES384 (EC, P-384).")
    try:
        key: Any = jwt.PyJWK(one, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"The key {one['kid'][:40]} cannot be read.") from error
    if one["kty"] == "RSA" and key.key.key_size < SMALLEST_RSA:
        raise Refused(f"An RSA key has at least {SMALLEST_RSA} bits.")
    return {name: one[name] for name in ("kty", "kid", "n", "e", "crv", "x", "y") if name in one} | {"alg": algorithm}


def check(user: User, keys: Any, texts: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Keys and scopes as they are stored; raises Refused."""
    if not user.is_active or user.is_superuser:
        raise Refused(f"The user {user.username} is disabled or a superuser; a program has a user of its own.")
    try:
        allowed = scopes.read(texts)
    except scopes.NotAScope as error:
        raise Refused("A scope is written as system/Patient.rs or system/*.rs.") from error
    if not allowed.pairs:
        raise Refused("Give at least one scope, such as system/*.rs.")
    return checked(keys), allowed.texts()


@transaction.atomic
def register(client_id: str, user: User, keys: Any, texts: list[str], *, by: User | None) -> tuple[SmartClient, bool]:
    """The program, and whether it is new; one that is known gets these keys and scopes, and lives again."""
    if not NAME.fullmatch(client_id):
        raise Refused("A client's id is made of up to 64 letters, digits, ., _ and -.")
    keys, allowed = check(user, keys, texts)
    known = {"user": user, "keys": keys, "scopes": allowed, "ended_at": None}
    client, is_new = SmartClient.objects.update_or_create(client_id=client_id, defaults=known)
    audit.note(by, "register client", "smart_clients", client.pk, user_id=user.pk, scopes=client.scopes)
    return client, is_new


@transaction.atomic
def end(client: SmartClient, *, by: User | None) -> None:
    """At once, with all its tokens and exports."""
    SmartClient.objects.filter(pk=client.pk).update(ended_at=timezone.now())
    audit.note(by, "end client", "smart_clients", client.pk, user_id=client.user_id)

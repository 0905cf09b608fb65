"""An assertion (RFC 7523): a program's own signed word that it is the one, good for one token.

Every refusal is one of OAuth's, with a reason that its maker can act on and that tells nothing of others.
"""

import time
from dataclasses import dataclass
from typing import Any

import jwt

from clinical.models import SmartClient

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
LONGEST = 300  # seconds
SKEW = 30  # seconds between two clocks
LONGEST_TEXT = 8192
CLAIMS = ("iss", "sub", "aud", "exp", "jti")
UNKNOWN = "No client is registered under this iss, or it has been ended."


class Refused(Exception):
    """`error` is the word of RFC 6749."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error, self.reason = error, reason


@dataclass(frozen=True)
class Assertion:
    client: SmartClient
    jti: str


def opened(text: str, addresses: set[str]) -> Assertion:
    """Of a registered client, signed with one of its keys, for us (one of these addresses), and still good."""
    if len(text) > LONGEST_TEXT:
        raise _wrong("The assertion is too long.")
    try:
        header = jwt.get_unverified_header(text)
        claimed = jwt.decode(text, options={"verify_signature": False})
    except (jwt.InvalidTokenError, UnicodeError, ValueError) as error:
        raise _wrong("The assertion is no JWT.") from error
    if header.get("alg") not in ALGORITHMS:
        raise _wrong(f"The assertion is signed with none of {' and '.join(ALGORITHMS)}.")
    client = _client(claimed.get("iss"))
    key = _key(client, header)
    claims = _verified(text, key, header["alg"], addresses)
    if int(claims["exp"]) > time.time() + LONGEST + SKEW:
        raise _wrong(f"exp lies more than {LONGEST} seconds ahead.")
    return Assertion(client, _jti(claims))


def _wrong(reason: str) -> Refused:
    return Refused("invalid_client", reason)


def _client(client_id: Any) -> SmartClient:
    if not isinstance(client_id, str) or "\0" in client_id:
        raise _wrong(UNKNOWN)
    found = SmartClient.objects.select_related("user").filter(client_id=client_id, ended_at=None).first()
    if found is None or not found.user.is_active:
        raise _wrong(UNKNOWN)
    return found


def _key(client: SmartClient, header: dict[str, Any]) -> Any:
    if "jku" in header:  # its keys were pasted here; nothing is fetched because an assertion says so
        raise _wrong("The header jku is not heeded here: register the keys, and leave it out.")
    for one in client.keys["keys"]:
        if one["kid"] == header.get("kid") and one["alg"] == header["alg"]:
            return jwt.PyJWK(one)
    raise _wrong("No key is registered for this client with this kid and alg.")


def _verified(text: str, key: Any, algorithm: str, addresses: set[str]) -> dict[str, Any]:
    try:
        return jwt.decode(
            text,
            key,
            algorithms=[algorithm],
            audience=sorted(addresses),
            leeway=SKEW,
            options={"require": [*CLAIMS], "verify_iat": False},
        )
    except jwt.ExpiredSignatureError as error:
        raise _wrong("The assertion has expired (exp).") from error
    except jwt.InvalidAudienceError as error:
        raise _wrong("The assertion is for somebody else: aud must be the token endpoint.") from error
    except jwt.MissingRequiredClaimError as error:
        raise _wrong(f"The assertion lacks {error.claim}.") from error
    except jwt.InvalidSignatureError as error:
        raise _wrong("The signature is not of the registered key.") from error
    except jwt.ImmatureSignatureError as error:
        raise _wrong("The assertion is not yet good (nbf).") from error
    except (jwt.InvalidTokenError, ValueError) as error:
        raise _wrong("The assertion cannot be read.") from error


def _jti(claims: dict[str, Any]) -> str:
    if claims["iss"] != claims.get("sub"):
        raise _wrong("iss and sub must both be the client's id.")
    jti = claims["jti"]
    if not isinstance(jti, str) or not 0 < len(jti) <= 255 or "\0" in jti:
        raise _wrong("jti must be a text of 1 to 255 characters.")
    return jti

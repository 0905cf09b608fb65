"""The token endpoint of backend services, and what tells programs where it is and what it can do."""

import secrets
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from rest_framework.exceptions import APIException
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from clinical import audit, sessions
from clinical.api.rendering import JSON, OneForm
from clinical.fhir.codes import coding, concept
from clinical.fhir.registry import registry
from clinical.models import SmartClient, SmartToken
from clinical.smart import PREFIX, assertions, scopes
from clinical.smart.assertions import Assertion, Refused

LIFETIME = timedelta(minutes=5)
GRANT = "client_credentials"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
SERVICE = concept(
    coding("http://terminology.hl7.org/CodeSystem/restful-security-service", "SMART-on-FHIR", "SMART-on-FHIR"),
    text="SMART backend services: a private-key JWT for a token of five minutes.",
)


class Public(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)
    renderer_classes = (JSON,)
    content_negotiation_class = OneForm
    schema = None  # the configuration describes it
    resource = "smart"


class Configuration(Public):
    def get(self, request: Request) -> Response:
        where = request.build_absolute_uri(reverse("smart-token"))
        return Response(
            {
                "issuer": request.build_absolute_uri("/fhir"),
                "token_endpoint": where,
                "grant_types_supported": [GRANT],
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": [*assertions.ALGORITHMS],
                "scopes_supported": ["system/*.rs", *(f"system/{name}.rs" for name in registry)],
                "capabilities": ["client-confidential-asymmetric", "permission-v2", "permission-v1"],
            }
        )


class TokenEndpoint(Public):
    parser_classes = (FormParser,)

    def post(self, request: Request) -> Response:
        """A token for an assertion; a refusal is one of RFC 6749's, with its reason."""
        try:
            given = _given(request)
            where = request.build_absolute_uri(reverse("smart-token"))
            assertion = assertions.opened(given["client_assertion"], {where, request.build_absolute_uri("/fhir")})
            allowed = _allowed(given.get("scope", ""), assertion.client)
            return Response(_token(assertion, allowed), headers=NO_STORE)
        except Refused as error:
            status = 401 if error.error == "invalid_client" else 400
            told = {"error": error.error, "error_description": error.reason}
            return Response(told, status=status, headers=NO_STORE)

    def handle_exception(self, exc: Exception) -> Response:
        """Also what comes before it is read, such as a body in another form."""
        response = super().handle_exception(exc)
        if isinstance(exc, APIException) and response.status_code < 500:
            response.data = {"error": "invalid_request", "error_description": str(exc.detail)[:200]}
        return response


def _given(request: Request) -> dict[str, str]:
    found: dict[str, str] = {}
    data: Any = request.data
    for name, texts in data.lists():
        if len(texts) > 1:
            raise Refused("invalid_request", "A parameter is given more than once.")
        found[name] = texts[0]
    if found.get("grant_type") != GRANT:
        raise Refused("unsupported_grant_type", f"grant_type must be {GRANT}.")
    if found.get("client_assertion_type") != assertions.TYPE:
        raise Refused("invalid_request", f"client_assertion_type must be {assertions.TYPE}.")
    if not found.get("client_assertion"):
        raise Refused("invalid_request", "client_assertion is missing.")
    if not found.get("scope"):
        raise Refused("invalid_scope", "scope is missing; ask for system/*.rs, or for less.")
    return found


def _allowed(texts: str, client: SmartClient) -> scopes.Scopes:
    try:
        asked = scopes.read(texts.split())
    except scopes.NotAScope as error:
        raise Refused("invalid_scope", "A scope is written as system/Patient.rs or system/*.rs.") from error
    found = asked.within(scopes.read(client.scopes))
    if not found.pairs:
        raise Refused("invalid_scope", "Nothing of this is allowed to the client.")
    return found


@transaction.atomic
def _token(assertion: Assertion, allowed: scopes.Scopes) -> dict[str, Any]:
    token = PREFIX + secrets.token_urlsafe(32)
    client = assertion.client
    try:
        with transaction.atomic():
            SmartToken.objects.create(
                client=client,
                jti=assertion.jti,
                digest=sessions.digest_of(token),
                scopes=allowed.texts(),
                expires_at=timezone.now() + LIFETIME,
            )
    except IntegrityError as error:
        raise Refused("invalid_client", "The assertion was used before (jti); sign a new one.") from error
    audit.note(client.user, "log_in", "clinical_user", client.user_id, way="smart", client=client.client_id)
    return {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": int(LIFETIME.total_seconds()),
        "scope": " ".join(allowed.texts()),
    }


def routes() -> list[URLPattern]:
    """Known to the CapabilityStatement, too."""
    registry.security.append(SERVICE)
    return [
        path("fhir/.well-known/smart-configuration", Configuration.as_view(), name="smart-configuration"),
        path(".well-known/smart-configuration", Configuration.as_view()),
        path("fhir/auth/token", TokenEndpoint.as_view(), name="smart-token"),
    ]

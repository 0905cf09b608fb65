"""Log-in for programs and apps: an access token for 15 minutes, and a refresh token that is good for one use."""

from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.serializers import TokenBlacklistSerializer, TokenRefreshSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import RefreshToken

from clinical import audit
from clinical.api.fields import Verbatim
from clinical.api.writing import Strict, judged
from clinical.models import User
from medilink.api.throttling import seconds_locked

WRONG = "The name or the password is wrong, or the account is disabled."
DEAD = "The refresh token is unknown, expired, revoked or used already; log in again."


@extend_schema_serializer(
    examples=[
        OpenApiExample("Log-in", {"username": "kano-app", "password": "correct horse battery"}, request_only=True)
    ]
)
class Credentials(Strict):
    username = Verbatim(max_length=150)
    password = Verbatim(max_length=1024, trim_whitespace=False)


class RefreshBody(Strict):
    refresh = Verbatim(max_length=4096)


class Tokens(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="for `Authorization: Bearer`")
    refresh = serializers.CharField(help_text="for one use at /api/auth/refresh")
    token_type = serializers.CharField(help_text="Bearer")
    expires_in = serializers.IntegerField(help_text="seconds until the access token ends")


class Public(APIView):
    """Answers without credentials; there is nothing else to ask of it."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"


def _tokens(refresh: str, access: str) -> Response:
    seconds = int(api_settings.ACCESS_TOKEN_LIFETIME.total_seconds())
    answer = {"access": access, "refresh": refresh, "token_type": "Bearer", "expires_in": seconds}
    return Response(answer, headers={"Cache-Control": "no-store"})


class LogIn(Public):
    @extend_schema(request=Credentials, responses=Tokens, tags=["auth"], operation_id="log_in")
    def post(self, request: Request) -> Response:
        """Name and password for a pair of tokens."""
        given = judged(request, Credentials)
        wait = seconds_locked(request, given["username"])
        if wait:
            raise Throttled(wait)
        user = authenticate(request._request, **given)
        if user is None:
            raise AuthenticationFailed(WRONG)
        refresh = RefreshToken.for_user(user)
        audit.note(user, "log_in", "clinical_user", user.pk, way="token")
        return _tokens(str(refresh), str(refresh.access_token))


class Refresh(Public):
    @extend_schema(request=RefreshBody, responses=Tokens, tags=["auth"], operation_id="refresh")
    def post(self, request: Request) -> Response:
        """A refresh token for a new pair; the old one is dead from now on."""
        body = TokenRefreshSerializer(data=judged(request, RefreshBody))
        try:
            body.is_valid(raise_exception=True)
        except TokenError as error:
            raise AuthenticationFailed(DEAD) from error
        return _tokens(body.validated_data["refresh"], body.validated_data["access"])


class Revoke(Public):
    @extend_schema(request=RefreshBody, responses={204: None}, tags=["auth"], operation_id="revoke")
    def post(self, request: Request) -> Response:
        """Ends a refresh token."""
        given = judged(request, RefreshBody)
        body = TokenBlacklistSerializer(data=given)
        try:
            body.is_valid(raise_exception=True)
        except TokenError as error:
            raise AuthenticationFailed(DEAD) from error
        owner = RefreshToken(given["refresh"], verify=False)["user_id"]
        audit.note(User.objects.get(pk=owner), "log_out", "clinical_user", int(owner), way="token")
        return Response(status=204)

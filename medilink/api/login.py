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

from clinical import audit, factors, lockout, sessions
from clinical.api.fields import Verbatim
from clinical.api.writing import Strict, judged
from clinical.models import Login, User
from medilink.api import signing
from medilink.api.authentication import FACTOR_OWED

WRONG = "The name or the password is wrong, or the account is disabled."
DEAD = "The refresh token is unknown, expired, revoked or used already; log in again."
CODE_NEEDED = "Send the code of your second factor as `otp`, too."
CODE_WRONG = "The code is wrong, too old or used already."
NO_FACTOR = "This account needs a second factor: log in at /admin/ and set one up."
NOT_YOURS = "This password is somebody else's choice: log in at /admin/ and choose your own."


@extend_schema_serializer(
    examples=[
        OpenApiExample("Log-in", {"username": "kano-app", "password": "correct horse battery"}, request_only=True)
    ]
)
class Credentials(Strict):
    username = Verbatim(max_length=150)
    password = Verbatim(max_length=1024, trim_whitespace=False)
    otp = Verbatim(max_length=20, required=False, help_text="of who has a second factor: its code, or a recovery code")


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


def _tokens(login_id: int, key: str) -> Response:
    answer = {
        "access": signing.signed(signing.ACCESS, login_id),
        "refresh": signing.signed(signing.REFRESH, login_id, key),
        "token_type": "Bearer",
        "expires_in": int(signing.LIFETIME[signing.ACCESS].total_seconds()),
    }
    return Response(answer, headers={"Cache-Control": "no-store"})


class LogIn(Public):
    @extend_schema(request=Credentials, responses=Tokens, tags=["auth"], operation_id="log_in")
    def post(self, request: Request) -> Response:
        """Name and password for a pair of tokens; 401 `otp_required` where the code of a second factor is missing."""
        given = judged(request, Credentials)
        code = given.pop("otp", "")
        try:
            user = authenticate(request._request, **given)
            if user is None:
                raise AuthenticationFailed(WRONG)
            is_verified = _ask_for_more(user, code)
        except lockout.Locked as error:
            raise Throttled(error.seconds) from error
        key = sessions.new_key()
        login = sessions.begin(user, Login.Kind.APP, is_verified=is_verified, key=key)
        audit.note(user, "log_in", "clinical_user", user.pk, way="token")
        return _tokens(login.pk, key)


def _ask_for_more(user: User, code: str) -> bool:
    """What a right password is not enough for; whether a second factor was given, not merely a code sent."""
    is_set = factors.is_set(user)
    if is_set:
        if not code:
            raise AuthenticationFailed(CODE_NEEDED, code="otp_required")
        if not factors.check(user, code):
            raise AuthenticationFailed(CODE_WRONG)
    elif factors.is_required(user):
        raise AuthenticationFailed(NO_FACTOR, code="otp_required")
    if user.must_change_password:
        raise AuthenticationFailed(NOT_YOURS, code="password_change_required")
    return is_set


def _claims(request: Request) -> signing.Claims:
    try:
        return signing.opened(signing.REFRESH, judged(request, RefreshBody)["refresh"])
    except signing.NotSigned as error:
        raise AuthenticationFailed(DEAD) from error


class Refresh(Public):
    @extend_schema(request=RefreshBody, responses=Tokens, tags=["auth"], operation_id="refresh")
    def post(self, request: Request) -> Response:
        """A refresh token for a new pair; the old one is dead from now on, and used again ends the whole log-in."""
        claims = _claims(request)
        login = Login.objects.select_related("user__second_factor").filter(pk=claims.login_id).first()
        if login and factors.is_owed(login):
            raise AuthenticationFailed(FACTOR_OWED, code="otp_required")
        key = sessions.rotate(claims.login_id, claims.key)
        if key is None:
            raise AuthenticationFailed(DEAD)
        return _tokens(claims.login_id, key)


class Revoke(Public):
    @extend_schema(request=RefreshBody, responses={204: None}, tags=["auth"], operation_id="revoke")
    def post(self, request: Request) -> Response:
        """Logs out: ends the refresh token and the access tokens that came with it."""
        login = Login.objects.filter(pk=_claims(request).login_id, kind=Login.Kind.APP)
        owner = login.select_related("user").first()
        if owner is None or not sessions.end(login):
            raise AuthenticationFailed(DEAD)
        audit.note(owner.user, "log_out", "clinical_user", owner.user.pk, way="token")
        return Response(status=204)

"""Pages on one's own account: the log-in, step by step, and what one may do about it afterwards.

A password opens only these pages until the second factor is given and the password is one's own (medilink/browsers.py).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import urlencode

import segno
from django import forms
from django.contrib import admin, auth, messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from clinical import factors, lockout, logins, sessions
from clinical.models import Login, RecoveryCode, SecondFactor, User
from medilink import browsers

WAIT = "Too many failed log-ins; try again in {} minutes."


def _wait(error: lockout.Locked) -> str:
    return WAIT.format(-(-int(error.seconds) // 60))


class LogInForm(AuthenticationForm):
    """Of everybody who is active; who may not enter the desk has a page of their own to go to."""

    locked: lockout.Locked | None = None

    def clean(self) -> dict[str, Any]:
        try:
            return cast(dict[str, Any], super().clean())
        except lockout.Locked as error:
            self.locked = error
            raise forms.ValidationError(_wait(error), code="locked") from error

    def confirm_login_allowed(self, user: Any) -> None:
        if not user.is_active:
            raise self.get_invalid_login_error()


admin.site.login_form = LogInForm


@never_cache
def log_in(request: HttpRequest) -> HttpResponse:
    known = browsers.visitor(request)
    if request.method == "GET" and known and not known.is_let_in:
        return _on_to("second_factor" if known.owes_factor else "first_password", request)
    if request.method == "GET" and known and not known.user.is_staff:
        return HttpResponseRedirect(reverse("account"))
    answer = admin.site.login(request)
    form = getattr(answer, "context_data", {}).get("form")
    if form is not None and form.locked:
        return _refused(answer, form.locked)
    return answer


def _refused(answer: HttpResponse, locked: lockout.Locked) -> HttpResponse:
    answer.status_code = 429
    answer.headers["Retry-After"] = f"{int(locked.seconds) + 1}"
    return answer


def _on_to(page: str, request: HttpRequest) -> HttpResponse:
    asked = _next(request)
    return HttpResponseRedirect(reverse(page) + (f"?{urlencode({'next': asked})}" if asked else ""))


def _next(request: HttpRequest) -> str:
    asked = request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(asked, {request.get_host()}, require_https=request.is_secure())
    return asked if is_ours else ""


class Step(View):
    """One thing that somebody with the right password still owes."""

    template = ""

    @method_decorator([never_cache, sensitive_post_parameters()])
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        known = browsers.visitor(request)
        if known is None:
            return _on_to("admin:login", request)
        self.known, self.user = known, known.user
        if not self.is_owed():
            return HttpResponseRedirect(_next(request) or reverse("admin:index"))
        return cast(HttpResponse, super().dispatch(request, *args, **kwargs))

    @abstractmethod
    def is_owed(self) -> bool: ...

    def page(self, request: HttpRequest, form: forms.Form, **told: Any) -> HttpResponse:
        context = admin.site.each_context(request) | {"form": form, "user_name": self.user.username, **told}
        return render(request, self.template, context)


class CodeForm(forms.Form):
    code = forms.CharField(
        max_length=20,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "autofocus": True}),
    )


class SecondFactorStep(Step):
    """Asks for the code of who has a second factor, and has the others set one up."""

    template = "medilink/account/second_factor.html"

    def is_owed(self) -> bool:
        return self.known.owes_factor

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._ask(request, CodeForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = CodeForm(request.POST)
        if not form.is_valid():
            return self._ask(request, form)
        code = form.cleaned_data["code"]
        try:
            if factors.is_set(self.user):
                if factors.check(self.user, code):
                    return self._let_in(request)
            elif codes := factors.confirm(self.user, code):
                _verify(request, self.known.login)
                return _shown_once(request, self.user, codes, _next(request))
        except lockout.Locked as error:
            form.add_error(None, _wait(error))
            return _refused(self._ask(request, form), error)
        form.add_error("code", "The code is wrong, too old or used already.")
        return self._ask(request, form)

    def _let_in(self, request: HttpRequest) -> HttpResponse:
        _verify(request, self.known.login)
        return HttpResponseRedirect(_next(request) or reverse("admin:index"))

    def _ask(self, request: HttpRequest, form: forms.Form) -> HttpResponse:
        if factors.is_set(self.user):
            return self.page(request, form, title="Second factor")
        return self.page(request, form, title="Set up a second factor", **_enrolment(self.user))


def _enrolment(user: User) -> dict[str, Any]:
    secret = factors.begin(user)
    address = factors.address_for_apps(user, secret)
    squares = [*segno.make(address, error="m", micro=False).matrix_iter(border=3)]
    dark = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(squares) for x, is_dark in enumerate(row) if is_dark)
    letters = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    return {"secret": letters, "address": address, "width": len(squares), "dark": dark}


def _verify(request: HttpRequest, login: Login) -> None:
    sessions.verify(login)
    request.session.cycle_key()


def _shown_once(request: HttpRequest, user: User, codes: list[str], following: str = "") -> HttpResponse:
    context = {"title": "Recovery codes", "codes": codes, "user_name": user.username}
    context["following"] = following or reverse("account")
    return render(request, "medilink/account/recovery_codes.html", admin.site.each_context(request) | context)


class FirstPasswordForm(SetPasswordForm):
    def __init__(self, user: User, *args: Any, **options: Any) -> None:
        super().__init__(user, *args, **options)
        for name in ("new_password1", "new_password2"):
            self.fields[name].widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})

    def clean_new_password1(self) -> str:
        given: str = self.cleaned_data["new_password1"]
        if self.user.check_password(given):
            raise forms.ValidationError("This is the password that was given to you; choose another.")
        return given


class FirstPasswordStep(Step):
    """A password that somebody else has chosen is changed before anything else is done with it."""

    template = "medilink/account/first_password.html"

    def is_owed(self) -> bool:
        return self.user.must_change_password and not self.known.owes_factor

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page(request, FirstPasswordForm(self.user), title="Choose your password")

    def post(self, request: HttpRequest) -> HttpResponse:
        form = FirstPasswordForm(self.user, request.POST)
        if not form.is_valid():
            return self.page(request, form, title="Choose your password")
        _change(request, self.user, form.cleaned_data["new_password1"], self.known.login)
        return HttpResponseRedirect(_next(request) or reverse("admin:index"))


def _change(request: HttpRequest, user: User, password: str, login: Login) -> None:
    """Ends all log-ins of the user, and begins this browser's anew."""
    logins.change_password(user, password, by=user)
    update_session_auth_hash(request, user)
    browsers.begin(request, user)
    if login.verified_at:
        sessions.verify(browsers.visitor(request).login)  # type: ignore[union-attr]  # it has just begun


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """Also of who is not let in yet."""
    auth.logout(request)
    return HttpResponseRedirect(reverse("admin:login"))


# --- Who is let in already


def own(view: Callable[[HttpRequest, User], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    @never_cache
    @sensitive_post_parameters()
    def page(request: HttpRequest) -> HttpResponse:
        if not isinstance(request.user, User):
            return HttpResponseRedirect(f"{reverse('admin:login')}?{urlencode({'next': request.path})}")
        return view(request, request.user)

    return page


@own
def account(request: HttpRequest, user: User) -> HttpResponse:
    factor = SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    context = {
        "title": "My account",
        "pairs": [str(pair) for pair in user.memberships.select_related("facility")],
        "factor": factor,
        "codes_left": RecoveryCode.objects.filter(user=user).count(),
        "logins": sessions.of_user(user),
        "present": request.session.get(browsers.LOGIN),
        "tokens": logins.living(user.tokens.all()),
    }
    return render(request, "medilink/account/account.html", admin.site.each_context(request) | context)


@own
def change_password(request: HttpRequest, user: User) -> HttpResponse:
    form = AdminOwnPasswordChangeForm(user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        _change(request, user, form.cleaned_data["new_password1"], browsers.visitor(request).login)  # type: ignore[union-attr]
        messages.success(request, "Your password is changed; all other log-ins are ended.")
        return HttpResponseRedirect(reverse("account"))
    context = admin.site.each_context(request) | {"title": "Change password", "form": form}
    return render(request, "medilink/account/change_password.html", context)


@own
def set_up_factor(request: HttpRequest, user: User) -> HttpResponse:
    """Of who needs none and wants one; or new recovery codes, for a code of the one that there is."""
    form = CodeForm(request.POST or None)
    is_set = factors.is_set(user)
    if request.method == "POST" and form.is_valid():
        try:
            codes = _new_codes(user, form.cleaned_data["code"], is_set)
        except lockout.Locked as error:
            form.add_error(None, _wait(error))
        else:
            if codes:
                if not is_set:
                    _verify(request, browsers.visitor(request).login)  # type: ignore[union-attr]  # of who is let in
                return _shown_once(request, user, codes)
            form.add_error("code", "The code is wrong, too old or used already.")
    told = {"title": "New recovery codes"} if is_set else {"title": "Set up a second factor", **_enrolment(user)}
    context = admin.site.each_context(request) | {"form": form, "user_name": user.username, **told}
    return render(request, SecondFactorStep.template, context)


def _new_codes(user: User, code: str, is_set: bool) -> list[str] | None:
    if not is_set:
        return factors.confirm(user, code)
    return factors.new_recovery_codes(user) if factors.check(user, code) else None


@require_POST
@own
def end_login(request: HttpRequest, user: User) -> HttpResponse:
    """One of one's own, or all but this one."""
    chosen, present = request.POST.get("login", ""), request.session[browsers.LOGIN]
    mine = sessions.of_user(user).exclude(pk=present)
    ended = sessions.end(mine.filter(pk=chosen) if chosen.isdecimal() else mine)
    messages.success(request, f"{ended} log-in{'' if ended == 1 else 's'} ended.")
    return HttpResponseRedirect(reverse("account"))

"""Who may log in, what they may do, and what of theirs is open: for superusers, who let people in and put them out."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from clinical import audit, factors, lockout, logins, sessions
from clinical.access import Role
from clinical.models import Login, Membership, ProgramToken, SecondFactor, User
from clinical.searches import Searched

admin.site.unregister(Group)  # what somebody may do is a pair of a role and a place, and nothing beside it


class MembershipInline(TabularInline):
    """What the user may do, and where; no scope is the nation."""

    model = Membership
    extra = 0
    fields = ("role", "state", "lga", "facility")
    autocomplete_fields = ("facility",)
    verbose_name_plural = "roles and their scopes"


class RoleFilter(DropdownFilter):
    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*Role.choices, ("superuser", "Superuser"), ("none", "None")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if self.value() == "superuser":
            return queryset.filter(is_superuser=True)
        if self.value() == "none":
            return queryset.filter(is_superuser=False).exclude(pk__in=Membership.objects.values("user"))
        return (
            queryset.filter(pk__in=Membership.objects.filter(role=self.value()).values("user"))
            if self.value()
            else queryset
        )


class PersonForm(UserChangeForm):
    def clean_is_superuser(self) -> bool:
        stays: bool = self.cleaned_data["is_superuser"]
        if not stays and self.instance.is_superuser and logins.is_last_superuser(self.instance):
            raise forms.ValidationError("This is the last superuser; make another one first.")
        return stays


class FirstPasswordForm(AdminPasswordChangeForm):
    """For somebody else, who chooses another one at the next log-in."""

    def save(self, commit: bool = True) -> Any:
        self.user.must_change_password = True
        return super().save(commit)


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=200, widget=UnfoldAdminTextInputWidget(), help_text="Kept in the audit, with your name."
    )


class SureForm(forms.Form):
    """Nothing to say but yes."""


# What is done to an account, by its page's address: what it says, the form it asks, and the deed.
Deed = tuple[str, str, type[forms.Form], Callable[[User, User, forms.Form], Any]]
DEEDS: dict[str, Deed] = {
    "disable": (
        "Disable",
        "Ends at once every log-in and every token of the user, who cannot log in again. What they did keeps their "
        "name.",
        ReasonForm,
        lambda user, by, form: logins.disable(user, by=by, reason=form.cleaned_data["reason"]),
    ),
    "enable": (
        "Enable",
        "The user may log in again, with the password as it was. Tokens do not come back.",
        SureForm,
        lambda user, by, form: logins.enable(user, by=by),
    ),
    "unlock": (
        "Unlock",
        "Forgets the failed log-ins, so that the user may try again at once. Find out first who has tried.",
        SureForm,
        lambda user, by, form: logins.unlock(user, by=by),
    ),
    "end-sessions": (
        "Log out everywhere",
        "Ends every log-in and every token of the user, programs too. The user may log in again.",
        SureForm,
        lambda user, by, form: logins.end_sessions(user, by=by),
    ),
    "reset-factor": (
        "Reset the second factor",
        "For who has lost phone and recovery codes: be sure that it is them who ask. The user is logged out, and sets "
        "up a new one at the next log-in.",
        SureForm,
        lambda user, by, form: factors.reset(user, by=by),
    ),
}


@admin.register(User)
class UserAdmin(Searched, DjangoUserAdmin, ModelAdmin):
    """A person who leaves is disabled, so that what they decided keeps their name."""

    form = PersonForm
    add_form = UserCreationForm
    change_password_form = FirstPasswordForm
    change_form_outer_after_template = "clinical/account.html"
    list_display = ("username", "person", "roles", "state", "has_factor", "seen_at", "open_logins", "open_tokens")
    list_filter = (RoleFilter, "is_active", "is_staff")
    list_filter_sheet = True
    search_fields = ("username", "first_name", "last_name", "email")
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", ("first_name", "last_name"), "email")}),
        ("What the user is", {"fields": ("is_staff", "is_superuser", ("last_login", "date_joined"))}),
    )
    filter_horizontal = ()
    inlines = (MembershipInline,)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        of_user = {"user": OuterRef("pk")}
        return (
            super()
            .get_queryset(request)
            .prefetch_related("memberships__facility")
            .annotate(
                has_second_factor=Exists(SecondFactor.objects.filter(**of_user, confirmed_at__isnull=False)),
                seen=_of(Login.objects.filter(**of_user), Max("seen_at")),
                logins_count=_of(sessions.alive().filter(**of_user), Count("pk")),
                tokens_count=_of(logins.living(ProgramToken.objects.filter(**of_user)), Count("pk")),
            )
        )

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Who has to wait after failed log-ins is found for the page as a whole."""
        page = super().get_changelist_instance(request)
        waiting = lockout.locked(user.username for user in page.result_list)
        for user in page.result_list:
            user.is_locked = user.username in waiting
        return page

    @admin.display(description="name")
    def person(self, user: Any) -> str:
        return str(user.get_full_name())

    @admin.display(description="roles and scopes")
    def roles(self, user: Any) -> str:
        return "superuser" if user.is_superuser else ", ".join(map(str, user.memberships.all())) or "none"

    @display(description="state", label={"active": "success", "locked": "warning", "disabled": "danger"})
    def state(self, user: Any) -> str:
        return "disabled" if not user.is_active else "locked" if user.is_locked else "active"

    @display(description="second factor", boolean=True)
    def has_factor(self, user: Any) -> bool:
        return bool(user.has_second_factor)

    @admin.display(description="last seen", ordering="seen")
    def seen_at(self, user: Any) -> datetime | None:
        return cast(datetime | None, user.seen)

    @admin.display(description="log-ins", ordering="logins_count")
    def open_logins(self, user: Any) -> int:
        return user.logins_count or 0

    @admin.display(description="tokens", ordering="tokens_count")
    def open_tokens(self, user: Any) -> int:
        return user.tokens_count or 0

    def get_inlines(self, request: HttpRequest, obj: Any) -> "list[type[TabularInline]]":
        """Django asks for a new user's name and password first."""
        return [*super().get_inlines(request, obj)] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        deed = path("<int:user_id>/<slug:name>/", self.admin_site.admin_view(self.deed_view), name="account_deed")
        own = super().get_urls()
        return [*own[:-1], deed, own[-1]]  # before the last, which takes any address for a key

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.must_change_password = obj.has_usable_password()
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Pairs that are given and taken are part of the deed."""
        action, by = "update" if change else "create", cast(User, request.user)
        with audit.acting(by, action, logins.USERS, form.instance.pk, fields=form.changed_data):
            super().save_related(request, form, formsets, change)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        user = self.get_object(request, object_id)
        return super().change_view(request, object_id, form_url, (_open(user) if user else {}) | (extra_context or {}))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """One's own is changed where the present one is asked for."""
        if id == str(request.user.pk):
            return HttpResponseRedirect(reverse("admin:password_change"))
        with transaction.atomic():
            answer = super().user_change_password(request, id, form_url)
            if isinstance(answer, HttpResponseRedirect):
                audit.note(cast(User, request.user), "change password", logins.USERS, int(id), is_first=True)
        return answer

    def deed_view(self, request: HttpRequest, user_id: int, name: str) -> HttpResponse:
        user, by = User.objects.filter(pk=user_id).first(), cast(User, request.user)
        if user is None or name not in DEEDS:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        title, about, form_class, do = DEEDS[name]
        form = form_class(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                do(user, by, form)
            except logins.Refused as error:
                messages.error(request, str(error))
            else:
                messages.success(request, f"{user.username}: {title.lower()}, done.")
            return HttpResponseRedirect(reverse("admin:clinical_user_change", args=[user.pk]))
        context = self.admin_site.each_context(request) | {"title": f"{title}: {user}", "opts": self.opts}
        context |= {"form": form, "deed": title, "about": about, "name": name, "user_id": user.pk}
        return render(request, "clinical/account_deed.html", context)


def _of(rows: "QuerySet[Any]", what: Any) -> Any:
    """One figure of a user's rows."""
    return rows.order_by().values("user").annotate(figure=what).values("figure")


def _open(user: User) -> dict[str, Any]:
    """What of the user's is open, and what can be done about it."""
    factor = SecondFactor.objects.filter(user=user, confirmed_at__isnull=False).first()
    is_locked = bool(lockout.locked([user.username]))
    open_logins, tokens = sessions.of_user(user), logins.living(user.tokens.all())
    possible = {
        "unlock": is_locked,
        "end-sessions": bool(open_logins or tokens),
        "reset-factor": factor is not None,
        "enable": not user.is_active,
        "disable": user.is_active and not logins.is_last_superuser(user),
    }
    return {
        "account": user,
        "factor": factor,
        "is_locked": is_locked,
        "open_logins": open_logins,
        "tokens": tokens,
        "deeds": [(name, DEEDS[name][0]) for name, is_possible in possible.items() if is_possible],
    }


@admin.register(ProgramToken)
class ProgramTokenAdmin(Searched, ModelAdmin):
    """Tokens are made by `issue_token`, which shows them once, and ended here or by `revoke_token`."""

    list_display = ("__str__", "user", "allows", "state_of", "last_used_at", "expires_at")
    list_display_links = None
    list_select_related = ("user", "facility")
    list_filter = (("user", admin.RelatedOnlyFieldListFilter), "is_read_only")
    search_fields = ("user__username",)
    actions = ("revoke",)
    actions_selection_counter = True

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="allows")
    def allows(self, token: Any) -> str:
        return logins.limits_of(token)

    @display(description="state", label={"alive": "success", "ended": "danger", "expired": "info"})
    def state_of(self, token: Any) -> str:
        return logins.state_of(token)

    @admin.action(description="End the tokens", permissions=["view"])
    def revoke(self, request: HttpRequest, tokens: "QuerySet[ProgramToken]") -> None:
        with transaction.atomic():
            for token in logins.living(tokens):
                audit.note(cast(User, request.user), "revoke token", "program_tokens", token.pk, user=token.user_id)
            ended = logins.revoke(tokens)
        messages.success(request, f"{ended} token{'' if ended == 1 else 's'} ended.")

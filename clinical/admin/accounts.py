"""Who may log in, what they may do, and what they did."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from clinical.models import Membership, User
from clinical.searches import Searched

admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


class MembershipInline(TabularInline):
    """What the user may do, and where; no scope is the nation."""

    model = Membership
    extra = 0
    fields = ("role", "state", "lga", "facility")
    autocomplete_fields = ("facility",)
    verbose_name_plural = "roles and their scopes"


@admin.register(User)
class UserAdmin(Searched, DjangoUserAdmin, ModelAdmin):
    """A person who leaves is made inactive, so that what they decided keeps their name."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "is_active", "is_staff", "is_superuser", "last_login")
    readonly_fields = ("last_login", "date_joined")
    inlines = (MembershipInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> "list[type[TabularInline]]":
        """Django asks for a new user's name and password first."""
        return [*super().get_inlines(request, obj)] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

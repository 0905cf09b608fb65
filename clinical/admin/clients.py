"""Programs that log in with a key of their own: registered and ended by superusers."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from clinical.models import SmartClient, User
from clinical.smart import clients


class ClientForm(forms.ModelForm):
    """Keys are pasted: nothing is ever fetched from where a program says that its keys are."""

    keys = forms.JSONField(
        label="Public keys",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}),
        help_text='A JWKS, {"keys": [...]}: RSA for RS384 or EC P-384 for ES384, each with a kid; no private part.',
    )
    scopes = forms.CharField(
        widget=UnfoldAdminTextInputWidget,
        initial="system/*.rs",
        help_text="The widest that it may ask for, with spaces between: system/*.rs, or system/Patient.rs and others.",
    )

    class Meta:
        model = SmartClient
        fields = ("client_id", "user", "keys", "scopes")

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        """The empty set in place of the word null, which a new row would say."""
        return {"keys": []} if field_name == "keys" else super().get_initial_for_field(field, field_name)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors:
            given["scopes"] = given["scopes"].split()
            try:
                clients.check(given["user"], given["keys"], given["scopes"])
            except clients.Refused as error:
                raise ValidationError(str(error)) from error
        return given


@admin.register(SmartClient)
class SmartClientAdmin(ModelAdmin):
    list_display = ("client_id", "user", "may", "key_ids", "state_of", "created_at")
    list_display_links = None
    list_select_related = ("user",)
    actions = ("end",)
    actions_selection_counter = True
    form = ClientForm
    autocomplete_fields = ("user",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SmartClient, form: Any, change: bool) -> None:
        by, given = cast(User, request.user), form.cleaned_data
        made, _ = clients.register(given["client_id"], given["user"], given["keys"], given["scopes"], by=by)
        obj.pk = made.pk

    @admin.display(description="may ask for")
    def may(self, client: SmartClient) -> str:
        return " ".join(client.scopes)

    @admin.display(description="keys")
    def key_ids(self, client: SmartClient) -> str:
        return ", ".join(f"{one['kid']} ({one['alg']})" for one in client.keys["keys"])

    @display(description="state", label={"alive": "success", "ended": "danger"})
    def state_of(self, client: SmartClient) -> str:
        return "ended" if client.ended_at else "alive"

    @admin.action(description="End the clients", permissions=["view"])
    def end(self, request: HttpRequest, chosen: "QuerySet[SmartClient]") -> None:
        alive = [*chosen.filter(ended_at=None)]
        for client in alive:
            clients.end(client, by=cast(User, request.user))
        messages.success(request, f"{len(alive)} client{'' if len(alive) == 1 else 's'} ended.")

"""What the pages on batches and refused rows have in common: reading only, asking before deciding, reasons in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from clinical.access import READ
from clinical.changelists import Listed, ReadOnly
from clinical.models import User
from ingestion.models import IngestBatch
from ingestion.refusals import CODES, Code, Level, code_of

SHOWN = 20  # of a selection, before a decision is asked for
AT_ONCE = 2_000  # refused rows are tried in the request; more of them by a worker


def person(request: HttpRequest) -> User:
    """Who asks: nobody reaches these pages without a log-in."""
    return cast(User, request.user)


class Desk(Listed, ReadOnly, ModelAdmin):
    """Written by the pipeline alone; people read, and decide through actions."""

    most_at_once = 100_000  # a cause may have as many rows

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """What is out of the steward's scope is not there, nor, when something is decided, what may only be read."""
        rows = super().get_queryset(request)
        if request.method == "POST" and hasattr(rows, "decidable_by"):
            return rows.decidable_by(person(request))
        return rows.visible_to(person(request)) if hasattr(rows, "visible_to") else rows

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """What the actions ask for: the right to change, which these pages do not give to forms."""
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def ask(
        self, request: HttpRequest, rows: "QuerySet[Any]", form_class: type[forms.Form], *, title: str, button: str
    ) -> dict[str, Any] | HttpResponse:
        """The answers, or the page that asks for them and sends the same selection here again."""
        form = form_class(request.POST if "decided" in request.POST else None)
        if form.is_bound and form.is_valid():
            return form.cleaned_data
        count = rows.count()
        context = self.admin_site.each_context(request) | {
            "title": title,
            "button": button,
            "form": form,
            "opts": self.opts,
            "shown": rows[:SHOWN],
            "count": count,
            "more": max(0, count - SHOWN),
            "checkbox": ACTION_CHECKBOX_NAME,
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "passed_on": {name: request.POST[name] for name in ("action", "select_across") if name in request.POST},
            "from_page": "from_page" in request.POST,
        }
        return TemplateResponse(request, "ingestion/ask.html", context)

    def back(self, request: HttpRequest) -> HttpResponse | None:
        """To the page of the one row that the decision was taken on, else (None) to the list."""
        if "from_page" not in request.POST:
            return None
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(reverse(page, args=[request.POST[ACTION_CHECKBOX_NAME]]))

    def tell(self, request: HttpRequest, done: str | None, refusals: Iterable[str] = ()) -> None:
        if done:
            self.message_user(request, done, messages.SUCCESS)
        for refusal in refusals:
            self.message_user(request, refusal, messages.ERROR)


class OfBatches(Desk):
    """What is known of batches, one row or more for each: of those in the steward's scope."""

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        rows, user = super().get_queryset(request), person(request)
        if user.access.scope(READ, "deliveries").is_national:
            return rows
        return rows.filter(batch__in=IngestBatch.objects.visible_to(user).order_by())


class WhyForm(forms.Form):
    reason = forms.CharField(
        label="Why",
        max_length=500,
        widget=UnfoldAdminExpandableTextareaWidget(),
        help_text="Kept with the decision. Name no patient.",
    )


@dataclass(frozen=True)
class Why:
    """A reason in words. Reasons that the catalogue does not hold are shown as they are."""

    reason: str

    @property
    def code(self) -> str:
        return code_of(self.reason)

    @property
    def detail(self) -> str:
        return self.reason.partition(":")[2]

    @property
    def meaning(self) -> str:
        return self._entry.meaning if self._entry else ""

    @property
    def action(self) -> str:
        return self._entry.action if self._entry else ""

    @property
    def is_warning(self) -> bool:
        return self._entry is not None and self._entry.level in (Level.WARNING, Level.WAIT)

    @property
    def _entry(self) -> Code | None:
        return CODES.get(self.code)


def labels(reasons: Iterable[str]) -> SafeString:
    """The codes as labels, each with its meaning where the pointer rests."""
    return format_html_join(
        " ",
        '<span class="desk-code {}" title="{}">{}</span>',
        (
            ("is-mild" if why.is_warning else "", why.meaning, why.reason.replace(":", " · "))
            for why in map(Why, reasons)
        ),
    )


def sentences(reasons: Iterable[str]) -> SafeString:
    lines = ((labels([reason]), Why(reason).meaning) for reason in reasons)
    return format_html_join("", '<div class="desk-why">{}{}</div>', lines)


def link(page: str, pk: Any, text: Any) -> SafeString:
    return format_html('<a class="text-link" href="{}">{}</a>', reverse(f"admin:{page}_change", args=[pk]), text)

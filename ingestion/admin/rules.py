"""Rules: made of a correction after a look at what they would do, changed by a newer version, ended, taken back."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminExpandableTextareaWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextInputWidget,
)

from clinical import geography
from clinical.models import Facility, Patient
from ingestion import queue, reverting, rulemaking, rules, sources
from ingestion.admin import causes
from ingestion.admin.desk import AT_ONCE, Desk, Why, WhyForm, person
from ingestion.models import IngestBatch, Rule, RuleUse
from ingestion.rulemaking import Proposal
from ingestion.stewards import NotPossible

STATES = [("", "everywhere"), *((state, state) for state in geography.STATES)]
SEXES = [("", "…"), *Patient.Sex.choices]


class RuleForm(forms.Form):
    """What a text means, and where. Which fields there are depends on what the rule is about."""

    text = forms.CharField(
        label="Where the files say",
        widget=UnfoldAdminTextInputWidget(),
        help_text="The whole cell; case and runs of spaces do not matter.",
    )
    facility = forms.ModelChoiceField(queryset=Facility.objects.none(), label="This facility is meant")
    value = forms.CharField(label="This is meant", widget=UnfoldAdminTextInputWidget())
    source = forms.CharField(
        label="Only in files of this source",
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        help_text="As the batch's page names it; empty: in all files.",
    )
    state = forms.ChoiceField(
        label="Only where row or folder name this state",
        choices=STATES,
        required=False,
        widget=UnfoldAdminSelectWidget(),
    )
    expires_on = forms.DateField(
        label="Applies no more from",
        required=False,
        widget=UnfoldAdminSingleDateWidget(),
        help_text="Empty: until somebody ends it.",
    )
    why = forms.CharField(
        label="Why",
        required=False,
        max_length=500,
        widget=UnfoldAdminExpandableTextareaWidget({"rows": 2}),
        help_text="Who told you, and when; for whoever looks at it later.",
    )

    def __init__(self, about: Rule.About, facility: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if about == Rule.About.FACILITY:
            self.fields["facility"] = facility
            del self.fields["value"]
            return
        del self.fields["facility"]
        if about == Rule.About.STATE:
            self._choose("value", [("", "…"), *STATES[1:]])
            del self.fields["state"]  # which state a row is of is the very question
        if about == Rule.About.SEX:
            self._choose("value", SEXES)
        if about == Rule.About.LGA:
            self.fields["state"].required = True
            self.fields["state"].label = "In this state"

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        label = self.fields[name].label
        self.fields[name] = forms.ChoiceField(label=label, choices=choices, widget=UnfoldAdminSelectWidget())


class InForceFilter(DropdownFilter):
    title = "in force"
    parameter_name = "in_force"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "In force"), ("no", "Ended or taken back")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        return queryset.filter(ended_at__isnull=self.value() == "yes") if self.value() else queryset


COLOURS = {"in force": "success", "ended": "", "taken back": "warning"}


def state_of(rule: Rule) -> str:
    if rule.is_taken_back:
        return "taken back"
    in_force = Rule.objects.active().filter(pk=rule.pk).exists() if rule.expires_on else not rule.ended_at
    return "in force" if in_force else "ended"


@admin.register(Rule)
class RuleAdmin(Desk):
    list_display = ("said", "means", "reach", "state_label", "decided_by", "decided_at")
    list_select_related = ("facility", "decided_by")
    list_filter = (("about", ChoicesDropdownFilter), InForceFilter)
    search_fields = ("text_key", "source")
    autocomplete_fields = ("facility",)
    change_form_outer_before_template = "ingestion/rule.html"
    fields = ("decided_by", "decided_at", "expires_on")  # the rest stands above them

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_decide_permission(request)

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/end/", wrap(self.end_view), name="ingestion_rule_end"),
            path("<int:pk>/take-back/", wrap(self.take_back_view), name="ingestion_rule_take_back"),
            *super().get_urls(),
        ]

    @admin.display(description="where files say", ordering="text_key")
    def said(self, rule: Rule) -> SafeString:
        return format_html(
            '<div class="desk-key">{}</div><div class="desk-about">{}</div>', rule.text, rule.get_about_display()
        )

    @admin.display(description="this is meant")
    def means(self, rule: Rule) -> str:
        return rule.meaning

    @admin.display(description="where")
    def reach(self, rule: Rule) -> str:
        return rule.reach

    @display(description="state", label=COLOURS)
    def state_label(self, rule: Rule) -> str:
        return state_of(rule)

    # --- Making one

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Asked what the rule is about, then what it says, then shown what it would do, and only then saved."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        old = self._replaced(request)
        about = old.about if old else request.GET.get("about", "")
        if about not in Rule.About.values:
            return self._page(request, "ingestion/rule_about.html", {"title": "Make a rule", "abouts": Rule.About})
        form = self._form(request, Rule.About(about), old)
        preview = None
        if form.is_bound and form.is_valid():
            proposal = Proposal(about=about, replaces=old, **form.cleaned_data)
            try:
                if "save" in request.POST:
                    return self._saved(request, proposal)
                preview = rulemaking.preview(proposal, by=person(request))
            except NotPossible as error:
                form.add_error(None, str(error))
        return self._page(
            request,
            "ingestion/rule_form.html",
            {
                "title": "Change a rule" if old else f"Make a rule about a {Rule.About(about).label}",
                "form": form,
                "preview": preview,
                "still": [(Why(reason), count) for reason, count in preview.still.items()] if preview else [],
                "old": old,
            },
        )

    def _replaced(self, request: HttpRequest) -> Rule | None:
        number = request.GET.get("replaces", "")
        return self.get_queryset(request).filter(pk=number).first() if number.isdigit() else None

    def _form(self, request: HttpRequest, about: Rule.About, old: Rule | None) -> RuleForm:
        facility = self.formfield_for_foreignkey(Rule._meta.get_field("facility"), request)
        facility.label, facility.required = "This facility is meant", True
        names = ("text", "facility", "value", "source", "state", "expires_on", "why")
        said = {name: getattr(old, name) for name in names} if old else request.GET.dict()
        if "row" in said:
            said |= causes.said_by(request, str(said["row"]))
        return RuleForm(about, facility, request.POST or None, initial=said)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs["queryset"] = Facility.objects.present().visible_to(person(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def _saved(self, request: HttpRequest, proposal: Proposal) -> HttpResponse:
        rule = rulemaking.save(proposal, by=person(request))
        if rules.waiting(rule).count() > AT_ONCE:
            queue.send("apply_rule", rule.pk, person(request).pk)
            self.tell(request, "The rule is in force. A worker tries the rows that wait for it.")
        else:
            batches = rulemaking.apply(rule, by=person(request))
            landed = sum(batch.rows_read - batch.rejected for batch in batches)
            self.tell(request, f"The rule is in force, and {landed} rows have landed by it.")
        return HttpResponseRedirect(reverse("admin:ingestion_rule_change", args=[rule.pk]))

    # --- One rule

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        rule = self.get_object(request, object_id)
        extra = self._story(request, rule) if rule else {}
        return super().change_view(request, object_id, form_url, extra | (extra_context or {}))

    def _story(self, request: HttpRequest, rule: Rule) -> dict[str, Any]:
        uses = RuleUse.objects.filter(rule=rule)
        visible = IngestBatch.objects.visible_to(person(request)).order_by()  # a state's rule works in files of others
        by_batch = uses.filter(batch__in=visible).order_by("-batch_id").values("batch_id").annotate(n=Count("pk"))[:20]
        batches = IngestBatch.objects.in_bulk([row["batch_id"] for row in by_batch])
        return {
            "rule": rule,
            "rule_state": state_of(rule),
            "state_colour": COLOURS[state_of(rule)],
            "uses": uses.count(),
            "waiting": rules.waiting(rule).count() if not rule.ended_at else 0,
            "by_batch": [(batches[row["batch_id"]], row["n"]) for row in by_batch],
            "change_url": f"{reverse('admin:ingestion_rule_add')}?replaces={rule.pk}",
            "newer": Rule.objects.filter(replaces=rule).first(),
            "may_decide": self.has_decide_permission(request),
            "why_form": WhyForm(),
        }

    def end_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._decide(request, pk, "It applies no more; what came in by it stays.", rulemaking.end)

    def take_back_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._decide(request, pk, "It is taken back, and the rows that came in by it were parked.", _take_back)

    def _decide(self, request: HttpRequest, pk: int, done: str, decide: Any) -> HttpResponse:
        """A decision on one rule, posted from its page with its reason."""
        if request.method != "POST" or not self.has_decide_permission(request):
            raise PermissionDenied
        rule = self.get_object(request, str(pk))
        form = WhyForm(request.POST)
        if rule is None:
            raise Http404
        if not form.is_valid():
            self.tell(request, None, ["Say why."])
        else:
            try:
                decide(rule, why=form.cleaned_data["reason"], by=person(request))
                self.tell(request, done)
            except reverting.Obstructed as error:
                some = "; ".join(f"{o.table} {o.object_id} {o.what}" for o in error.obstacles[:5])
                self.tell(request, None, [f"{error} {some}"])
            except (NotPossible, sources.StorageError) as error:
                self.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(reverse("admin:ingestion_rule_change", args=[pk]))

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(
            request, template, self.admin_site.each_context(request) | {"opts": self.opts} | context
        )


def _take_back(rule: Rule, *, why: str, by: Any) -> None:
    rulemaking.take_back(rule, why=why, by=by)

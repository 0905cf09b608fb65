"""How good the data is: a score by category, each check with its trend, and what each run of the checks found."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Max
from django.db.models.functions import TruncDate
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from analytics import checks
from analytics.admin.charts import bars, line
from analytics.checks.catalogue import BY_NAME, CHECKS
from analytics.checks.check import Category, Check
from analytics.history import CheckResult, CheckRun, DataOwner
from clinical.access import READ
from clinical.audit import reads
from clinical.changelists import Listed, ReadOnly
from ingestion.admin.desk import person

Status = CheckResult.Status
SHOWN = timedelta(days=30)
COLOURS = {Status.PASSED: "success", Status.FAILED: "danger", Status.WARNED: "warning", Status.BROKEN: "danger"}
WORST_FIRST = (Status.BROKEN, Status.FAILED, Status.WARNED, Status.SKIPPED, Status.NOT_APPLICABLE, Status.PASSED)
# Where the row of a key is shown. `id` is of the relation itself.
PAGES = {
    "facility_id": "clinical_facility",
    "patient_id": "clinical_patient",
    "triage_id": "clinical_triagevisit",
    "record_id": "clinical_medicalrecord",
}
OWN_PAGES = {
    "facilities": "clinical_facility",
    "patients": "clinical_patient",
    "medical_records": "clinical_medicalrecord",
    "triage_visits": "clinical_triagevisit",
    "rejected_rows": "ingestion_rejectedrow",
}


@dataclass
class Line:
    """One check on the page: what it found last, and its trend."""

    check: Check
    last: CheckResult | None
    trend: SafeString

    @property
    def colour(self) -> str:
        return COLOURS.get(Status(self.last.status), "default") if self.last else "default"

    @property
    def words(self) -> str:
        return Status(self.last.status).value if self.last else "not run yet"

    @property
    def found(self) -> str:
        return _found(self.last) if self.last else ""


def _found(result: CheckResult) -> str:
    if result.status == Status.BROKEN:
        return result.error
    of = f" of {result.among_rows:,}" if result.among_rows else ""
    share = f" ({result.failing_rows / result.among_rows:.1%})" if result.among_rows else ""
    return f"{result.failing_rows:,}{of}{share}"


@admin.register(CheckRun)
class CheckRunAdmin(Listed, ReadOnly, ModelAdmin):
    """Written by the checks alone."""

    list_display = ("started_at", "verdict", "passed", "failed", "warned", "skipped")
    fields = ("started_at", "finished_at")
    change_form_outer_before_template = "analytics/check_run.html"

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        pages = [
            path("quality/", wrap(self.quality), name="data_quality"),
            path("quality/<str:check>/", wrap(self.one_check), name="data_quality_check"),
        ]
        return [*pages, *super().get_urls()]

    @display(description="verdict", label={"all passed": "success", "some warn": "warning", "some failed": "danger"})
    def verdict(self, run: CheckRun) -> str:
        return "some failed" if run.failed else "some warn" if run.warned else "all passed"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        return super().change_view(
            request, object_id, form_url, (_story(run, _sees_all(request)) if run else {}) | (extra_context or {})
        )

    def quality(self, request: HttpRequest) -> HttpResponse:
        """Every check with its trend, those first that did not pass."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        runs = _runs()
        by_check: dict[str, list[CheckResult]] = defaultdict(list)
        results = [*CheckResult.objects.filter(run__in=runs).defer("sample").order_by("run_id")]
        for result in results:
            by_check[result.name].append(result)
        lines = [_line(check, by_check.get(check.name, []), runs) for check in CHECKS]
        lines.sort(key=lambda one: WORST_FIRST.index(Status(one.last.status)) if one.last else 0)
        context = {
            "title": "Data quality",
            "last": CheckRun.objects.filter(pk__in=runs[-1:]).first(),
            "scores": _scores(results, runs),
            "amiss": [one for one in lines if one.last and one.last.status in WORST_FIRST[:3]],
            "others": [one for one in lines if not one.last or one.last.status not in WORST_FIRST[:3]],
        }
        reads.seen("data_check_results", "list", rows=len(lines))
        return self._page(request, "analytics/data_quality.html", context)

    def one_check(self, request: HttpRequest, check: str) -> HttpResponse:
        """Why, what to do, the query, the trend; the keys of failing rows for who looks after the whole country."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = BY_NAME.get(check)
        if found is None:
            raise Http404
        runs = _runs()
        results = [*CheckResult.objects.filter(run__in=runs, name=check).select_related("run").order_by("run_id")]
        sees_all = _sees_all(request)
        keys = results[-1].sample if results and sees_all else []
        context = {
            "title": found.name,
            "check": found,
            "owner": DataOwner.objects.filter(pk=found.owner).first(),
            "line": _line(found, results, runs),
            "history": [(result, _found(result)) for result in reversed(results)],
            "keys": [_linked(found, key) for key in keys],
            "sees_all": sees_all,
        }
        whom = [key.get("patient_id") or (key.get("id") if found.relation == "patients" else None) for key in keys]
        reads.seen("data_check_results", "read", patient_ids=whom, rows=len(keys), check=found.name)
        return self._page(request, "analytics/data_check.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        return TemplateResponse(
            request, template, self.admin_site.each_context(request) | {"opts": self.opts} | context
        )


def _runs() -> list[int]:
    """The last whole run of each day, the oldest first: one with a few checks only says nothing of the rest."""
    whole = checks.whole_runs().filter(started_at__gte=timezone.now() - SHOWN).order_by()
    by_day = whole.annotate(day=TruncDate("started_at")).values_list("day", "pk")
    return sorted(dict(sorted(by_day)).values())


def _line(check: Check, results: list[CheckResult], runs: list[int]) -> Line:
    failing = {result.run_id: float(result.failing_rows) for result in results if result.status in COLOURS}
    values = [failing.get(run) for run in runs]
    told = ", ".join("not run" if value is None else f"{value:,.0f}" for value in values)
    return Line(check, results[-1] if results else None, bars(values, f"Failing rows by day: {told}"))


def _scores(results: list[CheckResult], runs: list[int]) -> list[dict[str, Any]]:
    """By category: what share of the checks that apply has passed, in the last run and by day."""
    counts: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for result in results:
        if result.status in COLOURS:
            count = counts[result.category, result.run_id]
            count[0] += result.status == Status.PASSED
            count[1] += 1
    scores = []
    for category in Category:
        of_days = [counts.get((category.value, run)) for run in runs]
        shares = [100 * passed / total if total else None for passed, total in (one or (0, 0) for one in of_days)]
        passed, total = (of_days[-1] if of_days else None) or (0, 0)
        told = ", ".join("not run" if share is None else f"{share:.0f} %" for share in shares)
        scores.append(
            {
                "category": category.value,
                "passed": passed,
                "total": total,
                "share": f"{100 * passed / total:.0f}\N{NO-BREAK SPACE}%" if total else "\N{EN DASH}",
                "trend": line(shares, f"Share of checks passed by day: {told}"),
            }
        )
    return scores


def _linked(check: Check, key: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Each column of a key with its value, and where its row is shown."""
    return [(column, value, _place(check, column, value)) for column, value in key.items()]


def _place(check: Check, column: str, value: Any) -> str:
    page = OWN_PAGES.get(check.relation) if column == "id" else PAGES.get(column)
    return reverse(f"admin:{page}_change", args=[value]) if page and value is not None else ""


def _sees_all(request: HttpRequest) -> bool:
    """Rows that fail a check are anywhere in the country."""
    return person(request).access.scope(READ, "analytics").is_national


def _story(run: CheckRun, sees_all: bool) -> dict[str, Any]:
    """What the page on a run tells: the checks that did not pass, with the keys of rows; of the others a number."""
    results = [*run.results.exclude(status=Status.PASSED).order_by("status", "-failing_rows", "id")]
    failures = [result for result in results if result.status in COLOURS]
    passed = CheckResult.objects.filter(status=Status.PASSED, name__in=[one.name for one in failures])
    last_passed = dict(passed.order_by().values_list("name").annotate(Max("run__started_at")))
    findings = [
        {
            "result": result,
            "check": BY_NAME.get(result.name),
            "colour": COLOURS[Status(result.status)],
            "rows": f"{result.failing_rows:,}",
            "keys": _told(result.sample) if sees_all else "",
            "last_passed": last_passed.get(result.name),
        }
        for result in failures
    ]
    skipped = [result.name for result in results if result.status == Status.SKIPPED]
    return {"run": run, "findings": findings, "skipped": skipped}


def _told(keys: list[dict[str, Any]]) -> str:
    """A key of one column as its value, with the column said once; of several as pairs."""
    if keys and len(keys[0]) == 1:
        (column,) = keys[0]
        return f"{column} {', '.join(str(key[column]) for key in keys)}"
    return "\n".join(", ".join(f"{column} {value}" for column, value in key.items()) for key in keys)


class OwnerForm(forms.ModelForm):
    class Meta:
        model = DataOwner
        fields = ("about", "emails")
        widgets = {name: UnfoldAdminExpandableTextareaWidget({"rows": 1}) for name in ("about", "emails")}
        help_texts = {"emails": "separated by commas; without any, those of ALERT_EMAIL are told"}


@admin.register(DataOwner)
class DataOwnerAdmin(ModelAdmin):
    """Who is told of what goes wrong with whose data. The owners themselves are named in analytics/checks."""

    form = OwnerForm
    fields = ("name", "about", "emails")
    readonly_fields = ("name",)
    list_display = ("name", "about", "addresses", "check_count")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="addresses")
    def addresses(self, owner: DataOwner) -> str:
        return ", ".join(owner.emails) or "those of the site"

    @admin.display(description="checks")
    def check_count(self, owner: DataOwner) -> SafeString:
        count = sum(check.owner == owner.name for check in CHECKS)
        return format_html('<span class="desk-count">{}</span>', count)

"""The marts at the stewards' desk: how fresh each is, and what became of each refresh."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import AllValuesFieldListFilter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.views.decorators.http import require_POST
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from analytics import marts, tasks
from analytics.history import MartRefresh, MartState
from clinical.changelists import Listed, ReadOnly

COLOURS = {"done": "success", "running": "info", "failed": "danger"}


class Desk(Listed, ReadOnly, ModelAdmin):
    """Written by the refresh alone."""


@admin.register(MartState)
class MartStateAdmin(Desk):
    """The one page that answers: how old are the numbers?"""

    list_display = ("mart", "freshness", "as_of", "row_count", "last_refresh")
    fields = ("mart", "as_of", "row_count", "lagos_day", "reads", "its_refreshes")
    readonly_fields = ("row_count", "its_refreshes")
    list_before_template = "analytics/refresh_now.html"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.run_now))
        return [path("refresh-now/", view, name="analytics_martstate_refresh_now"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        self.states = marts.states()
        extra = {"title": "Marts and their freshness", "may_refresh": self._may_refresh(request)}
        return super().changelist_view(request, extra | (extra_context or {}))

    @display(description="state", label={"fresh": "success", "stale": "warning", "failed": "danger"})
    def freshness(self, mart: MartState) -> tuple[str, str]:
        state = self.states[mart.mart]
        if state.has_failed:
            return "failed", "failed: it shows older rows"
        return ("stale", f"stale: {MartRefresh.Why(state.why).label}") if state.is_stale else ("fresh", "fresh")

    @display(description="rows")
    def row_count(self, mart: MartState) -> str:
        return f"{mart.rows:,}"

    @display(description="refreshes")
    def its_refreshes(self, mart: MartState) -> SafeString:
        url = f"{reverse('admin:analytics_martrefresh_changelist')}?mart__exact={mart.mart}"
        return format_html('<a class="text-link" href="{}">Refreshes of this mart</a>', url)

    @display(description="last refresh")
    def last_refresh(self, mart: MartState) -> str:
        last = MartRefresh.objects.filter(mart=mart.mart).first()
        if last is None:
            return "not yet"
        seconds = (last.finished_at - last.started_at).total_seconds() if last.finished_at else 0
        return f"{timesince(last.started_at)} ago, {seconds:.1f} s" + (f": {last.error}" if last.error else "")

    def _may_refresh(self, request: HttpRequest) -> bool:
        return request.user.has_perm("analytics.change_martstate")

    def run_now(self, request: HttpRequest) -> HttpResponseRedirect:
        """What beat runs, now; it leaves fresh marts alone."""
        if not self._may_refresh(request):
            raise PermissionDenied
        try:
            tasks.refresh_marts.delay()
            self.message_user(request, "A worker refreshes what is stale; reload this page in a moment.")
        except tasks.refresh_marts.OperationalError:
            away = "The broker is away, so that no worker can be asked; `manage.py refresh_marts` works without."
            self.message_user(request, away, messages.ERROR)
        return HttpResponseRedirect(reverse("admin:analytics_martstate_changelist"))


@admin.register(MartRefresh)
class MartRefreshAdmin(Desk):
    list_display = ("mart", "state", "why", "row_count", "as_of", "seconds", "error")
    list_filter = (
        ("mart", AllValuesFieldListFilter),
        ("status", ChoicesDropdownFilter),
        ("why", ChoicesDropdownFilter),
    )

    @display(description="status", label=COLOURS)
    def state(self, refresh: MartRefresh) -> str:
        return refresh.status

    @display(description="rows")
    def row_count(self, refresh: MartRefresh) -> str:
        return "" if refresh.rows is None else f"{refresh.rows:,}"

    def seconds(self, refresh: MartRefresh) -> str:
        end = refresh.finished_at or timezone.now()
        return f"{(end - refresh.started_at).total_seconds():.1f}"

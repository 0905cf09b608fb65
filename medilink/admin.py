"""What beat runs when, for stewards to change, in the look of the desk: when, but neither what nor with what."""

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import QuerySet, TextField
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_celery_beat import admin as beat
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold import fields
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminExpandableTextareaWidget

from clinical.changelists import ReadOnly
from clinical.models import User
from medilink.models import Alert, AlertQuerySet

# JSON that is only read stays plain: its colours would be inline styles, which medilink/headers.py refuses.
fields.prettify_json = lambda *_: None
for schedule in (ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule):
    admin.site.unregister(schedule)


@admin.register(Alert)
class AlertAdmin(ReadOnly, ModelAdmin):
    """What is wrong now, and what was; written by medilink/alerts.py alone."""

    list_display = ("state", "what_to_see", "opened_at", "closed_at", "was_told")
    list_display_links = None
    list_filter = (("closed_at", EmptyFieldListFilter),)
    ordering = ("-closed_at", "-id")  # open ones first: their end is null
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Alert]":
        rows = cast(AlertQuerySet, super().get_queryset(request))
        return rows.visible_to(cast(User, request.user))

    @display(description="state", label={"open": "danger", "over": "success"})
    def state(self, alert: Alert) -> str:
        return "over" if alert.closed_at else "open"

    @display(description="what")
    def what_to_see(self, alert: Alert) -> SafeString:
        return format_html('<a class="text-link" href="{}">{}</a>', alert.link, alert.what)

    @display(description="somebody was told", boolean=True)
    def was_told(self, alert: Alert) -> bool:
        return alert.told_opened_at is not None


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(ModelAdmin):
    """Migrations make the rows: who could name a task and its arguments could have anything done."""

    readonly_fields = ("name", "description", "task", "args", "kwargs", "last_run_at", "total_run_count")
    fields = ("enabled", "crontab", "interval", "clocked", "solar", *readonly_fields)
    formfield_overrides = {TextField: {"widget": UnfoldAdminExpandableTextareaWidget({"rows": 1})}}
    date_hierarchy = None
    list_display = ("name", "enabled", "scheduler", "last_run_at", "total_run_count")
    list_filter = ("enabled",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    inlines = ()


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(beat.ClockedScheduleAdmin, ModelAdmin):
    inlines = ()


@admin.register(IntervalSchedule, SolarSchedule)
class ScheduleAdmin(ModelAdmin):
    pass

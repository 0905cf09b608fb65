"""What became of the marts: how far each is, each refresh, each run of the data checks and what it found."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class MartRefresh(models.Model):
    """One refresh of one mart. running → done, or failed, and then the mart has its old rows."""

    class Status(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    class Why(models.TextChoices):
        FIRST = "first", "never refreshed before"
        INPUTS = "inputs", "its tables have changed"
        DAY = "day", "a new day in Lagos"
        FAILED = "failed", "the last refresh failed"
        RESTORED = "restored", "the database was restored from another server"
        FORCED = "forced", "somebody asked for it"

    mart = models.TextField()
    as_of = models.DateTimeField(null=True, help_text="the rows are those of this instant")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    rows = models.BigIntegerField(null=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    why = models.CharField(max_length=10, choices=Why.choices)
    error = models.TextField(blank=True, default="", help_text="in words that name no patient")
    batch_id = models.BigIntegerField(null=True, help_text="the last batch that was loaded by then")

    class Meta:
        db_table = "mart_refreshes"
        verbose_name = "refresh"
        verbose_name_plural = "refreshes"
        ordering = ["-id"]
        indexes = [models.Index(fields=["mart", "-id"], name="mart_refreshes_of_a_mart")]

    def __str__(self) -> str:
        return f"{self.mart} {self.pk}"


class MartState(models.Model):
    """How far one mart is: the snapshot that its rows were made of. Compared with `row_changes`, it says "stale"."""

    mart = models.TextField(primary_key=True)
    as_of = models.DateTimeField()
    snapshot = models.TextField(help_text="pg_snapshot at the beginning of the last refresh that went well")
    system = models.BigIntegerField(help_text="the server's identity; another one's transactions say nothing here")
    lagos_day = models.DateField()
    reads = ArrayField(models.TextField(), help_text="the base tables below it")
    rows = models.BigIntegerField()
    has_failed = models.BooleanField(default=False, help_text="the last refresh")

    class Meta:
        db_table = "mart_states"
        verbose_name = "mart"
        ordering = ["mart"]

    def __str__(self) -> str:
        return self.mart


class CheckRunQuerySet(models.QuerySet["CheckRun"]):
    def spanning(self, first: str, last: str) -> "CheckRunQuerySet":
        """Those that began with one check and ended with the other: the whole of the catalogue."""
        return self.filter(results__name=first).filter(results__name=last)


class CheckRun(models.Model):
    """The data checks, once: all of them, those of what is promised, or a few that somebody asked for."""

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    passed = models.IntegerField(default=0)
    failed = models.IntegerField(default=0, help_text="of those that are errors, or could not run")
    warned = models.IntegerField(default=0, db_default=0, help_text="of those that only warn")
    skipped = models.IntegerField(default=0)

    objects = CheckRunQuerySet.as_manager()

    class Meta:
        db_table = "data_check_runs"
        verbose_name = "run of the data checks"
        verbose_name_plural = "data checks"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"Checks {self.pk}"


class DataOwner(models.Model):
    """Who looks after data of a kind, and is written to when something is wrong with it.

    An owner without addresses: those of ALERT_EMAIL are told.
    """

    name = models.TextField(primary_key=True)
    about = models.TextField(blank=True, default="")
    emails = ArrayField(models.EmailField(), default=list, db_default=[], blank=True)

    class Meta:
        db_table = "data_owners"
        verbose_name = "owner of data"
        verbose_name_plural = "owners of data"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class CheckResult(models.Model):
    """What one check found in one run; failing rows by their keys alone."""

    class Status(models.TextChoices):
        PASSED = "passed"
        FAILED = "failed"
        WARNED = "warned", "warned: beyond its threshold"
        NOT_APPLICABLE = "n/a", "not applicable: too few rows to say"
        SKIPPED = "skipped", "skipped: its mart is older than its tables"
        BROKEN = "broken", "broken: the check itself could not run"

    run = models.ForeignKey(CheckRun, models.CASCADE, related_name="results")
    name = models.TextField()
    relation = models.TextField()
    kind = models.TextField()
    status = models.CharField(max_length=10, choices=Status.choices)
    severity = models.TextField(default="", db_default="", help_text="as it was at the time")
    category = models.TextField(default="", db_default="")
    failing_rows = models.BigIntegerField(default=0)
    among_rows = models.BigIntegerField(null=True, help_text="of how many, where a share of them is let pass")
    sample = models.JSONField(default=list, help_text="the keys of up to 100 failing rows")
    seconds = models.FloatField(default=0)
    error = models.TextField(blank=True, default="")

    class Meta:
        db_table = "data_check_results"
        ordering = ["-id"]
        indexes = [models.Index(fields=["name", "-id"], name="data_check_results_of_a_check")]

    def __str__(self) -> str:
        return f"{self.name} {self.status}"

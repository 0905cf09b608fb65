"""Words and their codes: what stewards decided of them, which texts the events bear, and how often."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from clinical.models.columns import holds

KINDS = ("diagnosis", "medication")
LONGEST = 200  # characters; what is longer is a note, and no term


def _kind() -> "models.CharField[str, str]":
    return models.CharField(max_length=10, choices=[(kind, kind) for kind in KINDS])


class TermDecision(models.Model):
    """What a steward decided that a word means, or that an earlier decision holds no more. Only ever added to.

    Of several decisions on a key the last one holds that is not taken back. Without a code the word means none of the
    map's concepts, and is asked about no more.
    """

    kind = _kind()
    key = models.CharField(max_length=LONGEST, help_text="the word as clinical/terms compares it")
    text = models.CharField("word", max_length=LONGEST, help_text="as some event bears it")
    system = models.CharField(max_length=80, blank=True, default="", db_default="")
    code = models.CharField(max_length=60, blank=True, default="", db_default="")
    display = models.CharField("meaning", max_length=200, blank=True, default="", db_default="")
    takes_back = models.OneToOneField("self", models.PROTECT, null=True, blank=True, related_name="taken_back_by")
    reason = models.CharField(max_length=500)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(db_default=TransactionNow(), editable=False)

    class Meta:
        db_table = "term_decisions"
        verbose_name = "decision on a word"
        verbose_name_plural = "decisions on words"
        ordering = ["-id"]
        constraints = [
            holds(Q(kind__in=KINDS), "term_decisions_kind_is_known"),
            holds(~Q(key="") & ~Q(reason=""), "term_decisions_key_and_reason_filled"),
            holds(
                Q(system="", code="", display="") | (~Q(system="") & ~Q(code="") & ~Q(display="")),
                "term_decisions_whole_code",
            ),
            holds(Q(takes_back=None) | Q(code=""), "term_decisions_taking_back_codes_nothing"),
        ]

    def __str__(self) -> str:
        return f"Decision {self.pk} on a {self.kind}"


class TermText(models.Model):
    """One text of the events that may be a term, and what the map of `version` makes of it. Made anew by each pass."""

    class State(models.TextChoices):
        """How much of it is understood; `qualified`: only as suspected, denied or of the past."""

        MAPPED = "mapped"
        QUALIFIED = "qualified"
        UNMAPPED = "unmapped"

    kind = _kind()
    text = models.CharField(max_length=LONGEST)
    keys = ArrayField(models.TextField(), default=list, help_text="of its parts")
    unknown = ArrayField(models.TextField(), default=list, help_text="keys of those parts that are not on the map")
    codings = models.JSONField(default=list, help_text="system, code, display: of the parts that it is sure of")
    state = models.CharField(max_length=9, choices=State.choices)
    times = models.IntegerField(default=0, db_default=0, help_text="that events of the nation bear it")
    version = models.CharField(max_length=20)

    class Meta:
        db_table = "term_texts"
        verbose_name = "word without a code"
        verbose_name_plural = "words without a code"
        constraints = [
            models.UniqueConstraint(fields=["kind", "text"], name="term_texts_identity"),
            holds(Q(kind__in=KINDS), "term_texts_kind_is_known"),
            holds(Q(state__in=["mapped", "qualified", "unmapped"]), "term_texts_state_is_known"),
            holds(Q(state="unmapped", unknown__len__gt=0) | ~Q(state="unmapped"), "term_texts_unmapped_has_unknown"),
        ]
        # The texts that have a word: its page, and a decision on it.
        indexes = [GinIndex(fields=["keys"], name="term_texts_keys")]

    def __str__(self) -> str:
        return f"Text {self.pk} of a {self.kind}"


class TermCount(models.Model):
    """How many times events of a facility bear a text that is not wholly understood."""

    pk = models.CompositePrimaryKey("text_id", "facility_id")
    # Both hold in the database, and cascade there (migration 0018).
    text = models.ForeignKey(TermText, models.DO_NOTHING, related_name="counts", db_index=False, db_constraint=False)
    facility = models.ForeignKey("Facility", models.DO_NOTHING, related_name="+", db_constraint=False)
    times = models.IntegerField()

    class Meta:
        db_table = "term_counts"
        constraints = [holds(Q(times__gte=1), "term_counts_times_from_1")]

    def __str__(self) -> str:
        return f"Text {self.text_id} at facility {self.facility_id}"


class TermPass(models.Model):
    """The last pass: which rows it has seen at least, and by which version of the delivered map. One row, or none."""

    id = models.BigIntegerField(primary_key=True, default=1)
    seen_until = models.DateTimeField(help_text="what was written from then on may bear texts not in term_texts")
    map_number = models.IntegerField()

    class Meta:
        db_table = "term_passes"
        constraints = [holds(Q(id=1), "term_passes_one_row")]

    def __str__(self) -> str:
        return f"Pass of {self.seen_until:%d %b %Y}"

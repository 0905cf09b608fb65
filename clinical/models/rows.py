"""Facilities, patients and what happened to them."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import TransactionNow
from django.contrib.postgres.indexes import BrinIndex, GinIndex
from django.db import models
from django.db.models import Func, Q, Value

from clinical import access, geography, values
from clinical.models.accounts import User
from clinical.models.columns import holds, key_of
from clinical.models.subjects import Restrictable


def _indexes(table: str) -> list[models.Index]:
    return [
        models.Index(fields=["updated_at", "id"], name=f"{table}_changed"),  # changed_since of the API
        # Whether there are any at all, asked by each load; nearly always empty.
        models.Index(fields=["id"], condition=Q(deleted_at__isnull=False), name=f"{table}_deleted"),
        models.Index(fields=["deleted_by"], condition=Q(deleted_by__isnull=False), name=f"{table}_deleted_by"),
        # What a batch has brought: a passport, a revert. Rows of a batch lie together, so that this weighs nothing.
        BrinIndex(fields=["batch_id"], name=f"{table}_batch", autosummarize=True, pages_per_range=32),
    ]


class ClinicalQuerySet(models.QuerySet[Any]):
    """Rows of facilities, patients and events."""

    def present(self) -> "ClinicalQuerySet":
        return self.filter(deleted_at=None)

    def visible_to(self, user: User, action: str = access.READ) -> "ClinicalQuerySet":
        """Those in the user's scope for the action."""
        return self.inside(user.access.scope(action, self.model.RESOURCE)).unrestricted_for(user)

    def unrestricted(self) -> "ClinicalQuerySet":
        return self.filter(restricted_at=None) if issubclass(self.model, Restrictable) else self

    def unrestricted_for(self, user: User) -> "ClinicalQuerySet":
        """Of restricted patients only what lies where the user is a steward."""
        stewards, place = user.access.scope(access.DELETE, "patients"), self.model.PLACE
        if stewards.is_national or not issubclass(self.model, Restrictable):
            return self
        return self.filter(Q(restricted_at=None) | stewards.of_places(*place))

    def inside(self, scope: access.Scope) -> "ClinicalQuerySet":
        return self if scope.is_national else self.filter(scope.of_places(*self.model.PLACE))


class Kept(models.Model):
    """What every clinical row has: its instants, the file line it came from, and the mark of a deletion.

    A deleted row stays and so does its identity: what the source delivers again must not come back as new.
    """

    RESOURCE: ClassVar[str]  # of clinical/access.py
    PLACE: ClassVar[tuple[str, str, str]] = ("facility__state", "facility__lga_key", "facility_id")

    created_at = models.DateTimeField(db_default=TransactionNow(), editable=False)
    updated_at = models.DateTimeField(db_default=TransactionNow(), editable=False)  # kept by the trigger `touch`
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        db_index=False,
    )
    # Not a foreign key: 2 million checks of one constant value a night would buy nothing; batches are never deleted.
    batch_id = models.BigIntegerField(null=True, blank=True, editable=False)
    line = models.IntegerField(null=True, blank=True, editable=False)

    objects = ClinicalQuerySet.as_manager()

    class Meta:
        abstract = True


class Edited(models.Model):
    """A row that both its source and people write.

    `delivered` keeps, for each column that a person has set, what the source had delivered last; `overridden` keeps
    what a person had set where the source has since delivered something new. Both are filled by the trigger
    `remember`, so that no way of writing can forget it.
    """

    delivered = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), editable=False)
    overridden = models.JSONField(default=dict, db_default=Value({}, models.JSONField()), editable=False)

    class Meta:
        abstract = True


def _merged(table: str) -> models.Index:
    """What was merged into a row: asked by the foreign key for each row that goes. Nearly always empty."""
    return models.Index(fields=["merged_into"], condition=Q(merged_into__isnull=False), name=f"{table}_merged")


def _merged_into() -> models.ForeignKey[Any]:
    """Of a row that a steward found to be the same as another: the one that stands for both. Marked as deleted too."""
    return models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, editable=False, related_name="+", db_index=False
    )


def _arrived_as(to: str) -> models.ForeignKey[Any]:
    """The merged row by whose name a file spoke of its parent: what goes back to it when the merge is undone."""
    return models.ForeignKey(
        to,
        models.DO_NOTHING,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )


class Facility(Kept, Edited):
    """One health facility: (name, state, LGA)."""

    RESOURCE = "facilities"
    PLACE = ("state", "lga_key", "id")
    # Columns that a later delivery may change; the rest is identity.
    UPDATABLE = ("lat", "lon", "type", "ownership", "level", "hfr_code")

    name = models.CharField(max_length=values.LENGTHS["facility_name"])
    state = models.CharField(max_length=values.LENGTHS["state"], choices=[(s, s) for s in geography.STATES])
    lga = models.CharField("LGA", max_length=values.LENGTHS["lga"], blank=True, default="", db_default="")
    # The official name where `lga` is one of the 774 in any spelling, else `lga` itself: what LGAs are compared by.
    lga_name = models.CharField(max_length=values.LENGTHS["lga"], blank=True, default="", db_default="", editable=False)
    lat = models.DecimalField("latitude", max_digits=10, decimal_places=7, null=True, blank=True)
    lon = models.DecimalField("longitude", max_digits=10, decimal_places=7, null=True, blank=True)
    type = models.CharField(max_length=values.LENGTHS["type"], null=True, blank=True)
    ownership = models.TextField(null=True, blank=True)
    level = models.TextField(null=True, blank=True)
    hfr_code = models.CharField("HFR code", max_length=values.LENGTHS["hfr_code"], null=True, blank=True)
    merged_into = _merged_into()
    name_key = key_of("name")
    lga_key = key_of("lga_name")

    class Meta:
        db_table = "facilities"
        verbose_name_plural = "facilities"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["name_key", "state", "lga_key"], name="facilities_identity"),
            holds(Q(state__in=geography.STATES), "facilities_state_is_known"),
            holds(~Q(name=""), "facilities_name_filled"),
            holds(Q(lat__isnull=True, lon__isnull=True) | Q(lat__isnull=False, lon__isnull=False), "facilities_point"),
            holds(Q(merged_into__isnull=True) | Q(deleted_at__isnull=False), "facilities_merged_is_deleted"),
            holds(Q(lat__range=values.LATITUDES) & Q(lon__range=values.LONGITUDES), "facilities_inside_nigeria"),
        ]
        indexes = [*_indexes("facilities"), _merged("facilities")]

    def __str__(self) -> str:
        return f"{self.name}, {', '.join(filter(None, (self.lga, self.state)))}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.lga_name = values.lga(self.lga, self.state) or self.lga
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = {*kwargs["update_fields"], "lga_name"}
        super().save(*args, **kwargs)


class FacilityAlias(models.Model):
    """An identity that a facility had before a person changed it, or that of one merged into it.

    Files and the API still find the facility by it.
    """

    facility = models.ForeignKey(Facility, models.CASCADE, related_name="aliases")
    of = models.ForeignKey(
        Facility, models.CASCADE, null=True, blank=True, related_name="+", help_text="the one merged into it"
    )
    name = models.CharField(max_length=values.LENGTHS["facility_name"])
    state = models.CharField(max_length=values.LENGTHS["state"])
    lga_name = models.CharField(max_length=values.LENGTHS["lga"])
    name_key = key_of("name")
    lga_key = key_of("lga_name")

    class Meta:
        db_table = "facility_aliases"
        verbose_name_plural = "facility aliases"
        constraints = [
            models.UniqueConstraint(fields=["name_key", "state", "lga_key"], name="facility_aliases_identity")
        ]

    def __str__(self) -> str:
        return f"{self.name}, {self.state}"


class Patient(Kept, Edited, Restrictable):
    """One person as one facility knows them: (facility, first name, last name, date of birth)."""

    class Sex(models.TextChoices):
        MALE = "M"
        FEMALE = "F"
        OTHER = "Other"
        UNKNOWN = "Unknown"

    RESOURCE = "patients"
    UPDATABLE = ("sex", "phone", "patient_number")  # sex only from Unknown

    facility = models.ForeignKey(Facility, models.PROTECT, related_name="patients", db_index=False)
    first_name = models.CharField(max_length=values.LENGTHS["first_name"])
    last_name = models.CharField(max_length=values.LENGTHS["last_name"])
    sex = models.CharField(max_length=10, choices=Sex.choices, default=Sex.UNKNOWN)
    dob = models.DateField("date of birth")
    dob_is_estimated = models.BooleanField(default=False, db_default=False)
    phone = models.CharField(max_length=20, null=True, blank=True)
    patient_number = models.CharField(max_length=values.LENGTHS["patient_number"], null=True, blank=True)
    merged_into = _merged_into()
    arrived_as = _arrived_as("clinical.Facility")
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)  # ingestion/erasure.py; nothing undoes it
    first_name_key = key_of("first_name")
    last_name_key = key_of("last_name")

    class Meta:
        db_table = "patients"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "first_name_key", "last_name_key", "dob"], name="patients_identity"
            ),
            # What the events' composite foreign key points at, and a facility's list of patients.
            models.UniqueConstraint(fields=["facility", "id"], name="patients_at_facility"),
            holds(~Q(first_name="") & ~Q(last_name=""), "patients_names_filled"),
            holds(Q(merged_into__isnull=True) | Q(deleted_at__isnull=False), "patients_merged_is_deleted"),
            holds(Q(erased_at__isnull=True) | Q(deleted_at__isnull=False), "patients_erased_is_deleted"),
            holds(Q(sex__in=["M", "F", "Other", "Unknown"]), "patients_sex_is_known_code"),
            holds(Q(dob__gte="1900-01-01"), "patients_dob_from_1900"),
            holds(Q(phone__regex=r"^\+[1-9][0-9]{6,14}$"), "patients_phone_is_e164"),
        ]
        indexes = [
            *_indexes("patients"),
            _merged("patients"),
            # Whether anybody is restricted, asked by each load; nearly always nobody.
            models.Index(fields=["id"], condition=Q(restricted_at__isnull=False), name="patients_restricted"),
            # The search of the API and the admin.
            GinIndex(
                fields=["first_name_key", "last_name_key"],
                name="patients_name_parts",
                opclasses=["gin_trgm_ops", "gin_trgm_ops"],
            ),
            models.Index(fields=["phone"], condition=Q(phone__isnull=False), name="patients_phone"),
        ]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class PatientAlias(models.Model):
    """An identity that a patient had before a person changed it, or that of one merged into them.

    Files and the API still find the patient by it.
    """

    patient = models.ForeignKey(Patient, models.CASCADE, related_name="aliases")
    of = models.ForeignKey(
        Patient, models.CASCADE, null=True, blank=True, related_name="+", help_text="the one merged into them"
    )
    facility = models.ForeignKey(Facility, models.CASCADE, related_name="+", db_index=False)
    first_name = models.CharField(max_length=values.LENGTHS["first_name"])
    last_name = models.CharField(max_length=values.LENGTHS["last_name"])
    dob = models.DateField()
    first_name_key = key_of("first_name")
    last_name_key = key_of("last_name")

    class Meta:
        db_table = "patient_aliases"
        verbose_name_plural = "patient aliases"
        constraints = [
            models.UniqueConstraint(
                fields=["facility", "first_name_key", "last_name_key", "dob"], name="patient_aliases_identity"
            )
        ]

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name}"


class LagosDate(Func):
    """The Africa/Lagos calendar day of an instant; immutable in PostgreSQL, so that a column can be made of it."""

    template = "((%(expressions)s AT TIME ZONE 'Africa/Lagos')::date)"
    output_field = models.DateField()


def event_day(field: str) -> models.GeneratedField:
    return models.GeneratedField(expression=LagosDate(field), output_field=models.DateField(), db_persist=True)


def _by_time(table: str, instant: str) -> models.Index:
    """From one day to another, in lists: rows lie about in the order of their nights, so that this weighs nothing."""
    return BrinIndex(fields=[instant], name=f"{table}_by_time", autosummarize=True, pages_per_range=32)


class Event(Kept, Restrictable):
    """Something that happened to a patient at the patient's facility.

    With an id from its source it is (facility, id). Without one it is (patient, event day, fingerprint, ordinal): the
    same content again on the same day is the same event, unless one file said it twice.
    """

    # Both are held by one composite foreign key (migration 0002): the patient exists and is at this facility, which
    # exists by the patient's own key. One check per row instead of two; it is half of what an insert costs.
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="%(class)ss", db_constraint=False, db_index=False)
    facility = models.ForeignKey(
        Facility, models.PROTECT, related_name="%(class)ss", db_constraint=False, db_index=False
    )
    arrived_as = _arrived_as("clinical.Patient")
    time_is_estimated = models.BooleanField(default=False, db_default=False)
    fingerprint = models.UUIDField(editable=False)  # 128 bits over the content: ingestion/rows.py
    fingerprint_version = models.SmallIntegerField(default=1, db_default=1, editable=False)
    ordinal = models.IntegerField(default=1, db_default=1, editable=False)

    class Meta:
        abstract = True


def _event_constraints(table: str, external_id: str, instant: str) -> list[models.BaseConstraint]:
    """The two identities of an event and the ranges of what every event has."""
    return [
        # The id is in the key so that events with ids never block each other, and NULLS NOT DISTINCT so that those
        # without are unique; the same index finds an event by content whether or not it has an id.
        models.UniqueConstraint(
            fields=["patient", "event_on", "fingerprint", "ordinal", external_id],
            name=f"{table}_content_identity",
            nulls_distinct=False,
        ),
        models.UniqueConstraint(
            fields=["facility", external_id],
            condition=Q(**{f"{external_id}__isnull": False}),
            name=f"{table}_id_identity",
        ),
        holds(Q(**{f"{instant}__gte": "2000-01-01T00:00:00+01:00"}), f"{table}_from_2000"),
        holds(Q(ordinal__gte=1), f"{table}_ordinal_from_1"),
    ]


class MedicalRecord(Event):
    """One entry of a patient's record: a consultation, a laboratory result, an admission."""

    RESOURCE = "records"
    CONTENT = ("diagnosis", "treatment", "medications", "notes")

    record_type = models.CharField(max_length=values.LENGTHS["record_type"], null=True, blank=True)
    data = models.JSONField(default=dict)  # the keys of CONTENT, each a text or null
    recorded_at = models.DateTimeField()
    record_id = models.CharField("source's id", max_length=values.LENGTHS["record_id"], null=True, blank=True)
    event_on = event_day("recorded_at")

    class Meta:
        db_table = "medical_records"
        ordering = ["id"]
        constraints = [
            *_event_constraints("medical_records", "record_id", "recorded_at"),
            holds(Q(data__has_keys=["diagnosis", "treatment", "medications", "notes"]), "medical_records_data_keys"),
        ]
        indexes = [
            *_indexes("medical_records"),
            models.Index(fields=["facility", "id"], name="medical_records_of_facility"),
            _by_time("medical_records", "recorded_at"),
        ]

    def __str__(self) -> str:
        return f"Record {self.pk}"


class TriageVisit(Event):
    """One arrival judged by urgency: level 1 (most urgent) to 5."""

    RESOURCE = "visits"

    triage_level = models.SmallIntegerField()
    chief_complaint = models.TextField(null=True, blank=True)
    vital_signs = models.TextField(null=True, blank=True)
    conditions = ArrayField(models.TextField(), default=list, blank=True)
    recommendations = ArrayField(models.TextField(), default=list, blank=True)
    language = models.TextField(null=True, blank=True)
    provider = models.TextField(null=True, blank=True)
    visited_at = models.DateTimeField()
    visit_id = models.CharField("source's id", max_length=values.LENGTHS["visit_id"], null=True, blank=True)
    event_on = event_day("visited_at")

    class Meta:
        db_table = "triage_visits"
        ordering = ["id"]
        constraints = [
            *_event_constraints("triage_visits", "visit_id", "visited_at"),
            holds(Q(triage_level__range=(1, 5)), "triage_visits_level_1_to_5"),
        ]
        indexes = [
            *_indexes("triage_visits"),
            models.Index(fields=["facility", "id"], name="triage_visits_of_facility"),
            _by_time("triage_visits", "visited_at"),
        ]

    def __str__(self) -> str:
        return f"Visit {self.pk}"


class FacilityName(models.Model):
    """A view: every identity by which a facility that is not deleted can be named, present and past."""

    facility = models.OneToOneField(Facility, models.DO_NOTHING, related_name="+", primary_key=True)
    name_key = models.TextField()
    state = models.TextField()
    lga_key = models.TextField()
    of = models.ForeignKey(Facility, models.DO_NOTHING, null=True, related_name="+")  # whose it was before a merge

    class Meta:
        managed = False
        db_table = "facility_names"

    def __str__(self) -> str:
        return self.name_key


class PatientName(models.Model):
    """A view: every identity by which a patient that is not deleted can be named, present and past."""

    patient = models.OneToOneField(Patient, models.DO_NOTHING, related_name="+", primary_key=True)
    facility = models.ForeignKey(Facility, models.DO_NOTHING, related_name="+")
    home = models.ForeignKey(Facility, models.DO_NOTHING, related_name="+")  # where a patient who has moved is now
    first_name_key = models.TextField()
    last_name_key = models.TextField()
    dob = models.DateField()
    phone = models.TextField(null=True)
    of = models.ForeignKey(Patient, models.DO_NOTHING, null=True, related_name="+")  # whose it was before a merge

    class Meta:
        managed = False
        db_table = "patient_names"

    def __str__(self) -> str:
        return f"{self.first_name_key} {self.last_name_key}"

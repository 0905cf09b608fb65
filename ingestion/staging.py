"""The tables between a file and the clinical tables: temporary, one set per batch, gone with its transaction.

Described by models, so that names are resolved by querysets over them. Their app label is of no installed app: they
have no migrations and nothing but a load ever sees them.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import DatabaseError, connection, models
from django.db.models import Func

from clinical.models import (
    Facility,
    FacilityAlias,
    MedicalRecord,
    Patient,
    PatientAlias,
    PatientName,
    TriageVisit,
    key_of,
)
from ingestion.datasets import Dataset
from ingestion.models import RejectedRow


class Match(models.ForeignObject):
    """A join on columns that are equal. No key of the database: it may meet no row, one or several."""

    requires_unique_target = False


def match(to: Any, **on: str) -> Match:
    """Joins `to` where each column named left equals the column of `to` named right."""
    return Match(to, models.DO_NOTHING, from_fields=[*on], to_fields=[*on.values()], null=True, related_name="+")


class Temporary(models.Model):
    """A table that only a load sees."""

    objects: ClassVar[models.Manager[Any]] = models.Manager()

    class Meta:
        abstract = True


class Place(Temporary):
    """The facility cells of one or many rows, and the facility that they mean: one, none or several candidates."""

    facility_key = models.TextField(primary_key=True)  # together with the next two; the table itself has no key
    facility_state = models.TextField()
    lga_key = models.TextField()
    facility_id = models.BigIntegerField(null=True)
    arrived_as_id = models.BigIntegerField(null=True)  # the facility whose name it is, merged into that one
    rule_id = models.BigIntegerField(null=True)  # by which a steward has said so
    candidates = models.IntegerField(default=0, db_default=0)

    class Meta:
        app_label = "staging"
        db_table = "staged_places"


class Belonging(Temporary):
    """The patients (and their facility) that an event's cells name: one per row, or the row is refused."""

    line = models.IntegerField(primary_key=True)
    facility_id = models.BigIntegerField()
    patient_id = models.BigIntegerField(null=True)  # null: several, and nothing chooses among them
    arrived_as_id = models.BigIntegerField(null=True)  # the patient whose name it is, merged into that one
    patient = match(Patient, patient_id="id")

    class Meta:
        app_label = "staging"
        db_table = "staged_belongings"


class Stopped(Temporary):
    """A row that goes no further: refused for a reason, or (null) collapsed into a later line of its file."""

    line = models.IntegerField(primary_key=True)  # several reasons, several rows
    reason = models.TextField(null=True)

    class Meta:
        app_label = "staging"
        db_table = "staged_stopped"


class Protection(Temporary):
    """The columns (bits) of a row that a newer delivery has filled; an older one leaves them alone."""

    row_id = models.BigIntegerField(primary_key=True)
    columns = models.IntegerField()

    class Meta:
        app_label = "staging"
        db_table = "staged_protections"


class Known(Temporary):
    """The row of the dataset's table that a staged row meets."""

    line = models.IntegerField(primary_key=True)
    row_id = models.BigIntegerField()
    facility = match(Facility, row_id="id")
    patient = match(Patient, row_id="id")
    medical_record = match(MedicalRecord, row_id="id")
    triage_visit = match(TriageVisit, row_id="id")
    protection = match(Protection, row_id="row_id")

    class Meta:
        app_label = "staging"
        db_table = "staged_known"


class Repeated(Temporary):
    """The ordinal of an event that its file holds more than once, from the second on."""

    line = models.IntegerField(primary_key=True)
    ordinal = models.IntegerField()

    class Meta:
        app_label = "staging"
        db_table = "staged_repeated"


class IndexKey(Temporary):
    """The key of the hashes by which refused rows are compared, for as long as this load needs it."""

    line = models.IntegerField(primary_key=True)  # one row
    key = models.BinaryField()

    class Meta:
        app_label = "staging"
        db_table = "staged_index_key"


class Keyed(Func):
    """The hash of clinical/keyed.py, made by the database; null of an empty text."""

    template = (
        "encode(substr(sha256((SELECT key FROM staged_index_key) || convert_to(nullif(%(expressions)s, ''), 'UTF8')),"
        " 1, 16), 'hex')::uuid"
    )
    output_field = models.UUIDField()
    arity = 1


class RawRow(Temporary):
    """The cells of a refused row as they are kept: sealed, and what they are compared by."""

    line = models.IntegerField(primary_key=True)
    raw_sealed = models.BinaryField()
    raw_hash = models.UUIDField()
    named_state = models.TextField(null=True)
    cell_keys = models.JSONField()

    class Meta:
        app_label = "staging"
        db_table = "staged_raw_rows"


class Reasons(Temporary):
    """All reasons against a row."""

    line = models.IntegerField(primary_key=True)
    reasons = ArrayField(models.TextField())

    class Meta:
        app_label = "staging"
        db_table = "staged_reasons"


class Refusal(Temporary):
    """A refused row as it will be kept, and the one that it is, if it was refused before."""

    line = models.IntegerField(primary_key=True)
    reasons = ArrayField(models.TextField())
    raw_sealed = models.BinaryField()
    raw_hash = models.UUIDField()
    named_state = models.TextField(null=True)
    cell_keys = models.JSONField()
    event_on = models.DateField(null=True)
    ordinal = models.IntegerField()
    facility_id = models.BigIntegerField(null=True)
    facility_key = models.UUIDField(null=True)
    first_name_key = models.UUIDField(null=True)
    last_name_key = models.UUIDField(null=True)

    seen = match(RejectedRow, raw_hash="raw_hash", ordinal="ordinal")

    class Meta:
        app_label = "staging"
        db_table = "staged_refusals"


class Staged(Temporary):
    """One row of the file, cleaned. Cells that a reason speaks of are null."""

    line = models.IntegerField(primary_key=True)
    reasons = ArrayField(models.TextField(), null=True)
    rules = ArrayField(models.BigIntegerField(), null=True)  # by which stewards have said what its cells mean

    known = match(Known, line="line")
    repeated = match(Repeated, line="line")
    raw_row = match(RawRow, line="line")
    why = match(Reasons, line="line")

    class Meta:
        abstract = True


class StagedChild(Staged):
    """A row that names its facility. What is not given is empty, so that equality finds it."""

    facility_name = models.TextField(default="")
    facility_state = models.TextField(default="", db_default="")
    facility_lga = models.TextField(default="", db_default="")
    given_facility_id = models.BigIntegerField(null=True)
    facility_key = key_of("facility_name")
    lga_key = key_of("facility_lga")
    place = match(Place, facility_key="facility_key", facility_state="facility_state", lga_key="lga_key")

    class Meta:
        abstract = True


class StagedFacility(Staged):
    name = models.TextField(default="")
    state = models.TextField(null=True)
    lga = models.TextField(default="")
    lga_name = models.TextField(default="")
    lat = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    lon = models.DecimalField(max_digits=10, decimal_places=7, null=True)
    type = models.TextField(null=True)
    ownership = models.TextField(null=True)
    level = models.TextField(null=True)
    hfr_code = models.TextField(null=True)
    name_key = key_of("name")
    lga_key = key_of("lga_name")

    namesake = match(Facility, name_key="name_key", state="state")
    former_namesake = match(FacilityAlias, name_key="name_key", state="state")
    identity = match(Facility, name_key="name_key", state="state", lga_key="lga_key")
    alias = match(FacilityAlias, name_key="name_key", state="state", lga_key="lga_key")

    class Meta:
        app_label = "staging"
        db_table = "staged_facilities"


class StagedPatient(StagedChild):
    first_name = models.TextField(default="")
    last_name = models.TextField(default="")
    sex = models.TextField(null=True)
    dob = models.DateField(null=True)
    dob_is_estimated = models.BooleanField(default=False)
    phone = models.TextField(null=True)
    patient_number = models.TextField(null=True)
    first_name_key = key_of("first_name")
    last_name_key = key_of("last_name")

    identity = match(Patient, first_name_key="first_name_key", last_name_key="last_name_key", dob="dob")
    alias = match(PatientAlias, first_name_key="first_name_key", last_name_key="last_name_key", dob="dob")

    class Meta:
        app_label = "staging"
        db_table = "staged_patients"


class StagedEvent(StagedChild):
    given_patient_id = models.BigIntegerField(null=True)
    patient_first_name = models.TextField(default="")
    patient_last_name = models.TextField(default="")
    patient_dob = models.DateField(null=True)
    patient_phone = models.TextField(null=True)
    fingerprint = models.UUIDField()
    first_name_key = key_of("patient_first_name")
    last_name_key = key_of("patient_last_name")

    named = match(PatientName, first_name_key="first_name_key", last_name_key="last_name_key")
    given_patient = match(Patient, given_patient_id="id")
    belonging = match(Belonging, line="line")

    class Meta:
        abstract = True


class StagedMedicalRecord(StagedEvent):
    record_id = models.TextField(null=True)
    recorded_at = models.DateTimeField(null=True)
    record_type = models.TextField(null=True)
    diagnosis = models.TextField(null=True)
    treatment = models.TextField(null=True)
    medications = models.TextField(null=True)
    notes = models.TextField(null=True)

    same_content = match(MedicalRecord, fingerprint="fingerprint")
    same_id = match(MedicalRecord, record_id="record_id")

    class Meta:
        app_label = "staging"
        db_table = "staged_medical_records"


class StagedTriageVisit(StagedEvent):
    visit_id = models.TextField(null=True)
    visited_at = models.DateTimeField(null=True)
    triage_level = models.SmallIntegerField(null=True)
    chief_complaint = models.TextField(null=True)
    vital_signs = models.TextField(null=True)
    conditions = ArrayField(models.TextField(), default=list)
    recommendations = ArrayField(models.TextField(), default=list)
    language = models.TextField(null=True)
    provider = models.TextField(null=True)

    same_content = match(TriageVisit, fingerprint="fingerprint")
    same_id = match(TriageVisit, visit_id="visit_id")

    class Meta:
        app_label = "staging"
        db_table = "staged_triage_visits"


STAGES: dict[Dataset, type[Any]] = {
    Dataset.FACILITIES: StagedFacility,
    Dataset.PATIENTS: StagedPatient,
    Dataset.MEDICAL_RECORDS: StagedMedicalRecord,
    Dataset.TRIAGE_VISITS: StagedTriageVisit,
}
_AROUND: tuple[type[Temporary], ...] = (
    Place,
    Belonging,
    Stopped,
    Protection,
    Known,
    Repeated,
    IndexKey,
    RawRow,
    Reasons,
    Refusal,
)


def create(dataset: Dataset) -> type[Any]:
    """Makes the tables of one load anew and returns the model of its rows. Needs a transaction around it."""
    stage = STAGES[dataset]
    drop()
    with connection.schema_editor(atomic=False) as editor, connection.cursor() as cursor:
        for model in (stage, *_AROUND):
            sql, params = editor.table_sql(model)
            sql = sql.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)
            if model is not Known:  # the others have no key: it would be built row by row under the COPY
                sql = sql.replace(" PRIMARY KEY", "")
            cursor.execute(sql + " ON COMMIT DROP", params)
        # Known and Stopped are asked for each row of the file while they fill, when nobody can tell the planner yet.
        cursor.execute(f"CREATE INDEX ON {connection.ops.quote_name(Stopped._meta.db_table)} (line)")
    return stage


def drop() -> None:
    with connection.cursor() as cursor:
        tables = ", ".join(connection.ops.quote_name(m._meta.db_table) for m in (*STAGES.values(), *_AROUND))
        cursor.execute(f"DROP TABLE IF EXISTS {tables}")


def copy(model: type[models.Model], columns: Sequence[str], blocks: Iterator[bytes]) -> None:
    """Fills the table from blocks of tab-separated CSV. An empty cell is null, or empty where a text is never null."""
    quote = connection.ops.quote_name
    filled = [c for c in columns if not (f := model._meta.get_field(c)).null and f.get_internal_type() == "TextField"]
    options = r"FORMAT csv, DELIMITER E'\t'" + (f", FORCE_NOT_NULL ({', '.join(map(quote, filled))})" if filled else "")
    names = ", ".join(map(quote, columns))
    reading = _Reading(blocks)
    with connection.cursor() as cursor:
        try:
            with connection.wrap_database_errors:
                cursor.copy_expert(f"COPY {quote(model._meta.db_table)} ({names}) FROM STDIN WITH ({options})", reading)
        except DatabaseError:
            if reading.error:  # what the driver has made of it names neither the file's fault nor its line
                raise reading.error from None
            raise
    analyze(model)


def analyze(model: type[models.Model]) -> None:
    """So that the planner knows what was just written, in the columns that are joined; nobody asks about the others."""
    quote = connection.ops.quote_name
    joined = {column for field in model._meta.get_fields() if isinstance(field, Match) for column in field.from_fields}
    columns = ", ".join(quote(column) for column in sorted(joined | {"line"})) if joined else ""
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {quote(model._meta.db_table)} {columns and f'({columns})'}")


def analyze_grown(model: type[models.Model], grown_by: int) -> None:
    """The same for a clinical table that has grown by a tenth or more, before it is joined again.

    Its lock lasts as long as the transaction: where another load has it, that one's numbers will do.
    """
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE oid = %s::regclass", [table])
        if grown_by > 1000 and grown_by > 0.1 * cursor.fetchone()[0]:
            cursor.execute(f"ANALYZE (SKIP_LOCKED) {connection.ops.quote_name(table)}")


class _Reading:
    """Blocks as the file that psycopg2 reads from; PostgreSQL works on one block while Python makes the next."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self.error: Exception | None = None

    def read(self, _size: int) -> bytes:
        try:
            return next(self._blocks, b"")
        except Exception as error:
            self.error = error
            raise

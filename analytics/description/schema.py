"""What the tools are told of each column of schema bi: its meaning, its kind, its key, and how it may be added up."""

from dataclasses import dataclass, field
from enum import StrEnum

from django.db import connection

from analytics import dictionary, metrics

SCHEMA = "bi"
# Views have no unique index that says it.
KEYS = {
    "stg_facilities": ("facility_id",),
    "stg_patients": ("patient_id",),
    "stg_medical_records": ("record_id",),
    "stg_triage_visits": ("triage_id",),
    "fct_medical_records": ("record_id",),
    "fct_triage_visits": ("triage_id",),
}
INDEXED = """
SELECT c.relname, a.attname
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
WHERE n.nspname = 'marts' AND i.indisunique
ORDER BY c.relname, array_position(i.indkey::smallint[], a.attnum)
"""
REFERENCES = {"facility_id": "dim_facilities", "patient_id": "dim_patients"}


class Kind(StrEnum):
    """What a column is good for in a tool."""

    KEY = "key"
    REFERENCE = "reference"
    TIME = "time"
    STATE = "state"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    NAME = "name"
    CATEGORY = "category"
    FLAG = "flag"
    SHARE = "share"
    NUMBER = "number"
    LIST = "list"


@dataclass(frozen=True)
class Column:
    """`aggregated` as in the metric catalogue; empty where the column is no metric."""

    name: str
    label: str
    type: str
    kind: Kind
    meaning: str
    refers_to: str = ""
    aggregated: str = ""
    caveat: str = ""


@dataclass(frozen=True)
class Relation:
    name: str
    meaning: str
    key: tuple[str, ...]
    columns: tuple[Column, ...] = field(default_factory=tuple)

    @property
    def time(self) -> str:
        """The column by which it is looked at over time."""
        return next((column.name for column in self.columns if column.kind is Kind.TIME), "")


def read() -> list[Relation]:
    known = {(relation, column): metric for relation, column, metric in metrics.columns()}
    keys = _keys()
    found = []
    for entry in dictionary.read():
        if entry.schema == SCHEMA:
            key = tuple(name for name in keys.get(entry.name, ()) if name in {one.name for one in entry.columns})
            columns = tuple(_column(entry.name, one, key, known.get((entry.name, one.name))) for one in entry.columns)
            found.append(Relation(entry.name, entry.comment, key, columns))
    return found


def _keys() -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {**KEYS}
    with connection.cursor() as cursor:
        cursor.execute(INDEXED)
        for relation, column in cursor.fetchall():
            keys[relation] = (*keys.get(relation, ()), column)
    return keys


def _column(relation: str, column: dictionary.Column, key: tuple[str, ...], metric: metrics.Metric | None) -> Column:
    refers_to = REFERENCES.get(column.name, "")
    if refers_to == relation or (column.name,) == key:
        refers_to = ""
    return Column(
        column.name,
        metric.label if metric else column.name.replace("_", " ").capitalize(),
        column.type,
        _kind(column, key, refers_to),
        column.comment,
        refers_to,
        metric.aggregated if metric else "",
        metric.caveat if metric else "",
    )


BY_NAME = {"latitude": Kind.LATITUDE, "longitude": Kind.LONGITUDE, "state": Kind.STATE, "facility_state": Kind.STATE}
BY_TYPE = {"date": Kind.TIME, "timestamp with time zone": Kind.TIME, "boolean": Kind.FLAG}


def _kind(column: dictionary.Column, key: tuple[str, ...], refers_to: str) -> Kind:
    if (column.name,) == key:
        return Kind.KEY
    if refers_to:
        return Kind.REFERENCE
    if column.name in BY_NAME:
        return BY_NAME[column.name]
    if column.type in BY_TYPE:
        return BY_TYPE[column.type]
    if column.type.endswith("[]"):
        return Kind.LIST
    if column.name == "facility_name":
        return Kind.NAME
    if column.type.startswith(("text", "character")):
        return Kind.CATEGORY
    return Kind.SHARE if column.name.endswith("_pct") else Kind.NUMBER

"""The relations of schemas staging and marts, in dependency order: what each is, what it is made of, what it reads.

Not read by the migrations, which keep the list of their own day; a test compares this one with PostgreSQL's catalog.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """A view is always current; a materialized view is as old as its last refresh."""

    VIEW = "view"
    MATERIALIZED = "materialized view"


@dataclass(frozen=True)
class Relation:
    """`depends_on`: relations of this list that it selects from. `reads`: the base tables below it, at any depth."""

    schema: str
    name: str
    kind: Kind
    depends_on: tuple[str, ...]
    reads: frozenset[str]

    @property
    def table(self) -> str:
        return f"{self.schema}.{self.name}"


def _staging(name: str, *depends_on: str, reads: str) -> Relation:
    return Relation("staging", name, Kind.VIEW, depends_on, frozenset({reads}))


def _fact(name: str, *depends_on: str, reads: str) -> Relation:
    return Relation("marts", name, Kind.VIEW, depends_on, frozenset({reads, "patients", "facilities"}))


def _mart(name: str, *depends_on: str, reads: frozenset[str]) -> Relation:
    return Relation("marts", name, Kind.MATERIALIZED, depends_on, reads)


_STAGED = ("stg_facilities", "stg_patients", "stg_medical_records", "stg_triage_visits")
_ALL = frozenset({"facilities", "patients", "medical_records", "triage_visits"})

RELATIONS: tuple[Relation, ...] = (
    _staging("stg_facilities", reads="facilities"),
    _staging("stg_patients", reads="patients"),
    _staging("stg_medical_records", reads="medical_records"),
    _staging("stg_triage_visits", reads="triage_visits"),
    _staging("stg_condition_spellings", "stg_triage_visits", reads="triage_visits"),
    _fact("fct_medical_records", "stg_medical_records", reads="medical_records"),
    _fact("fct_triage_visits", "stg_triage_visits", reads="triage_visits"),
    _mart("dim_facilities", *_STAGED, reads=_ALL),
    _mart("dim_patients", "stg_patients", "stg_medical_records", "stg_triage_visits", reads=_ALL),
    _mart(
        "patient_summary",
        *("stg_medical_records", "stg_triage_visits", "stg_condition_spellings", "dim_patients"),
        reads=_ALL,
    ),
    _mart("facility_performance", "stg_medical_records", "stg_triage_visits", "dim_facilities", reads=_ALL),
    _mart("patient_groups", *_STAGED, reads=_ALL),
    _mart("triage_trends", "stg_triage_visits", reads=frozenset({"facilities", "triage_visits"})),
    _mart(
        "condition_analysis",
        *("stg_triage_visits", "stg_condition_spellings"),
        reads=frozenset({"facilities", "patients", "triage_visits"}),
    ),
    _mart(
        "condition_codes",
        "condition_analysis",
        reads=frozenset({"facilities", "patients", "triage_visits", "term_texts"}),
    ),
)
MARTS: tuple[Relation, ...] = tuple(relation for relation in RELATIONS if relation.kind == Kind.MATERIALIZED)

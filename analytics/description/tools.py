"""The description in the words of Metabase, Superset and dbt."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

import yaml

from analytics.description.schema import SCHEMA, Column, Kind, Relation

DATABASE = "Medilink"
ASKED_FOR = "XXXXXXXXXX"  # in place of a password: Superset asks for it when this is taken in
NAMESPACE = uuid.UUID("5a9c1f5e-6f0e-4c53-8d0b-5d7e1b6a1c11")  # so that a second import updates the first
Document = dict[str, Any]

# --- Metabase: as its field settings call it

SEMANTIC = {
    Kind.KEY: "type/PK",
    Kind.REFERENCE: "type/FK",
    Kind.STATE: "type/State",
    Kind.LATITUDE: "type/Latitude",
    Kind.LONGITUDE: "type/Longitude",
    Kind.NAME: "type/Name",
    Kind.CATEGORY: "type/Category",
    Kind.SHARE: "type/Percentage",
    Kind.TIME: "type/CreationTimestamp",
}
DEFAULT_AGGREGATION = {"sum": "sum", "mean": "none", "ratio": "none", "rank": "none", "none": "none"}


def metabase(relations: list[Relation]) -> bytes:
    tables = [
        {
            "schema": SCHEMA,
            "name": relation.name,
            "description": relation.meaning,
            "primary_key": [*relation.key],
            "fields": [_metabase_field(column) for column in relation.columns],
        }
        for relation in relations
    ]
    return (json.dumps({"database": DATABASE, "tables": tables}, ensure_ascii=False, indent=1) + "\n").encode()


def _metabase_field(column: Column) -> Document:
    target = {"fk_target": f"{SCHEMA}.{column.refers_to}.{column.name}"} if column.refers_to else {}
    return {
        "name": column.name,
        "display_name": column.label,
        "database_type": column.type,
        "description": _meaning(column),
        "semantic_type": SEMANTIC.get(column.kind),
        "default_aggregation": DEFAULT_AGGREGATION.get(column.aggregated, "none"),
        **target,
    }


def _meaning(column: Column) -> str:
    return ". ".join(part.rstrip(".") for part in (column.meaning, column.caveat) if part)


# --- Superset: a ZIP as its import of datasets takes it


def superset(relations: list[Relation]) -> bytes:
    files = {
        "metadata.yaml": {"version": "1.0.0", "type": "SqlaTable", "timestamp": "2026-11-26T00:00:00+00:00"},
        f"databases/{DATABASE}.yaml": {
            "database_name": DATABASE,
            "sqlalchemy_uri": f"postgresql+psycopg2://medilink_bi:{ASKED_FOR}@db.example.org:5432/medilink",
            "uuid": _uuid("database"),
            "version": "1.0.0",
        },
    }
    files |= {f"datasets/{DATABASE}/{relation.name}.yaml": _superset_dataset(relation) for relation in relations}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, document in files.items():
            archive.writestr(zipfile.ZipInfo(f"medilink/{name}"), _yaml(document))
    return out.getvalue()


def _superset_dataset(relation: Relation) -> Document:
    return {
        "table_name": relation.name,
        "schema": SCHEMA,
        "description": relation.meaning,
        "main_dttm_col": relation.time or None,
        "uuid": _uuid(relation.name),
        "database_uuid": _uuid("database"),
        "version": "1.0.0",
        "columns": [
            {
                "column_name": column.name,
                "verbose_name": column.label,
                "description": _meaning(column),
                "type": column.type.upper(),
                "is_dttm": column.kind is Kind.TIME,
                "groupby": column.kind not in (Kind.NUMBER, Kind.SHARE, Kind.LIST),
                "filterable": True,
            }
            for column in relation.columns
        ],
        "metrics": [_count(relation), *(_sum(column) for column in relation.columns if column.aggregated == "sum")],
    }


def _count(relation: Relation) -> Document:
    return {"metric_name": "count", "verbose_name": "Rows", "expression": "COUNT(*)", "description": relation.meaning}


def _sum(column: Column) -> Document:
    """Means, shares and ranks get none: added up or averaged they say something that is not so."""
    return {
        "metric_name": f"sum__{column.name}",
        "verbose_name": column.label,
        "expression": f'SUM("{column.name}")',
        "description": _meaning(column),
    }


def _uuid(name: str) -> str:
    return str(uuid.uuid5(NAMESPACE, name))


# --- dbt: sources.yml


def dbt(relations: list[Relation]) -> bytes:
    source = {
        "name": DATABASE.lower(),
        "schema": SCHEMA,
        "description": "Medilink as analysts may see it: nobody's name, no small numbers.",
        "tables": [
            {
                "name": relation.name,
                "description": relation.meaning,
                "meta": {"grain": [*relation.key]},
                "columns": [_dbt_column(relation, column) for column in relation.columns],
            }
            for relation in relations
        ],
    }
    return _yaml({"version": 2, "sources": [source]})


def _dbt_column(relation: Relation, column: Column) -> Document:
    tests: list[Any] = ["not_null"] if column.name in relation.key else []
    if relation.key == (column.name,):
        tests.append("unique")
    if column.refers_to:
        target = f"source('{DATABASE.lower()}', '{column.refers_to}')"
        tests.append({"relationships": {"arguments": {"to": target, "field": column.name}}})
    meta = {"kind": column.kind.value} | ({"aggregated": column.aggregated} if column.aggregated else {})
    found: Document = {"name": column.name, "description": _meaning(column), "data_type": column.type, "meta": meta}
    return found | ({"data_tests": tests} if tests else {})


def _yaml(document: Document) -> bytes:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120).encode()


FORMATS: dict[str, Callable[[list[Relation]], bytes]] = {"metabase": metabase, "superset": superset, "dbt": dbt}

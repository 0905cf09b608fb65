"""The contract as documents: a Table Schema per dataset, the data package, the errors; with a version and a hash."""

import csv
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from ingestion.contract import advice, columns
from ingestion.contract.examples import EXAMPLES, WITHOUT, sample
from ingestion.datasets import Dataset
from ingestion.refusals import CODES, Code, Level

# One line for each version that was published, the current one last; a test holds its hash to what is published.
VERSIONS = Path(__file__).with_name("versions.csv")
TITLES = {
    Dataset.FACILITIES: "Health facilities",
    Dataset.PATIENTS: "Patients",
    Dataset.MEDICAL_RECORDS: "Medical records",
    Dataset.TRIAGE_VISITS: "Triage visits",
}
DIALECT = {"delimiter": ",", "quoteChar": '"', "doubleQuote": True, "header": True, "caseSensitiveHeader": False}
SEVERITY = {
    Level.FILE: "The file is refused",
    Level.HOLD: "The file is held until a steward decides",
    Level.WAIT: "The file waits, and goes on by itself",
    Level.BATCH: "The file is not loaded",
    Level.ROW: "The row is refused, the others load",
    Level.WARNING: "It loads, with a warning",
}
Document = dict[str, Any]


def schema(dataset: Dataset) -> Document:
    found: Document = {
        "$schema": "https://datapackage.org/profiles/1.0/tableschema.json",
        "fields": columns.fields(dataset),
        "missingValues": [""],
        **columns.KEYS[dataset],
    }
    references = columns.references(dataset)
    return found | ({"foreignKeys": references} if references else {})


def datapackage() -> Document:
    number, digest = version()
    return {
        "profile": "tabular-data-package",
        "name": "medilink-delivery",
        "title": "What Medilink is delivered",
        "version": number,
        "medilink:sha256": digest,
        "resources": [_resource(dataset) for dataset in Dataset],
    }


def _resource(dataset: Dataset) -> Document:
    return {
        "profile": "tabular-data-resource",
        "name": dataset.value,
        "title": TITLES[dataset],
        "path": f"{dataset.value}.csv",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "dialect": DIALECT,
        "schema": schema(dataset),
    }


def errors() -> list[Document]:
    """In the order of the catalogue: files first, as they are judged, then rows, then warnings."""
    return [_error(name, code) for name, code in CODES.items()]


def _error(name: str, code: Code) -> Document:
    found: Document = {
        "code": name,
        "level": code.level.value,
        "severity": SEVERITY[code.level],
        "meaning": code.meaning,
        "action": code.action,
    }
    if name not in EXAMPLES:
        return found | {"note": WITHOUT[name]}
    example = EXAMPLES[name]
    return found | {
        "reason": example.reason,
        "changed": [{"column": name, "before": was, "after": now} for name, was, now in example.changed],
        "before": [{"name": file.name, "text": file.text} for file in example.before],
        "after": [{"name": file.name, "text": file.text} for file in example.after],
    }


def improvements() -> list[Document]:
    return [{"columns": [*one.columns], "without": one.without, "with": one.with_it} for one in advice.ADVICE]


@cache
def digest() -> str:
    """Of all that is published; the version's own number apart."""
    said = {
        "schemas": {dataset.value: schema(dataset) for dataset in Dataset},
        "samples": {dataset.value: sample(dataset) for dataset in Dataset},
        "errors": errors(),
        "improvements": improvements(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@cache
def versions() -> list[dict[str, str]]:
    with VERSIONS.open(newline="") as file:
        return [*csv.DictReader(file)]


def version() -> tuple[str, str]:
    return versions()[-1]["version"], digest()


def documents() -> dict[str, str]:
    """All that is published, by file name."""
    found: dict[str, Any] = {"datapackage.json": datapackage(), "errors.json": errors()}
    found |= {"improvements.json": improvements()}
    found |= {f"{dataset.value}.json": schema(dataset) for dataset in Dataset}
    texts = {name: json.dumps(one, ensure_ascii=False, indent=2) + "\n" for name, one in found.items()}
    return texts | {f"{dataset.value}.csv": sample(dataset) for dataset in Dataset}

"""Asking for an export, carrying it out and reading it, as a program does."""

import json
from dataclasses import dataclass, field
from typing import Any

from clinical.fhir.bulk import jobs

ASYNC = {"prefer": "respond-async", "accept": "application/fhir+json"}


@dataclass
class Got:
    """What a manifest has led to."""

    manifest: dict[str, Any]
    resources: list[dict[str, Any]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)

    @property
    def at(self) -> str:
        return self.manifest["transactionTime"]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.resources if one["resourceType"] == kind]

    def versions(self) -> set[tuple[str, str]]:
        return {(f"{one['resourceType']}/{one['id']}", one["meta"]["lastUpdated"]) for one in self.resources}


def ask(caller, path="/fhir/$export", query=None):
    """The number of the export."""
    answer = caller.get(path, query, **ASYNC)
    assert answer.status_code == 202, answer.content
    return int(answer["Content-Location"].rpartition("/")[2])


def export(caller, path="/fhir/$export", query=None) -> Got:
    number = ask(caller, path, query)
    jobs.carry_out(number)
    return fetch(caller, number)


def fetch(caller, number) -> Got:
    answer = caller.get(f"/fhir/exports/{number}")
    assert answer.status_code == 200, answer.content
    got = Got(answer.json())
    for one in got.manifest["output"]:
        lines = lines_of(caller, one["url"])
        assert len(lines) == one["count"]
        assert {line["resourceType"] for line in lines} == {one["type"]}
        got.resources += lines
    for one in got.manifest["deleted"]:
        for bundle in lines_of(caller, one["url"]):
            got.deleted += [entry["request"]["url"] for entry in bundle["entry"]]
    return got


def lines_of(caller, url):
    answer = caller.get(url.removeprefix("http://testserver"))
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/fhir+ndjson"
    return [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]

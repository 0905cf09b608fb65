"""Bundles: the pages of a search."""

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from clinical.fhir import refusals
from clinical.fhir.codes import Resource
from clinical.fhir.search import Told

Links = Iterable[tuple[str, str]]
CUT = "More resources refer to these than are told with one page; search for them by themselves."


def url(base: str, path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{base}/{path}" + (f"?{urlencode(pairs)}" if pairs else "")


def searchset(
    base: str,
    links: Links,
    page: Sequence[Told],
    included: Sequence[Told] = (),
    total: int | None = None,
    *,
    is_cut: bool = False,
) -> Resource:
    bundle: dict[str, Any] = {"resourceType": "Bundle", "id": str(uuid4()), "type": "searchset"}
    if total is not None:
        bundle["total"] = total
    bundle["link"] = [{"relation": relation, "url": address} for relation, address in links]
    entries = [_entry(base, one.resource, "match") for one in page]
    there = {(one.resource["resourceType"], one.resource["id"]) for one in page}
    for one in included:
        key = (one.resource["resourceType"], one.resource["id"])
        if key not in there:
            there.add(key)
            entries.append(_entry(base, one.resource, "include"))
    if is_cut:
        warning = refusals.outcome(refusals.issue(200, "incomplete", CUT, severity="warning") | {"code": "incomplete"})
        entries.append({"resource": warning, "search": {"mode": "outcome"}})
    return bundle | ({"entry": entries} if entries else {})


def _entry(base: str, resource: Resource, mode: str) -> Resource:
    address = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": address, "resource": resource, "search": {"mode": mode}}

"""From the bytes of a request to the entries of a transaction Bundle. Pure: what they say is for others."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

from ingestion.fhir.elements import Element
from ingestion.fhir.issues import BundleRefused, Issue

MOST_BYTES = 4 * 1024 * 1024
MOST_ENTRIES = 1000
DEEPEST = 30  # R4's own resources that we take need nine
TYPES = ("Patient", "Encounter", "Condition", "Observation", "MedicationStatement")
URN = re.compile(r"urn:(?:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|oid:[0-2](?:\.[0-9]+)+)")
META = ("versionId", "lastUpdated", "profile")  # of the sender's copy
LONGEST_NUMBER = 20


@dataclass
class Entry:
    """`number` counts from zero, as FHIRPath does."""

    number: int
    kind: str
    whole: Element
    resource: Element
    full_url: str
    if_none_exist: str

    @property
    def at(self) -> str:
        return f"Bundle.entry[{self.number}]"


def read(body: bytes) -> dict[str, Any]:
    """The JSON object. Strict: no name twice, no NaN, no BOM, nothing deeper than R4 is."""
    try:
        found = json.loads(
            body.decode(),
            object_pairs_hook=_object,
            parse_float=_number,
            parse_int=_whole,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise _unreadable("The body is not UTF-8.") from None
    except (RecursionError, ValueError):
        raise _unreadable("The body is no valid JSON.") from None
    if not isinstance(found, dict) or _is_deep(found):
        raise _unreadable("The body is no JSON object, or is nested too deeply.")
    return found


def entries(bundle: dict[str, Any], found: list[Issue]) -> list[Entry]:
    """Raises BundleRefused where it is not a transaction at all."""
    if bundle.get("resourceType") != "Bundle":
        raise BundleRefused([Issue("STRUCTURE", says="A Bundle is expected here.")])
    if bundle.get("type") != "transaction":
        raise BundleRefused([Issue("NOT_SUPPORTED", "Bundle.type", "Only bundles of type transaction are taken.")])
    given = bundle.get("entry")
    if not isinstance(given, list) or not given:
        raise BundleRefused([Issue("STRUCTURE", "Bundle.entry", "A transaction has entries.")])
    if len(given) > MOST_ENTRIES:
        raise BundleRefused([Issue("NOT_SUPPORTED", "Bundle.entry", f"At most {MOST_ENTRIES} entries.")], 413)
    whole = Element({name: value for name, value in bundle.items() if name != "entry"}, "Bundle", found)
    whole.leave("resourceType", "type", "id", "timestamp", "identifier")  # of the envelope, which is kept as it is
    _leave_meta(whole)
    whole.close()
    taken = [one for number, value in enumerate(given) if (one := _entry(number, value, found))]
    _refuse_twice(taken, found)
    return taken


def _entry(number: int, value: Any, found: list[Issue]) -> Entry | None:
    at = f"Bundle.entry[{number}]"
    entry = Element(value, at, found)
    full_url, asked, resource = entry.text("fullUrl"), entry.one("request"), entry.one("resource")
    entry.leave("id")
    if full_url and not URN.fullmatch(full_url):
        entry.refuse("NOT_SUPPORTED", "fullUrl", "New resources are named by urn:uuid: or urn:oid: alone.")
    if asked is None:
        entry.refuse("REQUIRED_MISSING", "request")
        return None
    method, url, if_none_exist = asked.text("method"), asked.text("url"), asked.text("ifNoneExist")
    asked.leave("id")
    if method != "POST":
        asked.refuse("NOT_SUPPORTED", "method", "Only POST is taken in a transaction.")
        return None
    if resource is None:
        entry.refuse("REQUIRED_MISSING", "resource")
        return None
    kind = resource.text("resourceType")
    if kind not in TYPES:
        resource.refuse("NOT_SUPPORTED", "resourceType", f"Only {', '.join(TYPES)} are taken.")
        return None
    if url.strip("/") != kind:
        asked.refuse("STRUCTURE", "url", "A POST goes to the type of its resource.")
    if if_none_exist and kind != "Patient":
        asked.refuse("NOT_SUPPORTED", "ifNoneExist", "Only of a Patient.")
    resource.leave("id")  # a server gives its own
    _leave_meta(resource)
    _leave_narrative(resource)
    return Entry(number, kind, entry, resource, full_url, if_none_exist)


def _leave_meta(element: Element) -> None:
    if meta := element.one("meta"):
        meta.leave(*META)


def _leave_narrative(resource: Element) -> None:
    """One that says no more than the elements do."""
    if narrative := resource.one("text"):
        narrative.code("status", "generated", "empty")
        narrative.leave("div")


def _refuse_twice(taken: list[Entry], found: list[Issue]) -> None:
    seen: set[str] = set()
    for entry in taken:
        if entry.full_url and entry.full_url in seen:
            found.append(Issue("STRUCTURE", f"{entry.at}.fullUrl", "Another entry has this fullUrl."))
        seen.add(entry.full_url)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("A name twice: nobody can say which of them is meant.")
    return found


def _number(text: str) -> Decimal:
    if len(text) > LONGEST_NUMBER or "e" in text.lower():
        raise ValueError("No measurement is written so.")
    return Decimal(text)


def _whole(text: str) -> int:
    return int(_number(text))


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON.")


def _is_deep(value: Any) -> bool:
    level, depth = [value], 0
    while level and depth < DEEPEST:
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        depth += 1
    return bool(level)


def _unreadable(says: str) -> BundleRefused:
    return BundleRefused([Issue("STRUCTURE", says=says)], 400)

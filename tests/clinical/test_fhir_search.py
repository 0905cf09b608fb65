"""Each interaction, parameter and include that the CapabilityStatement lists, against slow answers over the resources.

The slow answers read what is told, not what is stored.
"""

from datetime import datetime, timedelta

import pytest
from django.db import transaction

from clinical.fhir import query, search
from clinical.fhir.registry import registry
from clinical.models import AuditEvent
from clinical.values import LAGOS
from medilink import fhir  # noqa: F401  it fills the registry
from tests.callers import Caller
from tests.odd_rows import make_odd

BASE = "http://testserver/fhir"


@pytest.fixture(scope="module")
def world(django_db_setup, django_db_blocker):
    """Odd rows, made once; whoever sees all of them, and what they are told of each type."""
    with django_db_blocker.unblock(), transaction.atomic():
        make_odd(150)
        caller = Caller(("steward", {}), ("auditor", {}))
        for number, action in enumerate(("read", "list", "merge", "update")):
            AuditEvent.objects.create(
                at=datetime(2026, 11, 1 + number, tzinfo=LAGOS),
                actor=caller.user if number else None,
                action=action,
                outcome=("ok", "denied", "failed")[number % 3],
                table="patients",
                object_id=number or None,
                patient_ids=[1, number],
            )
        told = {name: [*kind.stream(caller.user)] for name, kind in registry.items()}
        yield caller, told
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def _unthrottled(settings):
    settings.THROTTLE_USER = settings.THROTTLE_PATIENTS = "off"


# --- What stands in a resource under a parameter's name


def codings(concept):
    told = [
        *concept.get("coding", ()),
        *(one["valueCoding"] for one in concept.get("extension", ()) if "valueCoding" in one),
    ]
    return [(one.get("system"), one["code"]) for one in told]


def written(concepts):
    return [(None, one["text"]) for one in concepts]


def of_identifiers(resource):
    return [(one["system"], one["value"]) for one in resource["identifier"]]


def refer(*path):
    def found(resource):
        for step in path:
            resource = resource.get(step, {})
        return [resource["reference"]] if resource else []

    return found


def plain(system, *path):
    def found(resource):
        for step in path:
            resource = resource.get(step, {})
        return [(system, str(resource).lower() if isinstance(resource, bool) else resource)] if resource != {} else []

    return found


def states(address):
    display = address["_state"]["extension"][0]["valueCoding"]["display"]
    return [address["state"], display]


def names_of(resource, part):
    return [text for name in resource["name"] for text in ([name["family"]] if part == "family" else name["given"])]


patient = {name: refer("subject") for name in ("patient", "subject")}
facility = {
    "name": lambda one: [one["name"]],
    "identifier": of_identifiers,
    "type": lambda one: written(one.get("type", ())),
}
FOUND = {
    "Organization": facility
    | {
        "active": plain(None, "active"),
        "address-state": lambda one: states(one["address"][0]),
        "address": lambda one: [*states(one["address"][0]), one["address"][0].get("district", "")],
    },
    "Location": facility
    | {
        "status": plain(None, "status"),
        "organization": refer("managingOrganization"),
        "address-state": lambda one: states(one["address"]),
        "address": lambda one: [*states(one["address"]), one["address"].get("district", "")],
    },
    "Patient": {
        "active": plain(None, "active"),
        "identifier": of_identifiers,
        "gender": plain(None, "gender"),
        "birthdate": lambda one: [one["birthDate"]],
        "organization": refer("managingOrganization"),
        "family": lambda one: names_of(one, "family"),
        "given": lambda one: names_of(one, "given"),
        "name": lambda one: names_of(one, "family") + names_of(one, "given"),
        "phone": lambda one: [(None, phone["value"]) for phone in one.get("telecom", ())],
    },
    "Encounter": patient
    | {
        "date": lambda one: [one["period"]["start"]],
        "class": lambda one: codings({"coding": [one["class"]]}),
        "status": plain("http://hl7.org/fhir/encounter-status", "status"),
        "location": lambda one: [each["location"]["reference"] for each in one["location"]],
        "service-provider": refer("serviceProvider"),
        "identifier": lambda one: of_identifiers(one)[:1],
        "diagnosis": lambda one: [each["condition"]["reference"] for each in one.get("diagnosis", ())],
        "priority": lambda one: codings(one.get("priority", {})),
    },
    "Condition": patient
    | {
        "encounter": refer("encounter"),
        "category": lambda one: codings(one["category"][0]),
        "code": lambda one: codings(one["code"]),
        "code:text": lambda one: [one["code"]["text"]],
        "recorded-date": lambda one: [one["recordedDate"]],
    },
    "Observation": patient
    | {
        "encounter": refer("encounter"),
        "date": lambda one: [one["effectiveDateTime"]],
        "code": lambda one: codings(one["code"]),
        "category": lambda one: codings(one["category"][0]) if "category" in one else [],
        "status": plain("http://hl7.org/fhir/observation-status", "status"),
        "value-concept": lambda one: codings(one.get("valueCodeableConcept", {})),
    },
    "MedicationStatement": patient
    | {
        "context": refer("context"),
        "status": plain("http://hl7.org/fhir/CodeSystem/medication-statement-status", "status"),
        "code": lambda one: codings(one["medicationCodeableConcept"]),
        "code:text": lambda one: [one["medicationCodeableConcept"]["text"]],
    },
    "AuditEvent": {
        "date": lambda one: [one["recorded"]],
        "action": plain("http://hl7.org/fhir/audit-event-action", "action"),
        "outcome": plain("http://terminology.hl7.org/CodeSystem/audit-event-outcome", "outcome"),
        "patient": lambda one: [
            each["what"]["reference"]
            for each in one["entity"]
            if each.get("what", {}).get("reference", "").startswith("Patient/")
        ],
        "subtype": lambda one: codings({"coding": one["subtype"]}),
        "agent-name": lambda one: [one["agent"][0]["who"]["display"]] if "identifier" in one["agent"][0]["who"] else [],
    },
    "Group": {
        "identifier": of_identifiers,
        "managing-entity": refer("managingEntity"),
    },
    "Provenance": {
        "target": lambda one: [each["reference"] for each in one["target"]],
        "recorded": lambda one: [one["recorded"]],
    },
}
COMMON = {"_id": plain(None, "id"), "_lastUpdated": lambda one: [one["meta"]["lastUpdated"]]}
NOT_IN_THE_RESOURCE = {("Patient", "address-state"), ("Provenance", "patient")}  # of what it refers to: see below
ONE_VALUE = {"status", "category", "code", "priority"}  # where every row may have it, or none


def reads(kind, name):
    return (FOUND[kind] | COMMON).get(name)


# --- The slow answers


def token_met(asked, values):
    system, bar, code = asked.rpartition("|")
    return any((not bar or known == system) and (not code or value.lower() == code.lower()) for known, value in values)


def string_met(asked, how, values):
    wanted = asked.lower()
    if how == "exact":
        return asked in values
    return any(wanted in value.lower() if how == "contains" else value.lower().startswith(wanted) for value in values)


def instant(text):
    return datetime.fromisoformat(text).replace(tzinfo=LAGOS) if len(text) == 10 else datetime.fromisoformat(text)


def date_met(prefix, day, values):
    low = datetime.fromisoformat(day).replace(tzinfo=LAGOS)
    high = low + timedelta(days=1)
    is_met = {
        "eq": lambda at: low <= at < high,
        "ne": lambda at: not low <= at < high,
        "gt": lambda at: at >= high,
        "sa": lambda at: at >= high,
        "ge": lambda at: at >= low,
        "lt": lambda at: at < low,
        "eb": lambda at: at < low,
        "le": lambda at: at < high,
    }[prefix]
    return any(is_met(instant(value)) for value in values)


# --- What is asked: of values that there are, and of one that there is not


def samples(told, read):
    known = [value for resource in told for value in read(resource)]
    return [known[n] for n in dict.fromkeys((0, len(known) // 2, len(known) - 1))] if known else []


def questions(of, name, told, read):
    """(query, whether a resource is meant)."""
    for value in samples(told, read):
        if of == "token":
            system, code = value
            texts = [code, f"{system}|{code}"] if system else [code]
            for text in texts:
                yield {name: escaped(text)}, lambda one, text=text: token_met(text, read(one))
        elif of == "reference":
            for text in (value, f"{BASE}/{value}"):
                yield {name: text}, lambda one, value=value: value in read(one)
        elif of == "string":
            for how, text in (("", value[:2]), ("exact", value), ("contains", value[1:3])):
                asked = {f"{name}:{how}" if how else name: escaped(text)}
                if text.strip() == text and text:
                    yield asked, lambda one, text=text, how=how: string_met(text, how, read(one))
        else:
            day = instant(value).astimezone(LAGOS).date().isoformat()
            for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"):
                yield {name: f"{prefix}{day}"}, lambda one, prefix=prefix, day=day: date_met(prefix, day, read(one))
    nobodys = {"token": "nobody-has-it", "reference": "Patient/999999999", "string": "qqqq", "date": "1850"}[of]
    yield {name: nobodys}, lambda _: False


def escaped(text):
    return text.replace(",", "\\,")


def ids(user, kind, pairs):
    asked = query.read(registry[kind], [*pairs.items()], BASE)
    found = search.sources(asked, user)
    page, place = search.page(found, 10_000, "", None)
    assert place is None
    assert search.total(found) == len(page)
    return sorted(one.resource["id"] for one in page)


def listed():
    for name, kind in registry.items():
        for one in (*kind.parameters, *((n, of) for n, of in query.COMMON.items())):
            yield (name, *((one.name, one.of) if hasattr(one, "name") else one))


@pytest.mark.django_db
@pytest.mark.parametrize(("kind", "name", "of"), [*listed()])
def test_each_parameter_finds_what_it_says_and_nothing_else(world, kind, name, of):
    caller, told = world
    if (kind, name) in NOT_IN_THE_RESOURCE:
        return
    known = [(name, of)]
    if f"{name}:text" in FOUND[kind]:
        known.append((f"{name}:text", "string"))
    for named, type_of in known:
        read = reads(kind, named)
        is_narrow = False
        for asked, is_meant in questions(type_of, named, told[kind], read):
            if ":text:" in next(iter(asked)):
                continue
            meant = sorted(one["id"] for one in told[kind] if is_meant(one))
            assert ids(caller.user, kind, asked) == meant, asked
            is_narrow = is_narrow or 0 < len(meant) < len(told[kind])
        assert is_narrow or name in ONE_VALUE, "no question told apart"
    answer = caller.get(f"/fhir/{kind}", asked | {"_total": "accurate"})
    assert (answer.status_code, answer.json()["total"]) == (200, 0)


@pytest.mark.django_db
def test_patients_are_found_by_the_state_of_their_facility(world):
    caller, told = world
    of_state = {one["id"] for one in told["Organization"] if one["address"][0]["state"] == "KB"}
    meant = sorted(
        one["id"] for one in told["Patient"] if one["managingOrganization"]["reference"].partition("/")[2] in of_state
    )
    assert 0 < len(meant) < len(told["Patient"])
    for spelt in ("KB", "Kebbi", "kebb"):
        assert ids(caller.user, "Patient", {"address-state": spelt}) == meant


@pytest.mark.django_db
def test_provenance_is_found_by_the_patient_of_its_row(world):
    caller, told = world
    of = {f"{one['resourceType']}/{one['id']}": one["subject"]["reference"] for one in told["Encounter"]}
    of |= {f"Patient/{one['id']}": f"Patient/{one['id']}" for one in told["Patient"]}
    whose = of[told["Provenance"][-1]["target"][0]["reference"]]
    meant = sorted(
        one["id"] for one in told["Provenance"] if whose in {of.get(each["reference"]) for each in one["target"]}
    )
    assert ids(caller.user, "Provenance", {"patient": whose}) == meant
    assert meant


# --- The statement, and what it lists besides parameters


@pytest.mark.django_db
def test_the_statement_lists_what_is_answered(world, client):
    caller, told = world
    statement = client.get("/fhir/metadata").json()
    rest = statement["rest"][0]
    assert [one["type"] for one in rest["resource"]] == [*registry]
    assert statement["fhirVersion"] == "4.0.1"
    for one in rest["resource"]:
        kind = one["type"]
        answered = {interaction["code"] for interaction in one["interaction"]}
        assert {"read", "search-type"} <= answered
        listed_here = {parameter["name"] for parameter in one["searchParam"]}
        assert listed_here - {*FOUND[kind], *COMMON} <= {name for of, name in NOT_IN_THE_RESOURCE if of == kind}
        for resource in (told[kind][0], told[kind][-1]):
            assert caller.get(f"/fhir/{kind}/{resource['id']}").json() == resource
        posted = caller.client.post(
            f"/fhir/{kind}/_search", f"_id={told[kind][0]['id']}", content_type="application/x-www-form-urlencoded"
        )
        assert [entry["resource"] for entry in posted.json()["entry"]] == [told[kind][0]]


def included(caller, kind, asked):
    bundle = caller.get(f"/fhir/{kind}", asked | {"_count": "1000"}).json()
    entries = bundle.get("entry", [])
    by_mode = {"match": set(), "include": set()}
    for entry in entries:
        by_mode[entry["search"]["mode"]].add(entry["fullUrl"].removeprefix(f"{BASE}/"))
    return by_mode["match"], by_mode["include"]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [*registry])
def test_each_include_brings_what_is_referred_to_once(world, kind):
    caller, told = world
    there = {f"{one['resourceType']}/{one['id']}" for resources in told.values() for one in resources}
    for name in registry[kind].includes:
        read = reads(kind, name)
        match, include = included(caller, kind, {"_include": f"{kind}:{name}"})
        assert match == {f"{kind}/{one['id']}" for one in told[kind]}
        assert include == {value for one in told[kind] for value in read(one)} & there


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [*registry])
def test_each_revinclude_brings_what_refers_to_the_page(world, kind):
    caller, told = world
    for text in query.revincludes_of(registry[kind]):
        other, _, name = text.partition(":")
        some = [one["id"] for one in told[kind][:20]]
        match, include = included(caller, kind, {"_revinclude": text, "_id": ",".join(some)})
        assert match == {f"{kind}/{one}" for one in some}
        if (other, name) in NOT_IN_THE_RESOURCE:
            assert ids(caller.user, other, {name: ",".join(f"{kind}/{one}" for one in some)}) == sorted(
                one.partition("/")[2] for one in include
            )
            continue
        read = reads(other, name)
        include &= {f"{other}/{one['id']}" for one in told[other]}  # what this test asks is noted too
        assert include == {f"{other}/{one['id']}" for one in told[other] if match & {*read(one)}}


# --- The walk


def walked(caller, address):
    found = []
    while address:
        bundle = caller.client.get(address).json()
        found += [entry["resource"]["id"] for entry in bundle.get("entry", ())]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        address = following[0].removeprefix("http://testserver") if following else None
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["Condition", "Encounter", "Patient"])
@pytest.mark.parametrize("sort", ["", "_lastUpdated", "-_lastUpdated"])
def test_a_walk_meets_each_resource_once_whatever_the_page(world, kind, sort):
    caller, told = world
    found = walked(caller, f"/fhir/{kind}?_count=7" + (f"&_sort={sort}" if sort else ""))
    assert sorted(found) == sorted(one["id"] for one in told[kind])
    if sort:
        changed = {one["id"]: one["meta"]["lastUpdated"] for one in told[kind]}
        assert [changed[one] for one in found] == sorted(changed.values(), reverse=sort.startswith("-"))


@pytest.mark.django_db
def test_the_next_page_is_for_who_asked_and_tells_nothing_of_anybody(world):
    caller, told = world
    name = told["Patient"][0]["name"][0]["given"][0]
    body = f"given={name}&_count=1"
    bundle = caller.client.post("/fhir/Patient/_search", body, content_type="application/x-www-form-urlencoded").json()
    following = next(link["url"] for link in bundle["link"] if link["relation"] == "next")
    assert "given" not in following
    other = Caller(("steward", {}))
    refused = other.client.get(following.removeprefix("http://testserver"))
    assert (refused.status_code, refused.json()["issue"][0]["expression"]) == (400, ["http._cursor"])
    assert caller.get("/fhir/Patient", {"_cursor": "x" * 40}).status_code == 400
    assert caller.client.get(following.removeprefix("http://testserver") + "&gender=male").status_code == 400


@pytest.mark.django_db
def test_everything_is_all_of_one_patient_and_the_facility(world):
    caller, told = world
    whose = told["Encounter"][-1]["subject"]["reference"]
    person = next(one for one in told["Patient"] if f"Patient/{one['id']}" == whose)
    home = person["managingOrganization"]["reference"].partition("/")[2]
    meant = {whose, f"Organization/{home}", f"Location/{home}"}
    of_patient = ("Encounter", "Condition", "Observation", "MedicationStatement")
    meant |= {
        f"{kind}/{one['id']}" for kind in of_patient for one in told[kind] if one["subject"]["reference"] == whose
    }
    meant |= {f"Provenance/{one}" for one in ids(caller.user, "Provenance", {"patient": whose})}
    address, found = f"/fhir/{whose}/$everything?_count=3", []
    while address:
        bundle = caller.client.get(address).json()
        found += [entry["fullUrl"].removeprefix(f"{BASE}/") for entry in bundle.get("entry", ())]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        address = following[0].removeprefix("http://testserver") if following else None
    assert len(found) == len({*found})
    assert {*found} == meant
    only = caller.send(
        "post",
        f"/fhir/{whose}/$everything",
        {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient,Encounter"}]},
    ).json()
    assert {entry["resource"]["resourceType"] for entry in only["entry"]} == {"Patient", "Encounter"}
    later = caller.get(f"/fhir/{whose}/$everything", {"start": "2100-01-01", "_type": "Encounter"}).json()
    assert "entry" not in later

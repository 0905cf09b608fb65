"""What a bundle leaves behind: its bytes, its batches, and all that is asked of the batches of files."""

import json
import threading

import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clinical import subjects
from clinical.access import Role
from clinical.models import AuditEvent, MedicalRecord, Patient, Revision, TriageVisit
from ingestion import backfill, derivation, erasure, fates, passport, reverting, rulemaking, runs
from ingestion.datasets import COLUMNS, Dataset
from ingestion.fates import Fate
from ingestion.fhir import loading
from ingestion.models import IngestBatch, Kind, RuleUse, Status
from ingestion.rulemaking import Proposal
from tests import rows
from tests.callers import Caller
from tests.deliveries import deliver, digest, empty_tables, night
from tests.ingestion import bundles
from tests.ingestion.bundles import bundle, condition, encounter, entry, patient, urn
from tests.ingestion.test_bundles import send, told

pytestmark = pytest.mark.django_db


def a_clinic():
    return rows.facility(name="Ikeja Clinic", state="LAGOS", lga="Ikeja", lga_name="Ikeja")


@pytest.fixture
def clinic(db):
    return a_clinic()


@pytest.fixture
def service(clinic, bucket, settings):
    settings.THROTTLE_USER = "off"
    return Caller((Role.SERVICE, {"facility": clinic}))


@pytest.fixture
def visit(service, clinic):
    assert send(service, bundles.visit_of(clinic)).status_code == 200
    return TriageVisit.objects.get()


def test_the_bytes_are_kept_as_they_came_beside_the_files_that_were_made_of_them(visit, clinic, s3):
    batches = IngestBatch.objects.order_by("id")
    assert [(one.kind, one.status, one.dataset, one.inserted) for one in batches] == [
        (Kind.BUNDLE, Status.ARCHIVED, "patients", 1),
        (Kind.BUNDLE, Status.ARCHIVED, "triage_visits", 1),
    ]
    folder = batches[0].archive_key.removesuffix("patients.csv")
    assert s3.keys() == [f"{folder}{name}" for name in ("bundle.json", "patients.csv", "triage_visits.csv")]
    assert json.loads(s3.get(f"{folder}bundle.json")) == bundles.visit_of(clinic)
    assert batches[0].folder.endswith("/LAGOS")


def test_the_passport_of_a_row_leads_to_its_entry(visit):
    found = passport.of_row("triage_visits", visit.pk)
    assert found.raw["bundle_entry"] == "bundle.json#/entry/1"
    assert (found.raw["vital_signs"], found.raw["patient_first_name"]) == ("BP 140/90 mmHg", "Amina")
    batch = IngestBatch.objects.get(dataset="triage_visits")
    assert (found.bytes_are_at, found.loaded_by) == (batch.archive_key, batch)
    assert fates.of_line(batch, visit.line).fate == Fate.INSERTED
    assert derivation.unexplained(batch, [visit.line]) == {}


def test_lines_of_a_bundle_that_repeats_are_unchanged(visit, service, clinic):
    later = bundles.visit_of(clinic)
    later["entry"] += [entry(6, encounter(clinic, urn(1), "AMB")), entry(7, condition(urn(1), urn(6), "Cough"))]
    assert send(service, later).status_code == 200
    batch = IngestBatch.objects.filter(dataset="triage_visits").latest("id")
    assert (batch.unchanged, fates.of_line(batch, 2).fate, dict(fates.counts(batch))) == (
        *(1, Fate.UNCHANGED, {Fate.UNCHANGED: 1}),
    )


def test_a_bundle_is_taken_back_batch_by_batch(visit, alice):
    visits, people = (IngestBatch.objects.get(dataset=name) for name in ("triage_visits", "patients"))
    with pytest.raises(reverting.Obstructed):
        reverting.revert(people, reason="wrong", by=alice)
    reverting.revert(visits, reason="wrong", by=alice)
    reverting.revert(people, reason="wrong", by=alice)
    assert [model.objects.count() for model in (Patient, TriageVisit)] == [0, 0]


def test_a_bundle_that_was_taken_back_can_be_sent_again(visit, service, clinic, alice):
    for name in ("triage_visits", "patients"):
        reverting.revert(IngestBatch.objects.get(dataset=name), reason="wrong", by=alice)
    assert send(service, bundles.visit_of(clinic)).status_code == 200
    assert TriageVisit.objects.count() == 1


def test_the_archive_loads_anew_what_bundles_have_brought(visit):
    before = digest()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    empty_tables()
    a_clinic()
    run = runs.request(Kind.BACKFILL)
    runs.carry_out(run, find=lambda run: backfill.from_archive(run, None, None))
    assert digest()[1:] == before[1:]


def test_an_erasure_names_the_bundle_and_no_bundle_brings_the_person_back(visit, service, clinic, alice):
    bob = Caller((Role.STEWARD,)).user
    asked = subjects.ask_to_erase(visit.patient_id, why="request", by=alice)
    subjects.confirm_erasure(asked, by=bob)
    asked.refresh_from_db()
    erased = erasure.erase(asked)
    keys = [one["key"].rpartition("/")[2] for one in erased.objects]
    assert sorted({*keys}) == ["bundle.json", "patients.csv", "triage_visits.csv"]
    assert ("DELETED_BY_STEWARD", "Bundle.entry[0]") in told(send(service, bundles.visit_of(clinic)))


def test_the_audit_says_who_has_sent_what_of_whom(visit, service):
    line = AuditEvent.objects.filter(action="load").latest("id")
    assert (line.actor, line.patient_ids, line.rows) == (service.user, [visit.patient_id], 2)
    assert line.details["inserted"] == 2
    assert {*IngestBatch.objects.values_list("pk", flat=True)} == {*line.details["batches"]}
    assert not Revision.objects.filter(table="patients", batch_id=None).exists()


def test_a_stewards_rule_holds_for_bundles_and_says_so(service, clinic, alice):
    rule = rulemaking.save(Proposal("diagnosis", "Malaria", value="Plasmodium malaria"), by=alice)
    sent = bundle(
        entry(1, patient(clinic)),
        entry(2, encounter(clinic, urn(1), "AMB")),
        entry(3, condition(urn(1), urn(2), "Malaria")),
    )
    assert send(service, sent).status_code == 200
    record = MedicalRecord.objects.get()
    assert record.data["diagnosis"] == "Plasmodium malaria"
    assert RuleUse.objects.get().rule_id == rule.pk
    assert derivation.unexplained(IngestBatch.objects.get(pk=record.batch_id), [record.line]) == {}


def test_where_the_archive_is_away_nothing_is_stored(service, clinic, settings):
    settings.S3_ENDPOINT_URL = "http://127.0.0.1:9"
    response = send(service, bundles.visit_of(clinic))
    assert (response.status_code, response.json()["issue"][0]["code"]) == (503, "transient")
    assert [model.objects.count() for model in (Patient, TriageVisit, IngestBatch)] == [0, 0, 0]


@pytest.mark.parametrize("door", ["ingestion.fhir.answers.answer", "clinical.api.idempotency._keep"])
def test_a_bundle_whose_answer_fails_is_in_no_table_and_not_in_the_archive(service, clinic, s3, monkeypatch, door):
    def fails(*_):
        assert len(s3.keys()) == 3
        raise RuntimeError("the answer fails")

    monkeypatch.setattr(door, fails)
    assert send(service, bundles.visit_of(clinic), Idempotency_Key="k").status_code == 500
    assert s3.keys() == []
    assert [model.objects.count() for model in (Patient, TriageVisit, IngestBatch)] == [0, 0, 0]


def test_what_is_kept_stays_where_nobody_knows_whether_it_was_stored(service, clinic, s3, monkeypatch):
    monkeypatch.setattr(loading.connection, "is_usable", lambda: False)
    monkeypatch.setattr("ingestion.fhir.answers.answer", lambda *_: 1 / 0)
    assert send(service, bundles.visit_of(clinic)).status_code == 500
    assert len(s3.keys()) == 3


@pytest.mark.django_db(transaction=True)
def test_the_same_bundle_twice_at_once_is_stored_once(service, clinic):
    answers, barrier = [], threading.Barrier(2)

    def at_once():
        try:
            barrier.wait(10)
            answers.append(send(service, bundles.visit_of(clinic)))
        finally:
            connection.close()

    others = [threading.Thread(target=at_once) for _ in range(2)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    assert [one.status_code for one in answers] == [200, 200]
    assert (
        answers[0].json()["entry"][1]["response"]["location"] == answers[1].json()["entry"][1]["response"]["location"]
    )
    assert [model.objects.count() for model in (Patient, TriageVisit)] == [1, 1]


# --- Any clean rows, as files and as a bundle

WORDS = st.sampled_from(["", "Hb 11", "Malaria", "Ọgbẹ́", "a, b", 'say "ah"', "two\nlines", "x" * 300])
SOME = st.sampled_from(["Malaria", "Typhoid", "Ọgbẹ́ ńlá", "a, b"])
PEOPLE = st.fixed_dictionaries(
    {
        "first_name": st.sampled_from(["Amina", "Musa Ali", "Ọlá", "NGOZI"]),
        "last_name": st.sampled_from(["Bello", "O'Neil", "Okafor"]),
        "sex": st.sampled_from(["F", "F", "Unknown"]),
        "dob": st.sampled_from(["1990-01-01", "1988-05", "1975"]),
        "phone": st.sampled_from(["", "07021000001", "+2347021000002"]),
        "patient_number": st.sampled_from(["", "P-1", "P 2"]),
    }
)
INSTANTS = st.sampled_from(["2026-11-19T08:30:00+01:00", "2026-11-18", "2026-11-19T23:30:00Z"])
RECORDS = {
    "record_type": st.sampled_from(["", "Lab", "Consultation"]),
    "record_id": st.just(""),
    "recorded_at": INSTANTS,
    **dict.fromkeys(("diagnosis", "treatment", "medications", "notes"), WORDS),
}
VISITS = {
    "triage_level": st.sampled_from("12345"),
    "visit_id": st.just(""),
    "visited_at": INSTANTS,
    "conditions": st.lists(SOME, max_size=3).map("; ".join),
    "recommendations": st.lists(SOME, max_size=2).map("; ".join),
    **dict.fromkeys(("chief_complaint", "vital_signs", "language", "provider"), WORDS),
}


@st.composite
def deliveries(draw):
    """(patients, records, visits), each event of one of the patients; no patient contradicts another."""
    identity = ("first_name", "last_name", "dob")
    people = draw(st.lists(PEOPLE, min_size=1, max_size=4, unique_by=lambda one: tuple(one[key] for key in identity)))
    events = []
    for number, columns in enumerate((RECORDS, VISITS)):
        events.append([])
        for n in range(draw(st.integers(0, 4))):
            who = draw(st.sampled_from(people))
            event = {f"patient_{key}": who[key] for key in identity} | draw(st.fixed_dictionaries(columns))
            key = ("record_id", "visit_id")[number]
            events[-1].append(event | {key: draw(st.sampled_from(["", f"N{n}"]))})
    return people, *events


def as_file(dataset, clinic, found):
    place = {"facility_name": clinic.name, "facility_state": clinic.state, "facility_lga": clinic.lga}
    columns = COLUMNS[dataset].all
    quoted = [[f'"{(place | row).get(name, "").replace(chr(34), chr(34) * 2)}"' for name in columns] for row in found]
    return "\n".join(",".join(cells) for cells in [columns, *quoted]) + "\n"


EVERYTHING = (
    "select f.name, first_name, last_name, sex, dob, dob_is_estimated, phone, patient_number from patients p"
    " join facilities f on f.id = p.facility_id order by 2, 3, 5",
    "select p.first_name, p.last_name, p.dob, record_type, data::text, recorded_at, record_id, e.time_is_estimated,"
    " fingerprint, ordinal from medical_records e join patients p on p.id = e.patient_id order by 9, 10, 1, 2, 3, 7",
    "select p.first_name, p.last_name, p.dob, triage_level, chief_complaint, vital_signs, conditions::text,"
    " recommendations::text, language, provider, visited_at, visit_id, e.time_is_estimated, fingerprint, ordinal"
    " from triage_visits e join patients p on p.id = e.patient_id order by 14, 15, 1, 2, 3, 12",
)


def everything():
    with connection.cursor() as cursor:
        found = []
        for sql in EVERYTHING:
            cursor.execute(sql)
            found.append(cursor.fetchall())
    return found


@settings(
    max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(found=deliveries(), is_repeated=st.booleans())
def test_any_clean_rows_are_the_same_rows_whether_they_come_as_files_or_as_a_bundle(
    service, clinic, found, is_repeated
):
    sent = bundles.of_rows(clinic, *found)
    outcomes = []
    for ways in (("file", "bundle"), ("bundle", "file")):
        with transaction.atomic():
            for way in ways if is_repeated else ways[:1]:
                if way == "bundle":
                    response = send(service, sent)
                    assert response.status_code == 200, response.content
                else:
                    for dataset, some in zip(
                        (Dataset.PATIENTS, *[d for d in Dataset if d.is_event]), found, strict=True
                    ):
                        deliver(f"{dataset}-{timezone.localdate()}.csv", as_file(dataset, clinic, some))
                    night()
            outcomes.append(everything())
            transaction.set_rollback(True)
    assert outcomes[0] == outcomes[1]

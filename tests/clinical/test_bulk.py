"""Bulk export: what is asked for, what comes of it, and who may have it."""

import gzip
import json
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from clinical import subjects
from clinical.fhir.bulk import claims, files, jobs, writing
from clinical.fhir.registry import registry
from clinical.models import AuditEvent, FhirExport, FhirExportPart, MedicalRecord, Patient, TriageVisit
from medilink import purge
from tests.callers import Caller
from tests.clinical.exporting import ask, export, fetch, lines_of
from tests.clinical.test_lists import DAY
from tests.rows import facility, patient, record, visit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _in_a_folder(settings, tmp_path, monkeypatch):
    settings.FHIR_EXPORT_FOLDER = str(tmp_path)
    monkeypatch.setattr(jobs, "_send", lambda _id: None)


@pytest.fixture
def steward():
    return Caller(("steward",))


@pytest.fixture
def kano():
    return facility(name="Kano Clinic", state="KANO", lga="Dala", lga_name="Dala")


@pytest.fixture
def people(kano):
    """Two in Kano and one in Lagos, each with a record and a visit."""
    found = [patient(kano), patient(kano), patient()]
    for one in found:
        record(one, DAY, diagnosis="Malaria")
        visit(one, DAY, conditions=["Malaria", "Fever"])
    return found


def outcome(answer):
    assert answer.json()["resourceType"] == "OperationOutcome"
    return answer.json()["issue"][0]


# --- What comes of it


def test_everything_is_exported_as_often_as_the_tables_have_it(steward, people):
    got = export(steward)
    counts = {"Patient": 3, "Encounter": 6, "Condition": 9, "Organization": 2, "Location": 2, "Group": 2}
    assert {kind: len(got.of(kind)) for kind in counts} == counts
    assert {one["id"] for one in got.of("Patient")} == {str(one.pk) for one in people}
    assert got.manifest["error"] == got.manifest["deleted"] == []
    assert got.manifest["requiresAccessToken"] is True
    assert got.manifest["request"] == "http://testserver/fhir/$export"


def test_a_resource_is_the_one_that_a_read_gives(steward, people):
    got = export(steward, query={"_type": "Patient,Encounter"})
    for one in (*got.of("Patient"), *got.of("Encounter")):
        assert steward.get(f"/fhir/{one['resourceType']}/{one['id']}").json() == one


def test_parts_end_where_they_are_full(steward, people, monkeypatch):
    monkeypatch.setattr(writing, "ROWS", 2)
    monkeypatch.setattr(writing, "BATCH", 1)
    got = export(steward, query={"_type": "Patient"})
    assert [one["count"] for one in got.manifest["output"]] == [2, 1]
    assert len({one["id"] for one in got.of("Patient")}) == 3


def test_a_group_is_a_facility_or_a_state(steward, people, kano):
    of_facility = export(steward, f"/fhir/Group/facility-{kano.pk}/$export")
    of_state = export(steward, "/fhir/Group/state-KN/$export")
    assert len(of_facility.of("Patient")) == 2
    assert len(of_facility.of("Encounter")) == 4
    assert of_facility.versions() == of_state.versions()
    assert {one["resourceType"] for one in of_facility.resources} <= {
        *("Patient", "Encounter", "Condition", "Observation", "MedicationStatement", "Provenance")
    }


def test_a_post_may_name_patients(steward, people):
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "patient", "valueReference": {"reference": f"Patient/{people[0].pk}"}},
            {"name": "_type", "valueString": "Encounter"},
        ],
    }
    answer = steward.send("post", "/fhir/Patient/$export", body)
    number = int(answer["Content-Location"].rpartition("/")[2])
    jobs.carry_out(number)
    got = fetch(steward, number)
    assert {one["subject"]["reference"] for one in got.resources} == {f"Patient/{people[0].pk}"}


def test_a_scope_and_a_mask_hold(people, kano):
    clerk = Caller(("clerk", {"state": "KANO"}))
    analyst = Caller(("analyst",))
    assert {one["id"] for one in export(clerk).of("Patient")} == {str(one.pk) for one in people[:2]}
    masked = export(analyst)
    assert "Okafor" not in json.dumps(masked.resources)


def test_what_is_restricted_or_deleted_is_left_out(steward, people):
    subjects.restrict(people[0].pk, why="request", by=steward.user)
    Patient.objects.filter(pk=people[1].pk).update(deleted_at=timezone.now())
    got = export(steward, query={"_type": "Patient"})
    assert {one["id"] for one in got.of("Patient")} == {str(people[2].pk)}


# --- Since


def test_a_second_export_has_what_has_changed_and_what_is_gone(steward, people):
    first = export(steward)
    seen = TriageVisit.objects.get(patient=people[0])
    TriageVisit.objects.filter(pk=seen.pk).update(conditions=["Malaria"])
    MedicalRecord.objects.filter(patient=people[1]).update(deleted_at=timezone.now())
    lost = MedicalRecord.objects.get(patient=people[2])
    MedicalRecord.objects.filter(pk=lost.pk).delete()
    new = patient(people[0].facility)
    second = export(steward, query={"_since": first.at})
    assert {one["id"] for one in second.of("Patient")} == {str(new.pk)}
    assert {one["id"] for one in second.of("Condition")} == {f"visit-{seen.pk}-1"}
    gone = {one for one in second.deleted if one.startswith(("Condition", "Encounter"))}
    marked = MedicalRecord.objects.get(patient=people[1]).pk
    assert gone == {
        f"Condition/visit-{seen.pk}-2",
        *(f"{kind}/record-{pk}" for kind in ("Condition", "Encounter") for pk in (marked, lost.pk)),
    }
    assert not first.versions() & second.versions()


def test_a_restricted_patient_is_one_to_drop(steward, people):
    first = export(steward)
    subjects.restrict(people[0].pk, why="request", by=steward.user)
    second = export(steward, query={"_since": first.at, "_type": "Patient,Encounter"})
    encounters = {
        f"Encounter/{one['id']}"
        for one in first.of("Encounter")
        if one["subject"]["reference"] == f"Patient/{people[0].pk}"
    }
    assert {*second.deleted} == {f"Patient/{people[0].pk}"} | encounters
    assert second.resources == []


def test_until_leaves_out_what_was_changed_later(steward, people):
    at = timezone.now().isoformat()
    patient(people[0].facility)
    assert len(export(steward, query={"_type": "Patient", "_until": at}).of("Patient")) == 3


# --- Kick-off, status, files


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"_outputFormat": "text/csv"}, "_outputFormat"),
        ({"_since": "yesterday"}, "date"),
        ({"_since": "2026-11-22"}, "instant"),
        ({"_type": "Pateint"}, "no type"),
        ({"_typo": "1"}, "_typo is no parameter"),
        ({"_elements": "id"}, "not supported"),
        ({"patient": "Patient/1"}, "POST"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(steward, people, query, text):
    answer = steward.get("/fhir/Patient/$export", query)
    assert answer.status_code == 400
    assert text in answer.content.decode()
    assert outcome(answer)["severity"] == "error"


def test_who_is_lenient_is_told_what_was_ignored(steward, people):
    answer = steward.get("/fhir/$export", {"_elements": "id"}, prefer="respond-async, handling=lenient")
    number = int(answer["Content-Location"].rpartition("/")[2])
    jobs.carry_out(number)
    manifest = steward.get(f"/fhir/exports/{number}").json()
    (told,) = lines_of(steward, manifest["error"][0]["url"])
    assert told["resourceType"] == "OperationOutcome"
    assert "_elements" in json.dumps(told)


def test_a_user_has_one_running(steward, people):
    ask(steward)
    answer = steward.get("/fhir/$export")
    assert (answer.status_code, answer["Retry-After"]) == (429, "60")
    assert outcome(answer)["code"] == "throttled"


def test_a_status_tells_how_far_it_is_and_not_too_often(steward, people):
    number = ask(steward)
    answer = steward.get(f"/fhir/exports/{number}")
    assert (answer.status_code, answer["X-Progress"], answer["Retry-After"]) == (202, "waiting", "5")
    assert steward.get(f"/fhir/exports/{number}").status_code == 429


def test_a_cancelled_one_is_gone_and_its_worker_writes_nothing(steward, people, monkeypatch):
    number = ask(steward)
    claim = claims.take(number)
    answer = steward.send("delete", f"/fhir/exports/{number}")
    assert answer.status_code == 202
    assert steward.get(f"/fhir/exports/{number}").status_code == 404
    assert steward.send("delete", f"/fhir/exports/{number}").status_code == 404
    with pytest.raises(claims.ClaimLost):
        claim.finish("done")
    claim.close()


def test_another_one_has_no_part_in_it(steward, people):
    number = ask(steward)
    jobs.carry_out(number)
    url = steward.get(f"/fhir/exports/{number}").json()["output"][0]["url"].removeprefix("http://testserver")
    other = Caller(("steward",))
    assert other.get(f"/fhir/exports/{number}").status_code == 404
    assert other.get(url).status_code == 404
    steward.user.memberships.all().delete()
    assert steward.get(url).status_code == 404


def test_an_export_is_void_once_somebody_is_restricted(steward, people):
    number = ask(steward)
    jobs.carry_out(number)
    assert steward.get(f"/fhir/exports/{number}").status_code == 200
    subjects.restrict(people[0].pk, why="request", by=steward.user)
    assert steward.get(f"/fhir/exports/{number}").status_code == 404


def test_a_file_is_packed_for_who_takes_it_packed_and_noted_with_its_people(steward, people):
    number = ask(steward, query={"_type": "Patient"})
    jobs.carry_out(number)
    url = steward.get(f"/fhir/exports/{number}").json()["output"][0]["url"].removeprefix("http://testserver")
    answer = steward.get(url, **{"accept-encoding": "gzip"})
    lines = gzip.decompress(b"".join(answer.streaming_content)).splitlines()
    assert (answer["Content-Encoding"], len(lines)) == ("gzip", 3)
    of_all, of_them = AuditEvent.objects.filter(table="fhir_exports", action="export").order_by("id")
    assert of_all.object_id == number
    assert of_them.patient_ids == sorted(one.pk for one in people)


def test_what_is_over_goes_with_its_files(steward, people, tmp_path):
    number = ask(steward)
    jobs.carry_out(number)
    assert [*tmp_path.rglob("*.gz")]
    FhirExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    purge.purge()
    assert not [*tmp_path.rglob("*.gz")]
    assert not FhirExport.objects.exists()


def test_what_the_store_does_not_let_go_of_waits_and_is_given_to_nobody(steward, people, monkeypatch):
    number = ask(steward)
    jobs.carry_out(number)
    FhirExport.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    def away(_export_id):
        raise files.NotThere("away")

    monkeypatch.setattr(files, "remove_all", away)
    purge.purge()
    assert FhirExport.objects.get().status == "cancelled"
    assert steward.get(f"/fhir/exports/{number}").status_code == 404


def test_an_export_waits_while_the_store_is_away(steward, people, settings):
    settings.FHIR_EXPORT_FOLDER = "/proc/nowhere"
    number = ask(steward)
    assert jobs.carry_out(number) is False
    assert FhirExport.objects.get().status == "queued"
    settings.FHIR_EXPORT_FOLDER = ""


def test_files_lie_in_the_bucket_where_no_folder_is_named(steward, people, settings, bucket):
    settings.FHIR_EXPORT_FOLDER = ""
    got = export(steward, query={"_type": "Patient"})
    assert len(got.of("Patient")) == 3
    files.remove_all(FhirExport.objects.get().pk)
    with pytest.raises(files.NotThere):
        files.read(FhirExportPart.objects.get().file, packed=True)


def test_what_was_tried_too_often_has_failed(steward, people):
    number = ask(steward)
    FhirExport.objects.update(attempts=claims.MOST_ATTEMPTS)
    jobs.sweep()
    answer = steward.get(f"/fhir/exports/{number}")
    assert answer.status_code == 500
    assert outcome(answer)["severity"] == "fatal"


def test_every_type_can_be_exported_by_name(people, alice, client):
    client.force_login(alice)
    for name in registry:
        answer = client.get("/fhir/$export", {"_type": name})
        assert answer.status_code == 202, name
        jobs.carry_out(FhirExport.objects.latest("id").pk)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM fhir_exports WHERE status = 'done'")
        assert cursor.fetchone()[0] == len(registry)

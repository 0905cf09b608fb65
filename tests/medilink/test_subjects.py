"""A patient's rights: what is held, restricted, rectified, erased."""

import json
from datetime import date
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from analytics import marts
from clinical import actions, merging, row_security, subjects, vital_readings
from clinical.audit import seals, verifying
from clinical.models import AuditEvent, ErasedIdentity, Erasure, MedicalRecord, Patient, Revision, TriageVisit, User
from ingestion import dossier, erasure
from ingestion.models import RejectedRow
from tests import rows
from tests.callers import Caller
from tests.deliveries import PATIENTS, RECORDS, VISITS, counts, deliver, deliver_all, last_batch, night

pytestmark = pytest.mark.django_db(transaction=True)
REFUSED = "Kuje General Hospital,Amina,Bello,Lab,Malaria,,,CANARY\n"
MORE = PATIENTS + "Ikeja Clinic,Ada,Obi,F,1991-01-01,\n"  # the same bytes again would be no delivery
WHY = "request"
TABLES_WITH_TEXT = """
SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
AND c.relname NOT LIKE 'django_%%'
"""


@pytest.fixture
def bello(bucket):
    """Amina Bello as the files tell of her, with a record and a phone; and her neighbours."""
    deliver_all()
    night()
    return Patient.objects.get(first_name="Amina")


@pytest.fixture
def bob(db):
    return User.objects.create_superuser("bob", password="not-a-secret-of-anybody")


def erase(patient, alice, bob):
    asked = subjects.ask_to_erase(patient.pk, why=WHY, by=alice)
    subjects.confirm_erasure(asked, by=bob)
    asked.refresh_from_db()
    return erasure.erase(asked)


def command(*words):
    out = StringIO()
    call_command("patient", *words, stdout=out, stderr=StringIO())
    return out.getvalue()


def everywhere(word: str) -> list[str]:
    """The tables in which any row says the word."""
    with connection.cursor() as cursor:
        cursor.execute(TABLES_WITH_TEXT)
        tables = [name for (name,) in cursor.fetchall()]
        found = []
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {table} t WHERE t::text ILIKE %s", [f"%{word}%"])
            if cursor.fetchone()[0]:
                found.append(table)
    return found


# --- Export


def test_an_export_has_every_row_name_change_file_and_reader_of_the_patient(bello, alice):
    twin = rows.patient(bello.facility, first_name="Aminat", last_name="Bello", dob=bello.dob)
    rows.visit(twin, date(2026, 11, 2), chief_complaint="Cough", vital_signs="HR 77")
    merging.merge_patients(bello, twin, by=alice)
    vital_readings.read_due()
    Patient.objects.filter(pk=bello.pk).update(phone="+2347021000009")
    stranger = Caller(("clinician",))
    stranger.get(f"/api/patients/{bello.pk}")
    told = dossier.export(bello.pk, by=alice)
    assert [patient["id"] for patient in told["patients"]] == [bello.pk, twin.pk]
    assert [alias["first_name"] for alias in told["aliases"]] == ["Aminat"]
    assert {record["data"]["diagnosis"] for record in told["medical_records"]} == {"Malaria"}
    assert [visit["chief_complaint"] for visit in told["triage_visits"]] == ["Cough"]
    assert [(sign["code"], sign["value"]) for sign in told["vital_signs"]] == [("8867-4", 77)]
    assert {score["score"] for score in told["visit_scores"]} == {"NEWS2", "shock index"}
    assert {"before": {"phone": "+2347021000001"}, "after": {"phone": "+2347021000009"}} in [
        {name: change[name] for name in ("before", "after")} for change in told["changes"]
    ]
    files = {file["dataset"]: file for file in told["deliveries"]}
    assert (files["patients"]["lines"], files["patients"]["is_kept"]) == ([2], True)
    assert files["patients"]["key"].startswith("medical_records/archive/")
    assert files["medical_records"]["lines"] == [2, 3]
    assert [merge["merged_id"] for merge in told["merges"]] == [twin.pk]
    assert stranger.user.username in {line["actor"] for line in told["seen_by"]}
    assert set(dossier.SAID) <= set(told)


def test_an_export_opens_the_refused_rows_that_name_the_patient_and_no_others(bello, alice):
    lines = [
        "Kuje General Hospital,Amina,Bello,woman,1990-01-01,",
        "Kuje General Hospital,Amina,Bello,woman,1971-01-01,",
    ]
    deliver("patients-more-2026-11-21.csv", PATIENTS + "\n".join(lines) + "\n")
    night()
    assert RejectedRow.objects.filter(dataset="patients").count() == 2
    (row,) = dossier.export(bello.pk, by=alice)["refused_rows"]
    assert (row["cells"]["dob"], row["line"], row["reasons"]) == ("1990-01-01", 5, ["ENUM:sex"])


def test_an_export_is_itself_told_to_the_audit(bello, alice):
    dossier.export(bello.pk, by=alice)
    (event,) = AuditEvent.objects.filter(action="export_patient")
    assert (event.actor, event.patient_ids) == (alice, [bello.pk])


def test_the_command_writes_a_file_that_only_its_owner_reads(bello, alice, tmp_path):
    command("export", str(bello.pk), "--by", "alice", "--to", str(tmp_path / "bello.json"))
    path = tmp_path / "bello.json"
    assert json.loads(path.read_text())["patient_id"] == bello.pk
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(CommandError):
        command("export", str(bello.pk), "--by", "alice", "--to", str(path))


# --- Rectify


def test_what_a_person_has_rectified_no_later_file_undoes(bello, alice):
    Patient.objects.filter(pk=bello.pk).update(first_name="Aminat", phone="+2347021000009")
    deliver("patients-2026-11-21.csv", MORE)
    night()
    bello.refresh_from_db()
    assert (bello.first_name, bello.phone) == ("Aminat", "+2347021000009")
    assert Patient.objects.count() == 4


# --- Restrict


def test_a_restricted_patient_is_gone_from_lists_search_export_events_and_marts(bello, alice):
    clerk, steward = Caller(("clinician",)), Caller(("steward",))
    record = MedicalRecord.objects.filter(patient=bello).first()
    command("restrict", str(bello.pk), "--by", "alice", "--why", "accuracy")
    for caller in (clerk, steward):
        assert bello.pk not in caller.ids("/api/patients")
        assert caller.get(f"/api/patients/{bello.pk}").status_code == 404
        assert caller.get(f"/api/medical-records/{record.pk}").status_code == 404
        assert caller.rows("/api/medical-records", {"patient_id": bello.pk}) == []
        assert caller.send("post", "/api/patients/search", {"name": "Amina"}).json()["results"] == []
        assert b"Amina" not in b"".join(caller.get("/api/patients", {"format": "csv"}).streaming_content)
    with connection.cursor() as cursor:
        for relation in ("marts.dim_patients", "marts.fct_medical_records", "bi.stg_patients", "bi.patient_summary"):
            cursor.execute(f"SELECT count(*) FROM {relation} WHERE patient_id = %s", [bello.pk])
            assert cursor.fetchone() == (0,), relation


def test_who_syncs_is_told_to_drop_a_restricted_patient_and_gets_it_back_afterwards(bello, alice):
    here, elsewhere = Caller(("clinician", {"state": "FCT"})), Caller(("clinician", {"state": "KANO"}))
    since = {"changed_since": "2020-01-01"}
    record = MedicalRecord.objects.filter(patient=bello).first()
    subjects.restrict(bello.pk, why="accuracy", by=alice)
    bello.refresh_from_db()
    at = bello.restricted_at.isoformat().replace("+00:00", "Z")
    for resource, pk in (("patients", bello.pk), ("medical-records", record.pk)):
        told = {row["id"]: row for row in here.rows(f"/api/{resource}", since)}
        assert told[pk] == {"id": pk, "deleted_at": at}
        assert pk in {row["id"] for row in here.rows(f"/api/{resource}", since | {"facility_id": bello.facility_id})}
        assert pk not in {row["id"] for row in elsewhere.rows(f"/api/{resource}", since)}
        assert f'"id":{pk},"deleted_at":"{at}"'.encode() in b"".join(
            here.get(f"/api/{resource}", since | {"format": "ndjson"}).streaming_content
        ).replace(b" ", b"")
    subjects.unrestrict(bello.pk, why="accuracy", by=alice)
    for resource, pk in (("patients", bello.pk), ("medical-records", record.pk)):
        (back,) = [row for row in here.rows(f"/api/{resource}", {"changed_since": at}) if row["id"] == pk]
        assert "deleted_at" not in back


def test_row_security_hides_a_restricted_patient_from_all_but_stewards(bello, alice):
    clerk, steward = Caller(("clinician",)), Caller(("steward",))
    subjects.restrict(bello.pk, why="consent", by=alice)
    seen = {}
    for who in (clerk, steward):
        with transaction.atomic(), row_security.standing_for(who.user.pk), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL ROLE {row_security.ROLE}")
            row_security.say(cursor)
            for table, column in (("patients", "id"), ("medical_records", "patient_id")):
                cursor.execute(f"SELECT count(*) > 0 FROM {table} WHERE {column} = %s", [bello.pk])
                seen[who, table] = cursor.fetchone()[0]
    assert seen == {
        (who, table): who is steward for who in (clerk, steward) for table in ("patients", "medical_records")
    }


def test_what_is_delivered_of_a_restricted_patient_lands_and_stays_hidden(bello, alice):
    subjects.restrict(bello.pk, why="accuracy", by=alice)
    deliver("patients-2026-11-21.csv", PATIENTS.replace("07021000001", "07021000009"))
    deliver("triage_visits-2026-11-21.csv", VISITS + "Kuje General Hospital,Amina,Bello,1,Fever,,,\n")
    night()
    bello.refresh_from_db()
    (visit,) = TriageVisit.objects.filter(patient=bello)
    assert (bello.phone, visit.restricted_at) == ("+2347021000009", bello.restricted_at)
    assert last_batch("triage_visits").inserted == 3
    assert Caller(("clinician",)).rows("/api/triage-visits", {"patient_id": bello.pk}) == []


def test_a_lifted_restriction_brings_everything_back(bello, alice):
    clerk = Caller(("clinician",))
    before = clerk.ids("/api/patients"), clerk.ids("/api/medical-records")
    subjects.restrict(bello.pk, why="accuracy", by=alice)
    with pytest.raises(merging.NotPossible):
        subjects.restrict(bello.pk, why="accuracy", by=alice)
    command("unrestrict", str(bello.pk), "--by", "alice", "--why", "accuracy")
    assert (clerk.ids("/api/patients"), clerk.ids("/api/medical-records")) == before
    assert [
        *AuditEvent.objects.filter(action__contains="restrict").order_by("pk").values_list("action", "patient_ids")
    ] == [
        ("restrict", [bello.pk]),
        ("unrestrict", [bello.pk]),
    ]


def test_a_restricted_patient_is_not_merged(bello, alice):
    twin = rows.patient(bello.facility)
    subjects.restrict(bello.pk, why="accuracy", by=alice)
    with pytest.raises(merging.NotPossible, match="restricted"):
        merging.merge_patients(bello, twin, by=alice)


# --- Erase


def test_nothing_of_an_erased_patient_is_left_in_any_table(bello, alice, bob):
    Patient.objects.filter(pk=bello.pk).update(last_name="Zzyzx", phone="+2347021000777", dob=date(1990, 7, 15))
    said = {"chief_complaint": "Qwxyz", "vital_signs": "HR 77, Vwxqs", "visit_id": "SRC-Vxqz"}
    visit = rows.visit(bello, date(2026, 11, 2), **said)
    vital_readings.read_due()
    TriageVisit.objects.filter(pk=visit.pk).update(chief_complaint="Qwxyz again")
    caller = Caller(("clinician",))
    body = {"facility_id": bello.facility_id, "patient_id": bello.pk, "triage_level": 2, "chief_complaint": "Qwxyz too"}
    caller.send("post", "/api/triage-visits", body | {"visited_at": "2026-11-03T10:00:00+01:00"}, Idempotency_Key="k1")
    done = erase(bello, alice, bob)
    bello.refresh_from_db()
    assert (str(bello), bello.dob, bello.phone) == (f"Erased Patient {bello.pk}", date(1990, 1, 1), None)
    assert (bello.erased_at is not None, bello.deleted_at is not None) == (True, True)
    for word in (
        "Zzyzx",
        "Amina",
        "7021000777",
        "7021000001",
        "Qwxyz",
        "SRC-Vxqz",
        "HR 77",
        "Vwxqs",
        "Artemether",
        "1990-07-15",
    ):
        assert everywhere(word) == [], word
    assert done.counts["patients"] == 1
    assert caller.get(f"/api/patients/{bello.pk}").status_code == 404


def test_the_audit_stays_and_its_seals_hold_after_an_erasure(bello, alice, bob):
    Caller(("clinician",)).get(f"/api/patients/{bello.pk}")
    Patient.objects.filter(pk=bello.pk).update(phone="+2347021000777")
    seals.seal()
    erase(bello, alice, bob)
    seals.seal()
    assert verifying.verify().wrong == []
    assert AuditEvent.objects.filter(patient_ids__contains=[bello.pk], action="read").exists()
    assert not Revision.objects.filter(table="patients", object_id=bello.pk, salt__isnull=False).exists()


def test_files_that_deliver_an_erased_patient_again_change_nothing_and_leave_no_cell(bello, alice, bob):
    erase(bello, alice, bob)
    deliver("patients-2026-11-21.csv", MORE)
    deliver("medical_records-2026-11-21.csv", RECORDS + REFUSED)
    night()
    patients, records = last_batch("patients"), last_batch("medical_records")
    assert (counts(patients), patients.warnings) == ((4, 1, 0, 3, 0, 0), {"DELETED_BY_STEWARD": 1})
    assert (counts(records), records.warnings["DELETED_BY_STEWARD"]) == ((4, 1, 0, 3, 0, 0), 3)
    assert not RejectedRow.objects.exists()
    assert everywhere("CANARY") == everywhere("Amina") == []
    assert Patient.objects.filter(deleted_at=None).count() == 3


def test_a_namesake_of_an_erased_patient_gets_none_of_their_events(bello, alice, bob):
    rows.patient(bello.facility, first_name="Amina", last_name="Bello", dob=date(2001, 1, 1))
    erase(bello, alice, bob)
    deliver("medical_records-2026-11-21.csv", RECORDS.splitlines()[0] + "\n" + REFUSED)
    night()
    (row,) = RejectedRow.objects.all()
    assert row.reasons == ["PATIENT_AMBIGUOUS"]


def test_somebody_registered_anew_after_an_erasure_is_a_patient_like_any_other(bello, alice, bob):
    erase(bello, alice, bob)
    anew = rows.patient(bello.facility, first_name="Amina", last_name="Bello", dob=date(1990, 1, 1))
    deliver("patients-2026-11-21.csv", MORE)
    night()
    anew.refresh_from_db()
    assert anew.phone == "+2347021000001"


def test_the_refused_rows_of_an_erased_patient_are_empty_and_settled(bello, alice, bob):
    deliver("patients-more-2026-11-21.csv", PATIENTS + "Kuje General Hospital,Amina,Bello,woman,1990-01-01,\n")
    night()
    erase(bello, alice, bob)
    row = RejectedRow.objects.get()
    assert (row.raw, row.state, row.settled_by, row.last_name_key) == ({}, "dismissed", bob, None)


def test_one_person_alone_erases_nobody(bello, alice, bob):
    asked = subjects.ask_to_erase(bello.pk, why=WHY, by=alice)
    with pytest.raises(merging.NotPossible, match="Another person"):
        subjects.confirm_erasure(asked, by=alice)
    with pytest.raises(merging.NotPossible, match="Another person"):
        erasure.erase(asked)
    subjects.withdraw_erasure(asked, by=bob)
    assert not Erasure.objects.exists()


def test_an_erasure_names_the_objects_that_still_hold_the_patient(bello, alice, bob):
    command("erase", str(bello.pk), "--by", "alice", "--why", "request")
    told = json.loads(command("erase", str(bello.pk), "--by", "bob", "--confirm"))
    assert sorted((file["dataset"], file["lines"]) for file in told["objects"]) == [
        ("medical_records", [2, 3]),
        ("patients", [2]),
    ]
    again = json.loads(command("erase", str(bello.pk), "--by", "bob", "--confirm"))
    assert (again["counts"], again["objects"]) == ({}, told["objects"])
    assert ErasedIdentity.objects.count() == 1
    assert not any(state.is_stale for state in marts.states().values())


def test_no_deed_before_an_erasure_can_be_undone_after_it(bello, alice, bob):
    twin = rows.patient(bello.facility, first_name="Aminat")
    merge = merging.merge_patients(bello, twin, by=alice)
    erase(bello, alice, bob)
    with pytest.raises(merging.NotPossible, match="erased"):
        merging.unmerge(merge, by=alice)
    assert actions.restore(Patient.objects.filter(pk=bello.pk), by=alice) == 0

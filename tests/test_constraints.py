"""Every promise of the database, broken once on purpose."""

import re
from datetime import UTC, date, datetime

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction
from django.db.models import ForeignKey

from analytics.dhis2.models import OrgUnit, Sending
from analytics.facility_signals import BatchShare, FacilitySignal, WatchedDay
from analytics.monitor_results import MonitorResult
from analytics.nightly_reports import NightlyReport, ReportAddressee, ReportMail
from analytics.publications import Publication
from clinical.models import (
    AuditEvent,
    AuditSeal,
    DuplicatePair,
    DuplicateSearch,
    ErasedIdentity,
    Erasure,
    Facility,
    FacilityAlias,
    FhirExport,
    FhirExportPart,
    IdempotencyKey,
    IndexKey,
    Login,
    MedicalRecord,
    Membership,
    Merge,
    Patient,
    PatientAlias,
    ProgramToken,
    RecoveryCode,
    Revision,
    SmartClient,
    SmartToken,
    TermCount,
    TermDecision,
    TermPass,
    TermText,
    TriageVisit,
    User,
    VisitScore,
    VitalReading,
    VitalSign,
)
from ingestion.models import Cause, ExcludedRows, IngestBatch, IngestRun, RejectedRow, Rule, RuleUse, Source
from medilink.models import Alert, Environment

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 20, 8, tzinfo=UTC)
FINGERPRINT = "0" * 32
DATA = dict.fromkeys(("diagnosis", "treatment", "medications", "notes"))


def facility(**changed):
    return Facility.objects.create(**{"name": "Ikeja Clinic", "state": "LAGOS", "lga": "Ikeja"} | changed)


def patient(**changed):
    known = {"first_name": "Ngozi", "last_name": "Okafor", "sex": "F", "dob": date(1990, 1, 1)}
    at = changed.pop("facility", None) or Facility.objects.first() or facility()
    return Patient.objects.create(**known | {"facility": at} | changed)


def record(**changed):
    whose = changed.pop("patient", None) or Patient.objects.first() or patient()
    known = {"patient": whose, "facility": whose.facility, "data": DATA, "recorded_at": AT, "fingerprint": FINGERPRINT}
    return MedicalRecord.objects.create(**known | changed)


def vital_reading(**changed):
    known = {"parser_version": 1, "scores_version": 1, "read_at": AT}
    return VitalReading.objects.create(visit=visit(), **known | changed)


def vital_sign(**changed):
    known = {"visit": vital_reading().visit, "position": 1, "code": "8867-4", "value": 80, "unit": "/min"}
    return VitalSign.objects.create(**known | {"written": "HR 80"} | changed)


def visit_score(**changed):
    known = {"visit": vital_reading().visit, "score": "NEWS2", "version": 1, "minimum": 1, "maximum": 4}
    return VisitScore.objects.create(**known | changed)


def visit(**changed):
    whose = changed.pop("patient", None) or Patient.objects.first() or patient()
    known = {
        "patient": whose,
        "facility": whose.facility,
        "triage_level": 3,
        "visited_at": AT,
        "fingerprint": FINGERPRINT,
    }
    return TriageVisit.objects.create(**known | changed)


def batch(**changed):
    known = {"object_key": "k", "last_modified": AT, "source": "s", "business_date": date(2026, 11, 20)}
    return IngestBatch.objects.create(**known | {"dataset": "patients"} | changed)


def refused(**changed):
    known = {"line": 2, "reasons": ["ENUM:sex"], "raw": {"sex": "X"}, "dataset": "patients", "source": "s"}
    return RejectedRow.objects.create(**{"batch": IngestBatch.objects.first() or batch()} | known | changed)


def rule(**changed):
    return Rule.objects.create(**{"about": "state", "text": "Kanoo", "value": "KANO"} | changed)


def deed():
    return AuditEvent.objects.create(action="merge", table="patients")


def merge(**changed):
    known = {"table": "patients", "survivor_id": 1, "merged_id": 2, "event": changed.pop("event", None) or deed()}
    return Merge.objects.create(**known | changed)


def seal(**changed):
    numbers = dict.fromkeys(("cluster", "above_id", "from_xid", "to_xid", "rows"), 1)
    known = {"table": "audit_events", "month": AT.date(), "ids": "{[1,2)}", "content": b"", "digest": b""}
    return AuditSeal.objects.create(**numbers | known | {"before": str(AuditSeal.objects.count()).encode()} | changed)


SEARCH = {
    **dict.fromkeys(("horizon", "started_at", "finished_at"), AT),
    **dict.fromkeys(("rows", "blocked", "compared", "found", "version"), 0),
    "is_full": True,
}


def pair(**changed):
    at = Facility.objects.first() or facility()
    known = {"table": "patients", "low_id": 1, "high_id": 2, "facility": at, "other_facility": at, "score": 3.0}
    return DuplicatePair.objects.create(**known | {"evidence": [], "version": 1} | changed)


def decision(**changed):
    known = {
        "kind": "diagnosis",
        "key": "yellow eye",
        "text": "Yellow eyes",
        "reason": "said so",
        "decided_by": someone(),
    }
    return TermDecision.objects.create(**known | changed)


def term(**changed):
    return TermText.objects.create(
        **{"kind": "diagnosis", "text": "Malaria", "state": "mapped", "version": "1.0"} | changed
    )


def sending(**changed):
    at = changed.pop("facility", None) or facility()
    known = {"facility": at, "month": date(2026, 10, 1), "org_unit": "aB345678901", "state": "accepted", "sent_at": AT}
    return Sending.objects.create(**known | changed)


def merged_pair(**changed):
    done = Merge.objects.first() or merge()
    decided = {"state": "same", "decided_by": someone(), "decided_at": AT, "merge": done}
    return pair(high_id=9, **decided | changed)


def signal(**changed):
    at = changed.pop("facility", None) or facility()
    days = {"began_on": AT.date(), "last_on": AT.date()}
    counts = dict.fromkeys(("observed", "expected_low", "expected_high", "baseline_days", "rows_amiss"), 0)
    return FacilitySignal.objects.create(**{"facility": at, "kind": "no_file", "recent": []} | days | counts | changed)


def twice(make, **changed):
    make(**changed)
    make(**changed)


def excluded(**changed):
    return ExcludedRows.objects.create(**{"dataset": "patients", "kind": "refused", "rows": 1} | changed)


def publication(**changed):
    known = {"day": AT.date(), "mart": "triage_trends", "as_of": AT, "published_at": AT, "rows": 1, "changed": 1}
    return Publication.objects.create(**known | {"batches": 0, "digest": "0"} | changed)


def export(**changed):
    known = {"user": changed.pop("user", None) or User.objects.create_user(f"exporter-{User.objects.count()}")}
    return FhirExport.objects.create(**known | {"level": "system", "types": [], "request": "/"} | changed)


def part(**changed):
    known = {"export": changed.pop("export", None) or export(), "of": "output", "type": "Patient", "digest": b""}
    return FhirExportPart.objects.create(**known | {"file": "x", "resources": 1, "size": 1} | changed)


def client(**changed):
    known = {"client_id": "lab", "user": someone(), "keys": {}, "scopes": ["system/*.rs"]}
    return SmartClient.objects.create(**known | changed)


def smart_token(**changed):
    whose = changed.pop("client", None) or SmartClient.objects.first() or client()
    known = {"client": whose, "jti": "once", "digest": b"1", "scopes": [], "expires_at": AT}
    return SmartToken.objects.create(**known | changed)


BROKEN = {
    "fhir_exports_one_of_a_user": lambda: export(user=export().user),
    "fhir_exports_level_is_known": lambda: export(level="all"),
    "fhir_exports_status_is_known": lambda: export(status="lost"),
    "fhir_exports_group_of_a_group": lambda: export(group="facility-1"),
    "fhir_exports_running_has_a_lease": lambda: export(status="running"),
    "fhir_exports_done_says_when": lambda: export(status="done"),
    "fhir_export_parts_identity": lambda: part(export=part().export),
    "fhir_export_parts_of_is_known": lambda: part(of="else"),
    "smart_clients_client_id_key": lambda: (client(), client()),
    "smart_clients_id_is_plain": lambda: client(client_id="two words"),
    "smart_clients_may_something": lambda: client(scopes=[]),
    "smart_tokens_digest_key": lambda: (smart_token(), smart_token(jti="again")),
    "smart_tokens_one_of_an_assertion": lambda: (smart_token(), smart_token(digest=b"2")),
    "facilities_identity": lambda: (facility(), facility(name="IKEJA clinic")),
    "facilities_state_is_known": lambda: facility(state="ATLANTIS"),
    "facilities_name_filled": lambda: facility(name=""),
    "facilities_point": lambda: facility(lat=6),
    "facilities_inside_nigeria": lambda: facility(lat=51, lon=3),
    "facility_aliases_identity": lambda: twice(
        FacilityAlias.objects.create,
        facility=Facility.objects.first() or facility(),
        name="n",
        state="LAGOS",
        lga_name="",
    ),
    "patients_identity": lambda: (patient(), patient(first_name="NGOZI")),
    "patients_at_facility": lambda: (patient(), Patient.objects.create(pk=Patient.objects.get().pk, **_other())),
    "patients_names_filled": lambda: patient(last_name=""),
    "patients_sex_is_known_code": lambda: patient(sex="X"),
    "patients_dob_from_1900": lambda: patient(dob=date(1899, 12, 31)),
    "patients_phone_is_e164": lambda: patient(phone="0803"),
    "patient_aliases_identity": lambda: twice(
        PatientAlias.objects.create,
        patient=Patient.objects.first() or patient(),
        first_name="a",
        last_name="b",
        dob=date(1990, 1, 1),
        facility=Facility.objects.first() or facility(),
    ),
    "medical_records_patient_at_facility": lambda: record(patient=patient(), facility=facility(lga="Agege")),
    "medical_records_content_identity": lambda: twice(record),
    "medical_records_id_identity": lambda: (record(record_id="7"), record(record_id="7", ordinal=2)),
    "medical_records_from_2000": lambda: record(recorded_at=datetime(1999, 12, 31, 22, tzinfo=UTC)),
    "medical_records_ordinal_from_1": lambda: record(ordinal=0),
    "medical_records_data_keys": lambda: record(data={"diagnosis": "x"}),
    "triage_visits_patient_at_facility": lambda: visit(patient=patient(), facility=facility(lga="Agege")),
    "triage_visits_content_identity": lambda: twice(visit),
    "triage_visits_id_identity": lambda: (visit(visit_id="7"), visit(visit_id="7", ordinal=2)),
    "triage_visits_from_2000": lambda: visit(visited_at=datetime(1999, 12, 31, 22, tzinfo=UTC)),
    "triage_visits_ordinal_from_1": lambda: visit(ordinal=0),
    "triage_visits_level_1_to_5": lambda: visit(triage_level=6),
    "vital_readings_leftover_not_empty": lambda: vital_reading(leftover=""),
    "vital_signs_number_or_word": lambda: vital_sign(coded="A"),
    "vital_signs_flag_is_known": lambda: vital_sign(flag="odd"),
    "visit_scores_score_is_known": lambda: visit_score(score="MEWS"),
    "visit_scores_minimum_up_to_maximum": lambda: visit_score(minimum=5),
    "visit_scores_both_ends": lambda: visit_score(maximum=None),
    "excluded_rows_kind_is_known": lambda: excluded(kind="lost"),
    "excluded_rows_at_one_place": lambda: excluded(facility_id=1, state="KANO"),
    "excluded_rows_of_a_stopped_file_go_with_it": lambda: excluded(kind="held"),
    "publications_one_a_day": lambda: twice(publication),
    "publications_counts_not_negative": lambda: publication(rows=-1),
    "ingest_runs_one_per_night": lambda: twice(IngestRun.objects.create, kind="nightly", night_on=date(2026, 11, 20)),
    "ingest_batches_counts_add_up": lambda: batch(status="loaded", rows_read=2, inserted=1),
    "ingest_batches_counts_not_negative": lambda: batch(status="loaded", inserted=1, updated=-1),
    "ingest_batches_only_loaded_ones_count": lambda: batch(status="held", rows_read=1, inserted=1),
    "ingest_batches_status_is_known": lambda: batch(status="lost"),
    "ingest_batches_loading_under_a_lease": lambda: batch(status="loading"),
    "ingest_batches_one_per_object_version": lambda: twice(batch),
    "ingest_batches_counts_are_final": lambda: IngestBatch.objects.filter(
        pk=batch(status="loaded", rows_read=1, inserted=1).pk
    ).update(inserted=0, unchanged=1),
    "rejected_rows_identity": lambda: twice(refused),
    "rejected_rows_have_a_reason": lambda: refused(reasons=[]),
    "rejected_rows_settled_when": lambda: refused(state="dismissed"),
    "rejected_rows_replayed_by": lambda: refused(state="replayed", settled_at=AT),
    "rejected_rows_seen": lambda: refused(times_seen=0),
    "rules_one_answer": lambda: (rule(text="Kanoo"), rule(text="KANOO")),
    "rules_mean_one_thing": lambda: rule(value=""),
    "rules_of_a_text": lambda: rule(text=""),
    "rules_lga_of_a_state": lambda: rule(about="lga", state=""),
    "rules_taken_back_are_ended": lambda: rule(is_taken_back=True),
    "rules_replaces_id_key": lambda: (rule(), twice(rule, replaces=Rule.objects.get(), ended_at=AT)),
    "rule_uses_identity": lambda: twice(
        RuleUse.objects.create,
        rule=Rule.objects.first() or rule(),
        batch=IngestBatch.objects.first() or batch(),
        line=2,
    ),
    "causes_identity": lambda: twice(Cause.objects.create, reason="ENUM:state", value_key="kanoo"),
    "ingest_batches_only_loaded_ones_are_reverted": lambda: batch(status="held", reverted_at=AT),
    "facilities_merged_is_deleted": lambda: facility(merged_into=facility(lga="Agege")),
    "patients_merged_is_deleted": lambda: patient(merged_into=patient(last_name="Eze")),
    "patients_erased_is_deleted": lambda: patient(erased_at=AT),
    "erasures_one_of_a_patient": lambda: twice(erasure),
    "erasures_by_two_persons": lambda: erasure(confirmed_by=someone(), confirmed_at=AT),
    "erasures_confirmed_by_somebody": lambda: erasure(confirmed_at=AT),
    "erasures_done_once_confirmed": lambda: erasure(done_at=AT),
    "erased_identities_identity": lambda: twice(
        ErasedIdentity.objects.create, patient_id=1, facility_id=1, name_key=FINGERPRINT, identity_key=FINGERPRINT
    ),
    "revisions_say_something": lambda: Revision.objects.create(table="patients", object_id=1),
    "audit_seals_are_a_chain": lambda: twice(seal, before=b"x"),
    "audit_seals_of_a_stretch_once": lambda: twice(seal),
    "audit_seals_of_something": lambda: seal(rows=0),
    "merges_one_survivor": lambda: (merge(survivor_id=1), merge(survivor_id=3)),
    "merges_table_is_known": lambda: merge(table="users"),
    "merges_of_two_rows": lambda: merge(survivor_id=2),
    "merges_event_id_key": lambda: twice(merge, event=deed(), undone_at=AT),
    "memberships_identity": lambda: twice(member),
    "memberships_role_is_known": lambda: member(role="king"),
    "memberships_state_is_known": lambda: member(state="ATLANTIS"),
    "memberships_lga_of_a_state": lambda: member(state="", lga="Dala"),
    "memberships_one_scope": lambda: member(facility=facility()),
    "program_tokens_digest_key": lambda: twice(ProgramToken.objects.create, user=someone(), digest=b"x", expires_at=AT),
    "index_keys_only_one": lambda: IndexKey.objects.create(id=2, key=b""),
    "program_tokens_role_is_known": lambda: program_token(role="king"),
    "program_tokens_lga_of_a_state": lambda: program_token(lga="Dala"),
    "program_tokens_one_scope": lambda: program_token(facility=facility(), state="KANO"),
    "logins_kind_is_known": lambda: log_in(kind="bird"),
    "logins_of_apps_have_a_refresh_token": lambda: log_in(kind="app"),
    "recovery_codes_identity": lambda: twice(RecoveryCode.objects.create, user=someone(), digest=b"x"),
    "idempotency_keys_identity": lambda: twice(
        IdempotencyKey.objects.create, user=someone(), route="/", key="k", body_digest=b"", status=200, body=b""
    ),
    "duplicate_pairs_identity": lambda: twice(pair),
    "duplicate_pairs_of_two": lambda: pair(high_id=1),
    "duplicate_pairs_table_is_known": lambda: pair(table="people"),
    "duplicate_pairs_where_they_are": lambda: (facility(), pair(other_facility=facility(lga="Agege"))),
    "duplicate_pairs_decided_by_somebody": lambda: pair(state="different"),
    "duplicate_pairs_merge_id_key": lambda: (merged_pair(low_id=1), merged_pair(low_id=2)),
    "duplicate_searches_table_is_known": lambda: DuplicateSearch.objects.create(**SEARCH | {"table": "people"}),
    "facility_shares_a_number_for_each_facility": lambda: BatchShare.objects.create(
        batch=batch(), facilities=[1, 2], rows=[1]
    ),
    "facility_signals_one_at_a_time": lambda: twice(signal, facility=facility()),
    "facility_signals_kind_is_known": lambda: signal(kind="asleep"),
    "facility_signals_state_says_until_when": lambda: signal(state="over"),
    "facility_signals_muted_for_a_reason": lambda: signal(state="muted", muted_until=AT.date()),
    "facility_signals_begin_first": lambda: signal(last_on=date(2026, 11, 19)),
    "term_decisions_kind_is_known": lambda: decision(kind="symptom"),
    "term_decisions_key_and_reason_filled": lambda: decision(reason=""),
    "term_passes_one_row": lambda: TermPass.objects.create(id=2, seen_until=AT, map_number=1),
    "term_decisions_whole_code": lambda: decision(code="B54"),
    "term_decisions_taking_back_codes_nothing": lambda: decision(
        takes_back=decision(), system="s", code="B54", display="Malaria"
    ),
    "term_decisions_takes_back_id_key": lambda: twice(decision, takes_back=decision()),
    "term_decisions_stay": lambda: (decision(), TermDecision.objects.update(reason="another")),
    "term_texts_identity": lambda: twice(term),
    "term_texts_kind_is_known": lambda: term(kind="symptom"),
    "term_texts_state_is_known": lambda: term(state="guessed"),
    "term_texts_unmapped_has_unknown": lambda: term(state="unmapped"),
    "term_counts_pkey": lambda: twice(TermCount.objects.create, text=term(), facility=facility(), times=1),
    "term_counts_times_from_1": lambda: TermCount.objects.create(text=term(), facility=facility(), times=0),
    "term_counts_of_a_text": lambda: TermCount.objects.create(text_id=1, facility=facility(), times=1),
    "term_counts_at_a_facility": lambda: TermCount.objects.create(text=term(), facility_id=1, times=1),
    "dhis2_org_units_uid": lambda: OrgUnit.objects.create(facility=facility(), uid="1st of them"),
    "dhis2_org_units_uid_key": lambda: [
        OrgUnit.objects.create(facility=facility(lga=lga), uid="aB345678901") for lga in ("Ikeja", "Agege")
    ],
    "dhis2_sendings_last_of_each": lambda: twice(sending, facility=facility()),
    "dhis2_sendings_state_is_known": lambda: sending(state="lost"),
    "dhis2_sendings_month_is_a_first_day": lambda: sending(month=date(2026, 10, 2)),
    "watched_days_add_up": lambda: WatchedDay.objects.create(day=AT.date(), watched_at=AT, facilities=2, silent=1),
    "monitor_results_one_a_day": lambda: twice(monitored),
    "monitor_results_verdict_is_known": lambda: monitored(verdict="odd", low=0, high=1),
    "monitor_results_judged_by_a_band": lambda: monitored(verdict="low"),
    "nightly_reports_one_a_night": lambda: twice(report),
    "nightly_reports_state": lambda: report(state="ATLANTIS"),
    "report_addressees_once_a_state": lambda: twice(addressee),
    "report_addressees_state": lambda: addressee(state="ATLANTIS"),
    "report_mails_one_each": lambda: twice(ReportMail.objects.create, report=report(), addressee=addressee()),
    "report_mails_sent_without_error": lambda: ReportMail.objects.create(
        report=report(), addressee=addressee(), sent_at=AT, error="OSError"
    ),
    "alerts_one_open_per_cause": lambda: twice(Alert.objects.create, cause="c", what="w", link="l"),
    "environment_one_row": lambda: Environment.objects.create(id=2, name="staging"),
    "environment_name": lambda: Environment.objects.create(name="elsewhere"),
    "wall_one_row": lambda: connection.cursor().execute("INSERT INTO wall VALUES (2, '{}', now(), '', '')"),
    "ingest_sources_source_key": lambda: twice(Source.objects.create, source="s", delivers="append"),
}


def monitored(**columns):
    known = {"day": AT.date(), "source": "s", "dataset": "patients", "measure": "volume", "value": 1, "among": 1}
    return MonitorResult.objects.create(**known | {"verdict": "learning"} | columns)


OURS = ("clinical", "ingestion", "analytics", "medilink")


def someone():
    return User.objects.get_or_create(username="someone")[0]


def report(**columns):
    known = {"night": AT.date(), "as_of": AT, "facts": {}, "pdf": b""}
    return NightlyReport.objects.create(**known | columns)


def addressee(**columns):
    return ReportAddressee.objects.create(**{"email": "a@example.org"} | columns)


def member(**columns):
    return Membership.objects.create(**{"user": someone(), "role": "clerk", "state": "KANO"} | columns)


def erasure(**columns):
    whose = Patient.objects.first() or patient()
    return Erasure.objects.create(**{"patient": whose, "why": "request", "asked_by": someone()} | columns)


def program_token(**columns):
    return ProgramToken.objects.create(**{"user": someone(), "digest": b"x", "expires_at": AT} | columns)


def log_in(**columns):
    return Login.objects.create(**{"user": someone(), "began_at": AT, "seen_at": AT} | columns)


def _other():
    return {"facility": Facility.objects.get(), "first_name": "A", "last_name": "B", "dob": date(1990, 1, 1)}


@pytest.mark.parametrize("name", BROKEN)
def test_the_database_refuses(name):
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        BROKEN[name]()
    broken = raised.value.__cause__.diag.constraint_name
    assert broken == name or (name == "patients_at_facility" and broken == "patients_pkey")


def test_every_constraint_of_our_tables_is_broken_above():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT conname FROM pg_constraint WHERE contype IN ('u', 'c') AND conrelid::regclass::text = ANY(%s)",
            [
                [
                    model._meta.db_table
                    for app in OURS
                    for model in apps.get_app_config(app).get_models()
                    if model is not User
                ]
            ],
        )
        names = {name for (name,) in cursor.fetchall()}
    assert {name for name in names if not re.search(r"_check\d*$", name)} <= set(BROKEN)


@pytest.mark.parametrize(
    "model", [Facility, FacilityAlias, Patient, PatientAlias, IngestBatch, RejectedRow, Rule, RuleUse]
)
def test_every_foreign_key_is_held_by_the_database(model):
    fields = [field for field in model._meta.local_fields if isinstance(field, ForeignKey)]
    keys = [field.column for field in fields if field.name != "arrived_as"]  # only an undone merge looks at it
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.attname FROM pg_constraint c JOIN pg_attribute a"
            " ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)"
            " WHERE c.contype = 'f' AND c.conrelid = %s::regclass",
            [model._meta.db_table],
        )
        assert {column for (column,) in cursor.fetchall()} >= set(keys)


def test_a_patient_who_moves_takes_the_events_along_and_leaves_an_alias():
    record()
    elsewhere = facility(lga="Agege")
    Patient.objects.update(facility=elsewhere)
    assert MedicalRecord.objects.get().facility == elsewhere
    assert PatientAlias.objects.get().facility != elsewhere


def test_every_id_is_a_bigint():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'id'"
            " AND data_type NOT IN ('bigint', 'uuid') AND table_name !~ '^(django|auth)_'"
        )
        assert cursor.fetchall() == []

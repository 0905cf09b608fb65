"""Whatever was done, all of it undone gives the tables as they were."""

import itertools
from datetime import date

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clinical import actions, audit, merging
from clinical.models import AuditEvent, Facility, Merge, Patient, TriageVisit
from ingestion import reverting, rulemaking, stewards
from ingestion.models import IngestBatch, RejectedRow
from ingestion.rulemaking import Proposal
from tests.deliveries import DIGESTS, deliver, deliver_all, night

NUMBERS = itertools.count(1)
DAYS = st.dates(date(2026, 11, 1), date(2026, 11, 20))
NAMES = ("Amina", "Aminat", "Musa", "Moussa", "Zainab")
PLACES = ("Kuje General Hospital", "Kuje Gen Hosp", "Ikeja Clinic", "Ikeja Clinik")
WORDS = ("Cough", "Fever", "Pain")
PATIENTS = "facility_name,first_name,last_name,sex,dob,phone\n"
VISITS = "facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,"
VISITS += "recommendations,visit_id\n"
EVERYTHING = (
    *DIGESTS,
    "select id, name, type, delivered, overridden, deleted_at is null, merged_into_id from facilities order by id",
    "select id, facility_id, first_name, phone, sex, delivered, overridden, deleted_at is null, merged_into_id,"
    " arrived_as_id from patients order by id",
    "select id, patient_id, facility_id, ordinal, arrived_as_id, fingerprint, deleted_at is null, batch_id, line"
    " from triage_visits order by id",
    "select facility_id, of_id, name_key, state, lga_key from facility_aliases order by id",
    "select patient_id, of_id, facility_id, first_name_key, last_name_key, dob from patient_aliases order by id",
    "select raw_sealed, cell_keys, reasons, corrections_sealed, state, became_id from rejected_rows order by id",
)

place, name = st.sampled_from(PLACES), st.sampled_from(NAMES)
patient_row = st.builds(
    "{},{},Bello,{},{},{}\n".format,
    place,
    name,
    st.sampled_from(["F", "M", "", "woman"]),
    st.sampled_from(["1990-01-01", "1991-02-02"]),
    st.sampled_from(["", "08031234567", "08037654321"]),
)
visit_row = st.builds(
    "{},{},Bello,{},{},,,,{}\n".format,
    place,
    name,
    st.sampled_from([1, 3, 9]),
    st.sampled_from(WORDS),
    st.sampled_from(["", "", "V1", "V2"]),
)
number = st.integers(0, 9)
step = st.one_of(
    st.tuples(st.just("patients"), st.lists(patient_row, min_size=1, max_size=4), DAYS),
    st.tuples(st.just("visits"), st.lists(visit_row, min_size=1, max_size=4), DAYS),
    st.tuples(st.just("edit"), number, number),
    st.tuples(st.just("delete"), number, number),
    st.tuples(st.just("correct"), number, number),
    st.tuples(st.just("rule"), number, number),
    st.tuples(st.just("merge"), number, number),
    st.tuples(st.just("merge places"), number, number),
    st.tuples(st.just("revert"), number, number),
)


def everything() -> list:
    with connection.cursor() as cursor:
        found = []
        for sql in EVERYTHING:
            cursor.execute(sql)
            found.append(cursor.fetchall())
    return found


class Steward:
    """Does what the steps say, and knows how to undo it."""

    def __init__(self, by) -> None:
        self.by = by
        self.undo: list = []

    def do(self, what, this, that) -> None:
        getattr(self, f"_{what.replace(' ', '_')}")(this, that)

    def undo_all(self) -> None:
        for undo in reversed(self.undo):
            undo()

    def _patients(self, lines, day) -> None:
        self._deliver(f"patients-{next(NUMBERS)}x-{day}.csv", PATIENTS + "".join(lines))

    def _visits(self, lines, day) -> None:
        self._deliver(f"triage_visits-{next(NUMBERS)}x-{day}.csv", VISITS + "".join(lines))

    def _deliver(self, key, text) -> None:
        last = IngestBatch.objects.latest("id").pk
        deliver(key, text)
        night()
        self._remember_batches(last)

    def _remember_batches(self, last) -> None:
        new = [*IngestBatch.objects.filter(pk__gt=last).order_by("-pk").values_list("pk", flat=True)]

        def revert() -> None:
            for batch in IngestBatch.objects.loaded().filter(pk__in=new).order_by("-pk"):
                if not IngestBatch.objects.filter(pk=batch.pk, reverted_at__isnull=False).exists():
                    reverting.revert(batch, reason="Undone.", by=self.by)

        self.undo.append(revert)

    def _edit(self, which, how) -> None:
        patient = _nth(Patient.objects.present(), which)
        changed = [{"phone": f"+23480312345{how:02}"}, {"last_name": f"Bello{how}"}, {"sex": "Other"}][how % 3]
        if patient and any(getattr(patient, column) != value for column, value in changed.items()):
            with audit.acting(self.by, "update", "patients", patient.pk) as event:
                Patient.objects.filter(pk=patient.pk).update(**changed)
            self.undo.append(lambda: actions.undo_deed(event, by=self.by))

    def _delete(self, which, _) -> None:
        visit = _nth(TriageVisit.objects.present(), which)
        if visit:
            self._deed(lambda: actions.mark_deleted(TriageVisit.objects.filter(pk=visit.pk), by=self.by))

    def _correct(self, which, _) -> None:
        row = _nth(RejectedRow.objects.filter(state="open"), which)
        if not row:
            return
        cells = {"facility_name": "Ikeja Clinic"} | (
            {"sex": "F"} if row.dataset == "patients" else {"triage_level": "2"}
        )
        rows = RejectedRow.objects.filter(pk=row.pk)
        self._deed(lambda: stewards.correct(rows, cells, by=self.by))
        last = IngestBatch.objects.latest("id").pk
        stewards.replay(rows, by=self.by)
        self._remember_batches(last)

    def _rule(self, which, whom) -> None:
        facility = _nth(Facility.objects.present(), whom)
        proposal = (
            Proposal("facility", PLACES[1 if which % 2 else 3], facility=facility)
            if which % 3
            else Proposal("sex", "woman", value="F")
        )
        try:
            with transaction.atomic():
                rule = rulemaking.save(proposal, by=self.by)
        except stewards.NotPossible:
            return
        rulemaking.apply(rule, by=self.by)
        self.undo.append(lambda: rulemaking.take_back(rule, why="Undone.", by=self.by))

    def _merge(self, one, other) -> None:
        self._merged(Patient, merging.merge_patients, one, other)

    def _merge_places(self, one, other) -> None:
        self._merged(Facility, merging.merge_facilities, one, other)

    def _merged(self, model, merge, one, other) -> None:
        pair = _nth(model.objects.present(), one), _nth(model.objects.present(), other)
        if not all(pair):
            return
        try:
            with transaction.atomic():
                made = merge(*pair, by=self.by)
        except merging.NotPossible:
            return
        self.undo.append(lambda: merging.unmerge(Merge.objects.get(pk=made.pk), by=self.by))

    def _revert(self, which, _) -> None:
        """Of a delivery, whenever nothing stands against it."""
        batch = _nth(IngestBatch.objects.loaded().exclude(pk__in=self.fixed), which)
        if batch:
            try:
                with transaction.atomic():
                    reverting.revert(batch, reason="Wrong.", by=self.by)
            except stewards.NotPossible:
                return

    def _deed(self, do) -> None:
        last = AuditEvent.objects.latest("id").pk if AuditEvent.objects.exists() else 0
        do()
        for event in AuditEvent.objects.filter(pk__gt=last, action__in=actions.UNDOABLE).order_by("id"):
            self.undo.append(lambda event=event: self._undo_deed(event))

    def _undo_deed(self, event) -> None:
        """A refused row goes with its file when that is taken back; then nothing is left of what was done to it."""
        if event.table != "rejected_rows" or RejectedRow.objects.filter(pk=event.object_id).exists():
            actions.undo_deed(event, by=self.by)


def _nth(rows, which):
    rows = [*rows.order_by("id")]
    return rows[which % len(rows)] if rows else None


def _undone(steps, by) -> None:
    with transaction.atomic():
        deliver_all(f"-{next(NUMBERS)}x-2026-11-20.csv")
        night()
        steward = Steward(by)
        steward.fixed = [*IngestBatch.objects.values_list("pk", flat=True)]
        before = everything()
        for one in steps:
            steward.do(*one)
        steward.undo_all()
        assert everything() == before
        transaction.set_rollback(True)


SLOW = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)


@pytest.mark.django_db
@given(steps=st.lists(step, min_size=1, max_size=7))
@settings(max_examples=8, deadline=None, suppress_health_check=SLOW)
def test_all_undone_gives_the_starting_digest(bucket, alice, steps):
    _undone(steps, alice)


@pytest.mark.drill
@pytest.mark.timeout(3600)
@pytest.mark.django_db
@given(steps=st.lists(step, min_size=3, max_size=12))
@settings(max_examples=150, deadline=None, suppress_health_check=SLOW, print_blob=True)
def test_all_undone_gives_the_starting_digest_however_long(bucket, alice, steps):
    _undone(steps, alice)

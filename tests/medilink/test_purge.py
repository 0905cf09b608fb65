import os
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from analytics.nightly_reports import NightlyReport
from clinical import history, rotation
from clinical.audit import verifying
from clinical.models import AuditEvent, IdempotencyKey, ProgramToken, Revision
from ingestion import fates, passport, stewards
from ingestion.models import IngestBatch, RejectedRow
from medilink import purge
from medilink.models import Alert
from tests.deliveries import PATIENTS, deliver, deliver_all, night
from tests.sealing import seal_all

pytestmark = pytest.mark.django_db(transaction=True)
OLD = timedelta(days=181)


@pytest.fixture
def settled(bucket, alice):
    """A row that was corrected and landed, and one that was dismissed; an open one. All were refused long ago."""
    deliver_all()
    rows = "".join(f"Kuje General Hospital,Zainab,Canary{n},woman,1990-01-0{n},\n" for n in (1, 2, 3))
    deliver("patients-more-2026-11-20.csv", PATIENTS + rows)
    night()
    landed, dismissed, still_open = RejectedRow.objects.filter(dataset="patients").order_by("line")
    stewards.correct(RejectedRow.objects.filter(pk=landed.pk), {"sex": "F"}, by=alice)
    stewards.replay(RejectedRow.objects.filter(pk=landed.pk), by=alice)
    stewards.dismiss(RejectedRow.objects.filter(pk=dismissed.pk), reason="Twice.", by=alice)
    for row in (landed, dismissed, still_open):
        row.refresh_from_db()
    RejectedRow.objects.filter(pk__in=[landed.pk, dismissed.pk]).update(settled_at=timezone.now() - OLD)
    return landed, dismissed, still_open


def test_cells_go_long_after_their_row_was_settled_and_the_row_stays(settled):
    assert purge.purge()["cells of refused rows"] == 2
    landed, dismissed, still_open = (RejectedRow.objects.get(pk=row.pk) for row in settled)
    assert (landed.raw, landed.corrections, landed.cell_keys, landed.state) == ({}, {}, {}, "replayed")
    assert (dismissed.reasons, dismissed.settled_why, dismissed.last_name_key) == (["ENUM:sex"], "Twice.", None)
    assert (still_open.raw["last_name"], still_open.last_name_key) == ("Canary3", settled[2].last_name_key)
    (event,) = AuditEvent.objects.filter(action="purge")
    assert (event.table, event.details["count"], event.actor) == ("rejected_rows", 2, None)


def test_what_was_purged_is_in_no_history(settled):
    landed = settled[0]
    assert any("corrections_sealed" in (r.became or {}) for r in Revision.objects.filter(object_id=landed.pk))
    purge.purge()
    kept = [*Revision.objects.filter(table="rejected_rows").values_list("was", "became")]
    assert not {"raw_sealed", "corrections_sealed"} & {key for pair in kept for doc in pair if doc for key in doc}
    assert all(change.columns == [] or change.at for change in history.of_row("rejected_rows", landed.pk))


def test_seals_hold_when_cells_are_sealed_anew_and_purged(settled, settings):
    seal_all()
    settings.DATA_KEYS = {"new": os.urandom(32), **settings.DATA_KEYS}
    assert rotation.rotate() > 0
    purge.purge()
    assert verifying.verify("").wrong == []


def test_a_row_whose_cells_are_gone_is_still_known_when_it_comes_again(settled):
    purge.purge()
    rows = "".join(f"Kuje General Hospital,Zainab,Canary{n},woman,1990-01-0{n},\n" for n in (1, 2, 3))
    deliver("patients-more-2026-11-21.csv", PATIENTS + rows + "Ikeja Clinic,Ada,Obi,F,1991-01-01,\n")
    night()
    assert RejectedRow.objects.filter(dataset="patients").count() == 3
    batch = IngestBatch.objects.get(object_key__endswith="patients-more-2026-11-21.csv", parent=None)
    assert fates.of_line(batch, 6).refused.pk == settled[1].pk


def test_a_passport_tells_that_the_cells_are_gone(settled, desk):
    told = passport.of_row("patients", settled[0].became_id)
    assert told.raw["last_name"] == "Canary1"
    purge.purge()
    told = passport.of_row("patients", settled[0].became_id)
    assert (told.raw, told.why_no_cells) == (None, passport.PURGED)
    assert "Canary" not in str(desk.get(f"/admin/ingestion/rejectedrow/{settled[0].pk}/change/").content)


def test_a_second_purge_and_a_dry_one_change_nothing(settled):
    counted = purge.purge(is_dry=True)
    assert counted["cells of refused rows"] == 2
    assert RejectedRow.objects.filter(raw_sealed=None).count() == 0
    assert purge.purge() == counted
    assert {*purge.purge().values()} == {0}
    assert AuditEvent.objects.filter(action="purge").count() == len([n for n in counted.values() if n])


def test_expired_keys_tokens_and_alerts_go(alice, capsys):
    now = timezone.now()
    for age in (timedelta(hours=23), timedelta(hours=25)):
        IdempotencyKey.objects.create(
            user=alice, route="/", key=str(age), body_digest=b"", status=200, body=b"", created_at=now - age
        )
    for days in (364, 366):
        ProgramToken.objects.create(user=alice, digest=bytes([days % 256]), expires_at=now - timedelta(days=days))
        Alert.objects.create(cause=str(days), what="w", link="l", closed_at=now - timedelta(days=days))
    Alert.objects.create(cause="open", what="w", link="l")
    call_command("purge")
    assert "1  answers to repeated requests" in capsys.readouterr().out
    left = IdempotencyKey.objects.count(), ProgramToken.objects.count(), Alert.objects.count()
    assert left == (1, 1, 2)


def test_reports_of_nights_are_kept_five_years(db):
    now = timezone.now()
    for years in (4, 6):
        night = (now - timedelta(days=366 * years)).date()
        report = NightlyReport.objects.create(night=night, as_of=now, facts={}, html="", pdf=b"", digest="0")
        NightlyReport.objects.filter(pk=report.pk).update(made_at=now - timedelta(days=366 * years))
    assert purge.purge()["nightly reports"] == 1
    assert NightlyReport.objects.get().night > (now - timedelta(days=366 * 5)).date()

"""The ways of correction files beside the input: a terminal, the night, and the stewards' desk."""

import io
import json
import zipfile

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.urls import reverse

import medilink.tasks
from clinical import logins
from clinical.models import AuditEvent, Facility, TriageVisit, User
from ingestion.models import IngestBatch, RejectedRow
from tests import scenes
from tests.deliveries import PATIENTS, night
from tests.ingestion.correction_files import KUJE, deliver_refused, give_back, is_line, put, written
from tests.ingestion.spreadsheet import table, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("refused")]


@pytest.fixture(scope="module")
def kept_refused(django_db_setup, django_db_blocker):
    with scenes.delivered(django_db_blocker, deliver_refused) as bucket:
        yield bucket


@pytest.fixture
def refused(kept_refused, s3):
    scenes.copied(kept_refused, s3.name)


def ended(*words):
    try:
        call_command("corrections", *map(str, words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_writes_a_folder_and_reads_a_file(refused, tmp_path, capsys):
    kuje = Facility.objects.get(name=KUJE).pk
    assert ended("write", "--facility", kuje, "--to", tmp_path) == 0
    (path,) = tmp_path.rglob("triage_visits-*.csv")
    noted = AuditEvent.objects.get(action="export", table="rejected_rows")
    assert (noted.rows, noted.details["command"]) == (
        RejectedRow.objects.filter(facility_id=kuje).count(),
        "corrections",
    )
    path.write_text(text_of(put(table(path.read_bytes()), "triage_level", is_line(2), "2")))
    capsys.readouterr()
    assert ended("read", path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["edited"], told["landed"], told["unedited"]) == (1, 1, 3)
    assert ended("read", path) == 0
    assert capsys.readouterr().out == "4 rows\n3 not edited, and left as they are\n1 settled before, and not touched\n"


def test_the_command_says_why_a_file_is_not_taken(refused, tmp_path, capsys):
    path = tmp_path / "patients.csv"
    path.write_text(PATIENTS)
    assert ended("read", path) == 1
    assert capsys.readouterr().out == "TOKENS_MISSING\n"
    assert ended("read", tmp_path / "nowhere.csv") == 2


def test_the_night_leaves_the_files_in_the_bucket(refused, s3):
    medilink.tasks.nightly()
    assert len(s3.keys(settings.S3_CORRECTIONS_PREFIX)) == 4
    night()
    assert len(s3.keys(settings.S3_CORRECTIONS_PREFIX)) == 4


def upload(client, rows, **answer):
    file = SimpleUploadedFile("corrected.csv", text_of(rows).encode(), "text/csv")
    return client.post(reverse("admin:ingestion_corrections_upload"), answer or {"file": file}, follow=True)


def test_an_upload_is_shown_first_and_then_done_in_the_steward_s_name(refused, desk, alice):
    shown = upload(desk, put(written(), "triage_level", is_line(2), "2"))
    assert "1 corrected" in shown.content.decode()
    assert TriageVisit.objects.count() == 0
    done = upload(desk, [], edits=shown.context["edits"])
    assert "1 landed, 0 are still refused." in done.content.decode()
    row = RejectedRow.objects.get(line=2, dataset="triage_visits")
    assert (row.state, row.settled_by) == ("replayed", alice)
    assert row.replay_batch.settled_by == alice
    assert "0 landed" in upload(desk, [], edits=shown.context["edits"]).content.decode()


def test_an_upload_that_is_no_correction_file_says_why(refused, desk):
    assert "TOKENS_MISSING" in upload(desk, [["name"], ["x"]]).content.decode()


def test_a_steward_s_file_touches_no_row_out_of_scope(refused, client):
    logins.create_user("kano-steward", "steward", state="KANO")
    client.force_login(User.objects.get(username="kano-steward"))
    shown = upload(client, put(written(), "triage_level", is_line(2), "2"))
    assert "4 with no token that is known here" in shown.content.decode()
    assert not shown.context["edits"]


def test_what_another_one_has_looked_at_cannot_be_sent(refused, desk, client):
    shown = upload(desk, put(written(), "triage_level", is_line(2), "2"))
    client.force_login(User.objects.create_superuser("bob", password="not-a-secret-of-anybody"))
    assert "too old" in upload(client, [], edits=shown.context["edits"]).content.decode()


def test_the_list_is_downloaded_as_it_is_filtered(refused, desk):
    address = reverse("admin:ingestion_corrections_download")
    one = desk.get(address, {"dataset__exact": "triage_visits", "reason": "FACILITY_NOT_FOUND"})
    assert one["Content-Disposition"].startswith('attachment; filename="triage_visits-corrections-')
    assert len(table(one.content)) == 2
    with zipfile.ZipFile(io.BytesIO(desk.get(address).content)) as archive:
        assert len(archive.namelist()) == 4
    assert "no open row" in desk.get(address, {"state__exact": "dismissed"}, follow=True).content.decode()


def test_who_may_only_look_gets_no_file(refused, client):
    logins.create_user("an-auditor", "auditor")
    User.objects.filter(username="an-auditor").update(is_staff=True)
    client.force_login(User.objects.get(username="an-auditor"))
    assert client.get(reverse("admin:ingestion_corrections_download")).status_code == 403
    assert client.get(reverse("admin:ingestion_corrections_upload")).status_code == 403


def test_the_page_on_a_batch_says_what_became_of_its_rows(refused, desk):
    give_back(put(written(), "triage_level", is_line(2), "2"))
    batch = IngestBatch.objects.filter(parent=None).latest("id")
    page = desk.get(reverse("admin:ingestion_ingestbatch_change", args=[batch.pk])).content.decode()
    assert "1 corrected: 1 landed, 0 refused" in page
    assert "Why it is held" not in page

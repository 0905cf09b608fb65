"""What a steward of one state sees of runs and senders: nothing that names another state's files."""

import pytest
from django.test import Client
from django.urls import reverse

from clinical.models import Membership, User
from ingestion.models import IngestRun, Kind, Source
from tests.ingestion import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def kano():
    user = User.objects.create_user("kano", is_staff=True)
    Membership.objects.create(user=user, role="steward", state="KANO")
    return user


@pytest.fixture
def client(kano, settings):
    settings.REQUIRE_TOTP = False
    browser = Client()
    browser.force_login(kano)
    return browser


def page(client, run):
    return client.get(reverse("admin:ingestion_ingestrun_change", args=[run.pk]))


def test_runs_are_the_nights_ones_own_and_those_with_a_file_of_the_state(client, kano):
    night = IngestRun.objects.create(kind=Kind.NIGHTLY, night_on="2026-11-20")
    own = IngestRun.objects.create(kind=Kind.MANUAL, requested_by=kano, prefix="medical_records/input/kano/")
    touching, other = (IngestRun.objects.create(kind=Kind.MANUAL) for _ in range(2))
    factories.batch(run=touching, folder="kano")
    factories.batch(run=other, folder="lagos")
    assert {*IngestRun.objects.visible_to(kano)} == {night, own, touching}
    assert [page(client, run).status_code for run in (night, own, touching, other)] == [200, 200, 200, 302]


def test_what_another_has_asked_for_and_why_it_broke_off_is_not_told(client, kano):
    asked = {"keys": ["medical_records/input/lagos/patients.csv"], "error": "No object lagos/patients.csv"}
    others = IngestRun.objects.create(kind=Kind.MANUAL, **asked)
    factories.batch(run=others, folder="kano")
    assert "lagos" not in page(client, others).content.decode()
    own = IngestRun.objects.create(kind=Kind.MANUAL, requested_by=kano, **asked)
    assert "No object lagos/patients.csv" in page(client, own).content.decode()


def test_sources_are_those_of_the_states_folders(client):
    for folder in ("kano/", "lagos/", ""):
        Source.objects.create(source=f"{folder}patients-*.csv", delivers="append")
    listed = client.get(reverse("admin:ingestion_source_changelist")).content.decode()
    assert "kano/patients" in listed
    assert "lagos/patients" not in listed

"""A patient with words of her own in every field stands where she may, and nowhere else. More: tests/lab/trail.py."""

import boto3
import pytest
import redis
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.test import Client

from clinical import vital_readings
from clinical.models import Facility, MedicalRecord, Patient, TriageVisit
from medilink import alerts
from medilink.models import Alert
from tests import deliveries, rows
from tests.callers import Caller
from tests.lab import canary, sinks
from tests.lab.canary import NAME, PHONE, STEM

KINDS = (b"list", b"hash", b"set", b"sorted", b"stream")
PEOPLE = "/admin/clinical/patient/"
SETS_OFF = {"delivered", "overridden"}  # filled by a trigger where source and people differ


def sql(query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def columns_of(model):
    """Those that hold what is said of a person."""
    said = (models.CharField, models.TextField, models.DateField, models.JSONField, ArrayField)
    for field in model._meta.concrete_fields:
        is_said = isinstance(field, said) and not isinstance(field, models.DateTimeField)
        if is_said and not field.choices and field.name not in SETS_OFF:
            yield f"{model._meta.db_table}.{field.column}"


@pytest.fixture
def valkey(settings):
    broker = redis.Redis.from_url(settings.REDIS_URL)
    broker.flushdb()
    yield broker
    broker.close()


@pytest.fixture
def went_through(transactional_db, bucket, alice, settings, mailoutbox):
    """She was delivered in every column, right and wrong, called for, refused, changed at the desk and told of."""
    settings.ALERT_EMAIL = ["stewards@example.org"]
    Facility.objects.create(**canary.CLINIC)
    for name, text in canary.files().items():
        deliveries.deliver(name, text)
    deliveries.night()
    vital_readings.read_due()
    rows.refresh_all()
    steward = Caller(("steward",))
    whole = canary.person(Facility.objects.get(name=canary.CLINIC["name"]).pk, f"{STEM}-made")
    answers = [steward.send("post", "/api/patients", whole) for _ in range(2)]
    answers += [steward.send("post", "/api/patients", whole | {name: [NAME]}) for name in whole]
    answers.append(Client().post("/admin/login/", {"username": NAME, "password": PHONE}))
    desk = Client()
    desk.force_login(alice)
    answers.append(desk.post(PEOPLE, {"q": NAME}))
    answers.append(desk.get(answers[-1]["Location"]))
    patient = Patient.objects.order_by("pk").first()
    page = desk.get(f"{PEOPLE}{patient.pk}/change/")
    fields = sinks.Page(page.content.decode()).fields | {"first_name": f"{STEM} again"}
    answers += [page, desk.post(f"{PEOPLE}{patient.pk}/change/", fields), desk.get(PEOPLE)]
    alerts.tell()
    assert {200, 201, 302, 400, 409} <= {answer.status_code for answer in answers}
    assert Alert.objects.count() == len(mailoutbox[0].body.split("\n\n")) > 3
    return answers, mailoutbox


def test_she_is_heard_of_nowhere_but_where_patients_are(went_through, valkey, settings):
    answers, mails = went_through
    found = {*sinks.columns_that_tell(sql)}
    assert found - canary.HERS == set()
    for model in (Patient, MedicalRecord, TriageVisit):
        assert {*columns_of(model)} - found == set()  # a field that is not filled shows nothing
    kept = tuple(getattr(settings, f"S3_{name}_PREFIX") for name in ("INPUT", "ARCHIVE", "HELD", "CORRECTIONS"))
    s3 = boto3.client("s3", endpoint_url=settings.S3_ENDPOINT_URL, region_name="us-east-1")
    assert sinks.objects_that_tell(s3, settings.S3_BUCKET_NAME, kept) == []
    assert sinks.keys_that_tell(valkey) == []
    assert [mail.body for mail in mails if canary.is_in(mail.message().as_bytes())] == []
    for answer in answers:
        assert sinks.headers_that_tell(answer.headers) == []
        assert not canary.is_in(answer.cookies.output())
        if answer.status_code >= 400:
            assert not canary.is_in(answer.content)
        elif answer.status_code == 200:
            assert [one for one in sinks.Page(answer.content.decode()).addresses if canary.is_in(one)] == []


# --- Each search finds what is there


@pytest.mark.parametrize(
    "said",
    [
        *canary.encodings(),
        *(f"of {text}." for text in (NAME, STEM.upper(), PHONE, "08031597531", "27/02/1903")),
        *("27%2F02%2F1903", '{"dob": "27\\/02\\/1903"}', "born 27 February 1903"),
    ],
)
def test_she_is_known_however_she_is_written(said):
    assert canary.is_in(said)


@pytest.mark.parametrize("said", ["", "Canary Wharf", "+2348031597530", "1903-02-28", "e" * 4000, "AAAA" * 4000])
def test_others_are_not_taken_for_her(said):
    assert not canary.is_in(said)


@pytest.mark.django_db
@pytest.mark.parametrize("said", [text.decode() for text in canary.encodings()])
def test_a_table_that_tells_of_her_is_found(said):
    Alert.objects.create(cause="x", what=said, link="")
    assert sinks.columns_that_tell(sql) == {"alerts.what": 1}


def test_a_broker_that_tells_of_her_is_found(valkey):
    with sinks.monitored(valkey) as sent:
        valkey.set(f"of {NAME}", "")
        valkey.lpush("list", canary.encodings()[2])
        valkey.hset("hash", "of", NAME)
        valkey.sadd("set", NAME)
        valkey.zadd("sorted", {NAME: 1})
        valkey.xadd("stream", {"of": NAME})
        valkey.set("other", "x")
        assert sorted(sinks.keys_that_tell(valkey)) == sorted([f"of {NAME}".encode(), *KINDS])
        valkey.flushdb()
    assert sum(map(canary.is_in, sent)) >= len(KINDS)


def test_a_bucket_that_tells_of_her_is_found(bucket, settings):
    s3 = boto3.client("s3", endpoint_url=settings.S3_ENDPOINT_URL, region_name="us-east-1")
    body = NAME.encode()
    s3.put_object(Bucket=bucket, Key="may/1", Body=body)
    s3.put_object(Bucket=bucket, Key="must-not/2", Body=body)
    s3.put_object(Bucket=bucket, Key=f"may/{STEM}", Body=b"")
    s3.put_object(Bucket=bucket, Key="may/3", Body=b"", Metadata={"of": STEM})
    s3.put_object(Bucket=bucket, Key="may/4", Body=b"", Tagging=f"of={STEM}")
    found = {"must-not/2", f"may/{STEM}", "may/3", "may/4"}
    assert {*sinks.objects_that_tell(s3, bucket, ("may/",))} == found


def test_a_page_or_an_answer_that_tells_of_her_is_found():
    page = f'<a href="?q={STEM}">x</a><form action="/{STEM}"><input name="q" value="{STEM}"></form><p>{STEM}</p>'
    assert sinks.Page(page).addresses == [f"?q={STEM}", f"/{STEM}"]
    assert sinks.headers_that_tell({"A": "x", "Set-Cookie": canary.encodings()[3].decode()}) == ["Set-Cookie"]

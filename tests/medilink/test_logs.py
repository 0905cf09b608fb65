"""What is logged: one line each, and nothing of a patient, whatever goes wrong."""

import base64
import json
import logging
import pickle
import subprocess
import sys
import threading
from uuid import uuid4

import pytest
from celery import shared_task
from celery.app.trace import build_tracer
from celery.contrib.testing.worker import start_worker
from django.core.exceptions import DisallowedHost, ValidationError
from django.db import IntegrityError, OperationalError, connection, transaction

from clinical.admin.patients import PatientAdmin
from clinical.api.patients import PatientViewSet
from clinical.models import Patient
from medilink import broker
from medilink.celery import app
from medilink.logs import of_error
from tests.callers import Caller
from tests.rows import facility, patient

CANARY = "Zainab-Canary"
logger = logging.getLogger("tests.logs")


def last(lines):
    return json.loads(lines[-1])


@pytest.mark.parametrize("text", ["a\r\nINJECTED", "a\x1b[31mred", "a\u2028b\u0085c", 'tab\tq"uote', "\x00"])
def test_a_record_is_one_line_whatever_stands_in_it(lines, text):
    logger.warning("File %s", text)
    assert last(lines)["message"] == f"File {text}"
    assert len(lines[-1].splitlines()) == 1
    assert lines[-1].isascii()
    assert lines[-1].isprintable()


def test_a_line_says_when_what_and_for_which_request(lines):
    logger.info("Batch %s", 17, extra={"colour": "red"})
    logger.error("Batch %s", 17)
    line = last(lines)
    assert line.keys() == {"time", "level", "logger", "request_id", "message"}
    assert (line["level"], line["logger"], line["message"]) == ("ERROR", "tests.logs", "Batch 17")
    assert line["time"].endswith("Z")


@pytest.mark.django_db
def test_an_error_is_told_by_its_kind_its_code_and_our_place(lines):
    clinic = facility()
    same = {"at": clinic, "first_name": CANARY, "last_name": CANARY}
    patient(**same)
    try:
        with transaction.atomic():
            patient(**same)
    except IntegrityError as error:
        logger.exception("Broke off: %s", error)
    line = last(lines)
    assert line["error"].startswith("django.db.utils.IntegrityError from psycopg2.errors.UniqueViolation")
    assert line["sqlstate"] == "23505"
    assert any(place.startswith("tests/rows.py:") for place in line["at"])
    assert CANARY not in "".join(lines)


FAULTS = [
    RuntimeError(CANARY),
    ValidationError({"first_name": CANARY}),
    OperationalError(f"canceling statement\nDETAIL: {CANARY}"),
    DisallowedHost(f"Invalid HTTP_HOST header: {CANARY!r}"),
    KeyError(CANARY),
    UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
]


@pytest.mark.django_db
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_whatever_breaks_a_request_its_words_are_written_nowhere(lines, desk, monkeypatch, fault):
    def fail(*_args, **_options):
        raise fault

    monkeypatch.setattr(PatientViewSet, "list", fail)
    monkeypatch.setattr(PatientAdmin, "get_queryset", fail)
    desk.raise_request_exception = False
    for path in ("/api/patients", "/admin/clinical/patient/"):
        answer = desk.get(path, headers={"Accept": "text/html" if "admin" in path else "application/json"})
        assert answer.status_code >= 400
        assert CANARY not in answer.content.decode()
        if answer.status_code == 500:
            assert answer["X-Request-ID"] in answer.content.decode()
    assert CANARY not in "".join(lines)
    assert "patient" in "".join(lines)  # the route, at least, is


@pytest.mark.django_db
def test_what_a_caller_writes_is_written_nowhere(lines, desk):
    steward = Caller(("steward",))
    clinic = facility()
    body = {"facility_id": clinic.pk, "first_name": CANARY, "last_name": "\u0000", "sex": "F", "dob": CANARY}
    assert steward.send("post", "/api/patients", body).status_code == 400
    assert steward.send("post", "/api/patients/search", {"name": CANARY, "nonsense": CANARY}).status_code == 400
    assert steward.get(f"/api/patients/{CANARY}").status_code == 404
    assert steward.get(f"/{CANARY}").status_code == 404
    assert steward.get("/api/patients", {"name": CANARY}).status_code == 400
    desk.post("/admin/clinical/patient/add/", {"first_name": CANARY, "dob": CANARY})
    assert lines
    assert CANARY not in "".join(lines)


@pytest.mark.django_db
def test_a_statement_that_takes_too_long_is_told_without_what_was_asked(lines):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 20")
        with pytest.raises(OperationalError) as slow, transaction.atomic():
            cursor.execute("SELECT pg_sleep(1), %s", [CANARY])
    logger.error("Too slow", exc_info=slow.value)
    assert last(lines)["sqlstate"] == "57014"
    assert CANARY not in lines[-1]


@shared_task(name="medilink.tests.fail")
def failing(_name):
    try:
        Patient(first_name=CANARY).save()
    except IntegrityError:
        raise ValueError(CANARY) from None


@pytest.mark.django_db
def test_a_task_that_fails_is_told_by_its_name_and_id(lines):
    task_id = str(uuid4())
    request = {"id": task_id, "is_eager": False, "hostname": "w", "argsrepr": repr([CANARY]), "delivery_info": {}}
    with transaction.atomic():
        build_tracer("medilink.tests.fail", failing, app=app)(task_id, [CANARY], {}, request)
    told = next(json.loads(line) for line in lines if "medilink.tests.fail" in line)
    assert task_id in told["message"]
    assert "ValueError" in told["error"]
    assert CANARY not in "".join(lines)


def test_the_last_words_of_a_process_are_a_line_too():
    code = (
        "import logging; from medilink import logs; logging.basicConfig(); logs.catch_last_words();"
        f"logging.getLogger().handlers[0].setFormatter(logs.Line()); raise ValueError({CANARY!r})"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stderr)["error"] == "ValueError"
    assert CANARY not in ended.stderr


def test_the_chain_of_causes_ends_even_where_it_is_a_ring():
    one, other = ValueError(), KeyError()
    one.__cause__, other.__cause__ = other, one
    assert of_error(one)["error"] == "ValueError from KeyError"


# --- Messages that no door of ours sends


class Boom:
    def __reduce__(self):
        return (open, ("/tmp/medilink-was-here", "w"))


def message(body, kind, task):
    """As it lies in Redis."""
    task_id = str(uuid4())
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "binary" if "pickle" in kind or "python" in kind else "utf-8",
        "content-type": kind,
        "headers": {"lang": "py", "task": task, "id": task_id, "argsrepr": CANARY, "kwargsrepr": "{}"},
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "celery"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
        },
    }


@pytest.mark.django_db(transaction=True)
def test_a_worker_refuses_and_counts_what_is_no_message_of_ours(lines):
    kept, waited = broker.counters(), threading.Event()
    kept.delete("celery", broker.REFUSED)
    pickled = pickle.dumps(([Boom()], {}, {}))
    asked = json.dumps([[CANARY], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
    for one in (
        message(pickled, "application/x-python-serialize", "medilink.tasks.tell"),
        message(asked, "application/json", "os.system"),
        message(asked, "application/json", "celery.map"),
    ):
        kept.lpush("celery", json.dumps(one))
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
        for _ in range(300):
            if int(kept.get(broker.REFUSED) or 0) == 3:
                break
            waited.wait(0.1)
    assert int(kept.get(broker.REFUSED)) == 3
    assert kept.llen("celery") == 0
    assert CANARY not in "".join(lines)
    assert "A message was refused" in "".join(lines)

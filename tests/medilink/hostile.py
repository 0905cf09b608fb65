"""Rows whose every text would run if a page believed it, and the address of every page of the desk that shows one."""

from datetime import date
from importlib import import_module

from django.conf import settings
from django.contrib import admin
from django.core.management import call_command
from django.urls import reverse

from clinical.duplicates import decisions
from clinical.models import AuditEvent, Facility, Patient
from ingestion import rulemaking
from ingestion.models import RejectedRow, Source
from ingestion.rulemaking import Proposal
from medilink.models import Alert
from tests.deliveries import deliver, night
from tests.rows import record, visit

PAYLOADS = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'-alert(1)-'", "{{7*7}}${alert(1)}")
RUNS = PAYLOADS[0]
DAY = date(2026, 11, 20)
NAMES = ("add", "change", "history", "delete")


def fill(by) -> None:
    """A night of files with such names and cells, what stewards write about them, and what the system tells then."""
    for number, payload in enumerate(PAYLOADS):
        cell = '"' + payload.replace('"', '""') + '"'
        deliver(
            f"facilities-{payload.replace('/', '')}-{number}.csv",
            f"name,state,lga,lat,lon,type\n{cell},KANO,Dala,,,{cell}\n{cell},{cell},{cell},x,y,{cell}\n",
        )
        deliver(
            f"patients-{number}{payload.replace('/', '')}.csv",
            f"facility_name,first_name,last_name,sex,dob,phone\n{cell},{cell},{cell},F,1990-01-01,{cell}\n"
            f"{cell},{cell},{cell},{cell},{cell},{cell}\nNowhere {cell[1:-1] if number else RUNS},A,B,F,1990-01-01,\n",
        )
    deliver(f"{RUNS.replace('/', '')}.csv", f"{RUNS},{RUNS}\n")
    night()
    there = Facility.objects.order_by("pk").first()
    people = [
        Patient.objects.create(
            facility=there, first_name=RUNS, last_name=payload, sex="F", dob=DAY, patient_number=RUNS
        )
        for payload in PAYLOADS
    ]
    record(people[0], DAY, diagnosis=RUNS, treatment=RUNS, medications=RUNS, notes=RUNS, record_type=RUNS)
    visit(people[0], DAY, chief_complaint=RUNS, vital_signs=RUNS, conditions=[RUNS], recommendations=[RUNS])
    decisions.propose(people[0], people[1])
    rulemaking.save(Proposal("facility", RUNS, facility=there, why=RUNS), by=by)
    RejectedRow.objects.update(settled_why=RUNS)
    Source.objects.get_or_create(source=RUNS)
    Alert.objects.create(cause="x", what=RUNS, link=f"/admin/{PAYLOADS[1]}")
    AuditEvent.objects.create(actor=by, action="update", table=RUNS, object_id="1", details={RUNS: RUNS})
    by.first_name = by.last_name = RUNS[:24]
    by.save()
    call_command("find_duplicates", "--all", verbosity=0)


def pages():
    """Every list, and each kind of page of its first row."""
    import_module(settings.ROOT_URLCONF)  # which fills the registry
    yield from ("/admin/", "/admin/ingestion/rejectedrow/causes/", "/admin/ingestion/rejectedrow/corrections/upload")
    for model, desk in admin.site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        yield reverse(f"{name}_changelist")
        first = model._default_manager.order_by("pk").first()
        there = {pattern.name for pattern in desk.get_urls()}
        for kind in NAMES if first else NAMES[:1]:
            if f"{name}_{kind}".removeprefix("admin:") in there:
                yield reverse(f"{name}_{kind}", args=[first.pk] if kind != "add" else [])
        if first and hasattr(desk, "check_undo"):
            yield reverse(f"{name}_change", args=[first.pk]).replace("change/", "origin/")

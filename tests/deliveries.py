"""Small deliveries as the web app would make them, and the night that loads them."""

from itertools import chain

from django.conf import settings
from django.db import connection

from ingestion import runs, sources
from ingestion.models import IngestBatch, Kind

FACILITIES = """name,state,lga,lat,lon,type
Kuje General Hospital,FCT,Kuje,8.8795,7.2276,Hospital
Ikeja Clinic,LAGOS,Ikeja,6.6018,3.3515,Clinic
Health Post,KANO,Dala,,,Health Post
Health Post,OYO,Iseyin,,,Health Post
"""
PATIENTS = """facility_name,first_name,last_name,sex,dob,phone
Kuje General Hospital,Amina,Bello,F,1990-01-01,07021000001
Kuje General Hospital,Musa,Bello,M,1988-05-05,
Ikeja Clinic,Ngozi,Okafor,F,1975-12-31,07021000002
"""
RECORDS = """facility_name,patient_first_name,patient_last_name,record_type,diagnosis,treatment,medications,notes
Kuje General Hospital,Amina,Bello,Consultation,Malaria,Rest,Artemether,
Kuje General Hospital,AMINA,bello,Consultation,Malaria,Rest,Artemether,
Ikeja Clinic,Ngozi,Okafor,Lab,,,,Hb 11
"""
VISITS = """facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,\
recommendations
Kuje General Hospital,Musa,Bello,2,Chest pain,BP: 150/90,Hypertension; Angina,Admit
Ikeja Clinic,Ngozi,Okafor,4,Cough,,,
"""
FILES = {"facilities": FACILITIES, "patients": PATIENTS, "medical_records": RECORDS, "triage_visits": VISITS}
DIGESTS = (
    "select name, state, lga, lat::text, type from facilities order by name_key, state, lga_key",
    "select f.name, first_name, last_name, sex, dob, phone from patients p join facilities f on f.id = p.facility_id"
    " order by f.name_key, f.state, first_name_key, last_name_key, dob",
    "select p.first_name, p.dob, record_type, data::text, recorded_at, ordinal from medical_records r"
    " join patients p on p.id = r.patient_id order by 1, 2, 3, 4, 5, 6",
    "select p.first_name, p.dob, triage_level, chief_complaint, conditions::text, visited_at, ordinal"
    " from triage_visits v join patients p on p.id = v.patient_id order by 1, 2, 3, 4, 5, 6, 7",
)


def deliver(name: str, text: str | bytes) -> None:
    sources.upload(settings.S3_INPUT_PREFIX + name, text if isinstance(text, bytes) else text.encode())


def deliver_all(suffix: str = "-2026-11-20.csv") -> None:
    for dataset, text in FILES.items():
        deliver(dataset + suffix, text)


def night(**options):
    """One run that a person starts; its outcome."""
    return runs.carry_out(runs.request(Kind.MANUAL), **options)


def last_batch(dataset: str) -> IngestBatch:
    return IngestBatch.objects.filter(dataset=dataset).latest("id")


def counts(batch: IngestBatch) -> tuple[int, ...]:
    """(read, inserted, updated, unchanged, collapsed, rejected)"""
    return (
        *(batch.rows_read, batch.inserted, batch.updated),
        *(batch.unchanged, batch.collapsed, batch.rejected),
    )


def digest() -> list[tuple]:
    """All that the clinical tables say, without surrogate ids and instants of loading."""
    with connection.cursor() as cursor:
        found = []
        for sql in DIGESTS:
            cursor.execute(sql)
            found.append(cursor.fetchall())
    return [*chain(found)]


def empty_tables() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "TRUNCATE facilities, patients, medical_records, triage_visits, ingest_batches, ingest_runs,"
            " rejected_rows, ingest_sightings, facility_aliases, patient_aliases RESTART IDENTITY CASCADE"
        )

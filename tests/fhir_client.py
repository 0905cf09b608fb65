"""What fhirpy and fhirclient, which know nothing of us, make of /fhir: ADDRESS TOKEN. Run by tests/validate_fhir.py."""

import sys

from fhirpy import SyncFHIRClient

address, token = sys.argv[1:]
client = SyncFHIRClient(address, authorization=f"Bearer {token}")
patients = client.resources("Patient").limit(50).fetch()
everyone = sum(1 for _ in client.resources("Patient").limit(500))
# Its way to count has a parameter of one server's own.
lenient = SyncFHIRClient(address, authorization=f"Bearer {token}", extra_headers={"Prefer": "handling=lenient"})
counted = lenient.resources("Patient").count()
print(f"fhirpy: {len(patients)} patients on a page, {everyone} by following the pages, {counted} counted")
assert everyone == counted
followed = 0
for patient in patients[:10]:
    for encounter in client.resources("Encounter").search(patient=patient.id).fetch_all():
        assert encounter["subject"].to_resource()["id"] == patient.id
        observed = client.resources("Observation").search(encounter=encounter.id).fetch_all()
        followed += 1 + len(observed)
print(f"fhirpy: {followed} encounters and observations, each followed back to its patient")
try:
    client.resources("Patient").search(nmae="x").fetch()
except Exception as error:
    print(f"fhirpy: a wrong parameter is {type(error).__name__}")
else:
    sys.exit("a wrong parameter was taken")

try:
    from fhirclient.client import FHIRClient
    from fhirclient.models.encounter import Encounter
    from fhirclient.models.patient import Patient
except ImportError:
    sys.exit(0)
smart = FHIRClient(settings={"app_id": "drill", "api_base": address})
smart.server.session.headers["Authorization"] = f"Bearer {token}"
read = Patient.read(patients[0].id, smart.server)
found = Encounter.where({"patient": read.id}).perform_resources(smart.server)
print(f"fhirclient: patient {read.id} read and parsed, with {len(found)} encounters")

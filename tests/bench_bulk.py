"""What a bulk export costs: seconds, resources a second, and how flat its memory stays. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_bulk --help
"""

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

from tests import own_database

# Of ten resources: a patient's one, three of a record, and twice three of a visit.
ROWS = """
INSERT INTO facilities (name, state, lga, lga_name) SELECT 'Clinic ' || n, 'KANO', 'Dala', 'Dala'
FROM generate_series(1, 100) n;
INSERT INTO patients (facility_id, first_name, last_name, sex, dob)
SELECT f.id, 'Ngozi', 'Okafor ' || n, 'F', date '1960-01-01' + n % 20000
FROM generate_series(1, {tenth}) n
JOIN (SELECT id, row_number() OVER () AS nth FROM facilities) f ON f.nth = 1 + n % 100;
INSERT INTO medical_records (patient_id, facility_id, data, recorded_at, fingerprint)
SELECT id, facility_id,
    '{{"diagnosis": "Malaria", "treatment": null, "medications": "Artemether 20mg", "notes": null}}',
    timestamptz '2026-01-01' + id * interval '1 minute', gen_random_uuid() FROM patients;
INSERT INTO triage_visits
    (patient_id, facility_id, triage_level, conditions, recommendations, visited_at, fingerprint)
SELECT p.id, p.facility_id, 1 + p.id % 5, '{{Malaria}}', '{{}}', timestamptz '2026-01-01' + p.id * interval '1 minute',
    gen_random_uuid() FROM patients p, generate_series(1, 2);
ANALYZE;
"""
COUNTS = {
    "Patient": "SELECT count(*) FROM patients",
    "Encounter": "SELECT (SELECT count(*) FROM medical_records) + (SELECT count(*) FROM triage_visits)",
    "Condition": "SELECT (SELECT count(*) FROM medical_records WHERE data->>'diagnosis' > '')"
    " + (SELECT sum(cardinality(conditions)) FROM triage_visits)",
    "MedicationStatement": "SELECT count(*) FROM medical_records WHERE data->>'medications' > ''",
    "Observation": "SELECT count(*) FROM triage_visits",
    "Organization": "SELECT count(*) FROM facilities",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--resources", type=int, default=1_000_000, help="about so many")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        own_database.provide(FHIR_EXPORT_FOLDER=folder)
        measure(options.resources, Path(folder))


def measure(resources: int, folder: Path) -> None:
    from django.db import connection  # after django.setup()

    from clinical.fhir.bulk import claims, jobs
    from clinical.fhir.registry import registry
    from clinical.models import FhirExport, FhirExportPart, User
    from medilink import fhir

    assert fhir.registry is registry
    with connection.cursor() as cursor:
        cursor.execute(ROWS.format(tenth=resources // 10))
    user = User.objects.create_superuser("alice")
    types = [name for name in registry if name not in ("AuditEvent", "Group")]
    export = FhirExport.objects.create(user=user, level="system", types=types, request="/")
    seen: list[int] = []
    add = claims.Claim.add

    def adding(claim: claims.Claim, **part: Any) -> None:
        add(claim, **part)
        seen.append(resident())

    claims.Claim.add = adding  # type: ignore[method-assign]  # to look at the memory after each part
    began = perf_counter()
    jobs.carry_out(export.pk)
    took = perf_counter() - began
    export.refresh_from_db()
    made: Counter[str] = Counter()
    for part in FhirExportPart.objects.all():
        made[part.type] += part.resources
    total, size = sum(made.values()), sum(path.stat().st_size for path in folder.rglob("*.gz"))
    print(f"{export.status}: {total} resources in {len(seen)} parts, {size / 2**20:.0f} MiB, {took:.0f} s")
    print(f"{total / took:.0f} resources/s; RSS {seen[0]} MiB after the first part, at most {max(seen)} MiB")
    for name, sql in COUNTS.items():
        with connection.cursor() as cursor:
            cursor.execute(sql)
            print(f"{name}: {made[name]}, by SQL {cursor.fetchone()[0]}")


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


if __name__ == "__main__":
    main()

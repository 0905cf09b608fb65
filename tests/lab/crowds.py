"""Nights of many small files, invented by a seed; needs no Django."""

import random
from datetime import date, timedelta


def many_files(seed: int, *, folders: int, people: int = 12) -> dict[str, bytes]:
    """Facilities in one file, then per folder a file of each other dataset; the same for the same seed."""
    chance = random.Random(seed)
    day = date(2026, 11, 20)
    facilities = ["name,state,lga,lat,lon,type"]
    files: dict[str, list[str]] = {}
    for n in range(folders):
        facilities.append(f"Clinic {n},KANO,Dala,,,Clinic")
        patients = ["facility_name,first_name,last_name,sex,dob,phone"]
        records = [
            "facility_name,patient_first_name,patient_last_name,record_type,diagnosis,treatment,medications,notes"
        ]
        visits = [
            "facility_name,patient_first_name,patient_last_name,triage_level,chief_complaint,vital_signs,conditions,"
            "recommendations"
        ]
        for k in range(people):
            born = day - timedelta(days=chance.randrange(1, 30_000))
            patients.append(f"Clinic {n},Amina {k},Bello,F,{born},0803{chance.randrange(10**7):07}")
            for _ in range(chance.randrange(3)):
                records.append(f"Clinic {n},Amina {k},Bello,Lab,Malaria {chance.randrange(99)},Rest,,")
                level = 9 if chance.random() < 0.03 else chance.randrange(1, 6)
                visits.append(f"Clinic {n},Amina {k},Bello,{level},Cough {chance.randrange(99)},,,")
        files |= {f"f{n}/patients-{day}.csv": patients}
        files |= {f"f{n}/medical_records-{day}.csv": records, f"f{n}/triage_visits-{day}.csv": visits}
    return {
        name: ("\n".join(rows) + "\n").encode() for name, rows in {f"facilities-{day}.csv": facilities, **files}.items()
    }

"""A small night whose clean outcome is known, with a row of each fate in it."""

from tests.deliveries import FACILITIES, PATIENTS, RECORDS, VISITS

DIRT = "Kuje General Hospital,Nobody,Known,2,Cough,,,\nKuje General Hospital,Amina,Bello,9,Cough,,,\n"


def one_night(suffix: str = "-2026-11-20.csv") -> dict[str, bytes]:
    """The four files, with two visits that are refused."""
    files = {"facilities": FACILITIES, "patients": PATIENTS, "medical_records": RECORDS, "triage_visits": VISITS + DIRT}
    return {dataset + suffix: text.encode() for dataset, text in files.items()}

"""Refused rows of every kind that a spreadsheet can spoil, their correction files, and the way of one back."""

from datetime import date

from ingestion.corrections import lists
from ingestion.models import IngestBatch, RejectedRow
from tests.deliveries import FACILITIES, PATIENTS, VISITS, deliver, night
from tests.ingestion.spreadsheet import table, text_of

KUJE = "Kuje General Hospital"
HEADER = VISITS.splitlines()[0] + ",patient_dob,patient_phone,visit_id,visited_at"
VISIT_ROWS = (
    f"{KUJE},Musa,Bello,9,Chest pain,BP: 150/90,Hypertension; Angina,Admit,1988-05-05,08031234567,0017,"
    "2026-11-18 09:30:00",
    f'{KUJE},Amina,Bello,3.0,=SUM(A1),12/8,,"Rest, and\nwater",01/01/1990,2348031234567,007,',
    f"{KUJE},Amina,Bello,,,,,,1990-01-01,,12345678901234567,",
    f"{KUJE},Nobody,Bello,2,'=quoted,+5,true,,,,1E5,",
    "Kuje Genral Hospital,Amina,Bello,2,\u1eccl\u00e1 \u201cx\u201d,5.0,,,,,,2026-11-18",
)
PATIENT_ROWS = (
    f"{KUJE},Zainab,Sani,F,05/01/1990,0",
    f"{KUJE},Ladi,Musa,female?,1991-02-03,08031234567",
    "Health Post,Ladi,Musa,F,1991-02-03,",
)


def deliver_refused():
    """Eight refused rows: four visits and two patients of Kuje, one of each where the facility is not known."""
    deliver("facilities-2026-11-01.csv", FACILITIES)
    deliver("patients-2026-11-01.csv", PATIENTS)
    deliver("fct/triage_visits-2026-11-20.csv", "\n".join([HEADER, *VISIT_ROWS]) + "\n")
    deliver("sender/patients-2026-11-20.csv", "\n".join([PATIENTS.splitlines()[0], *PATIENT_ROWS]) + "\n")
    night()
    assert RejectedRow.objects.count() == 8


def written(dataset="triage_visits", **which):
    """The morning's file of one facility, as rows of text."""
    which = which or {"facility__name": KUJE}
    (file,) = lists.files(RejectedRow.objects.filter(dataset=dataset, **which), date(2026, 11, 26))
    return table(file.body)


def give_back(rows, name="fct/triage_visits-corrections-2026-11-26.csv", **as_saved):
    """Dropped into the input; the batch's evidence."""
    deliver(name, text_of(rows, **as_saved))
    night()
    batch = IngestBatch.objects.filter(parent=None).latest("id")
    assert (batch.status, batch.rows_read, batch.reasons) == ("archived", 0, [])
    told = batch.evidence["corrections"]
    parts = ("edited", "unedited", "settled_before", "unknown_tokens", "contradictory")
    assert told["rows"] == sum(told[part] for part in parts)
    assert told["edited"] == told["landed"] + told["still_refused"]
    return told


def put(rows, column, where, cell):
    """Types the cell into each row of the file for which `where` holds of its cells."""
    header, *below = rows
    at = header.index(column)
    return [
        header,
        *([*row[:at], cell, *row[at + 1 :]] if where(dict(zip(header, row, strict=True))) else row for row in below),
    ]


def is_line(number):
    return lambda row: row["line"] == str(number)

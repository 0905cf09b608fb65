"""The staging views leave out whom a restriction hides, and so do the marts and the views of bi made of them."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


def _as_before(view: str) -> str:
    return (SQL / f"{view}.sql").read_text().replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_row_security"), ("clinical", "0014_data_subjects")]
    operations = [
        migrations.RunSQL((SQL / f"{view}_v2.sql").read_text(), _as_before(view))
        for view in ("stg_patients", "stg_medical_records", "stg_triage_visits")
    ]

"""What medilink/wall.py keeps: one row, which only the owner reads and writes."""

from django.db import migrations

TABLE = """
CREATE TABLE wall (
    id bigint PRIMARY KEY DEFAULT 1 CONSTRAINT wall_one_row CHECK (id = 1),
    digests jsonb NOT NULL,
    written_at timestamptz NOT NULL,
    written_by text NOT NULL,
    release text NOT NULL
)
"""


class Migration(migrations.Migration):
    dependencies = [("medilink", "0015_restore_drills")]
    operations = [migrations.RunSQL(TABLE, "DROP TABLE wall")]

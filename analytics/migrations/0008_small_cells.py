"""condition_analysis hides from analysts what sums and totals would tell (analytics/disclosure).

The views of bi and scoped stand on the mart, and are made again with it.
"""

from importlib import import_module
from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"
SCOPED = import_module("analytics.migrations.0004_row_security")
NAMES = ("condition_analysis", "suppressed_condition_analysis")
DROP = """
DROP VIEW scoped.suppressed_condition_analysis;
DROP VIEW scoped.condition_analysis;
DROP VIEW bi.condition_analysis;
DROP MATERIALIZED VIEW marts.condition_analysis;
"""


def _scoped(name: str) -> str:
    mart, condition = SCOPED.SCOPED[name]
    where = condition.format(resource="analytics")
    return f"CREATE VIEW scoped.{name} WITH (security_barrier) AS SELECT * FROM {mart} WHERE {where};"


def _made(version: str) -> str:
    files = (f"condition_analysis{version}", f"bi_condition_analysis{version}", "bi_comments")
    return DROP + "\n".join([*((SQL / f"{file}.sql").read_text() for file in files), *map(_scoped, NAMES)])


class Migration(migrations.Migration):
    dependencies = [("analytics", "0007_publications")]
    operations = [
        migrations.RunSQL(_made("_v2"), _made("")),
    ]

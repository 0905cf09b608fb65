"""condition_analysis hides from analysts what sums and totals would tell (analytics/disclosure).

The views of bi and scoped stand on the mart, and are made again with it.
"""

from importlib import import_module
from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"
SCOPED = import_module("analytics.migrations.0004_row_security")
NAMES = ("condition_analysis", "suppressed_condition_analysis")
# The dashboard's conditions: all states, a few months (migration 0006).
OF_MONTHS = "CREATE INDEX condition_analysis_month ON marts.condition_analysis (month);"
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
    files = (f"condition_analysis{version}", f"bi_condition_analysis{version}", "metric_comments", "bi_comments")
    return DROP + "\n".join([*((SQL / f"{file}.sql").read_text() for file in files), *map(_scoped, NAMES), OF_MONTHS])


# What publications keep of it, and tell analysts.
KEEPS = """
ALTER TABLE published.condition_analysis ADD COLUMN shows_share boolean NOT NULL DEFAULT false;
ALTER TABLE published.conditions
    ADD COLUMN shows_total boolean NOT NULL DEFAULT false,
    ADD COLUMN shown_frequency_rank bigint,
    ADD COLUMN shown_severity_rank bigint;
"""
KEEPS_NOT = """
ALTER TABLE published.conditions
    DROP COLUMN shows_total, DROP COLUMN shown_frequency_rank, DROP COLUMN shown_severity_rank;
ALTER TABLE published.condition_analysis DROP COLUMN shows_share;
"""
PUBLISHED = import_module("analytics.migrations.0007_publications")
TOLD = PUBLISHED.view("suppressed_condition_analysis")
DROP_TOLD = "DROP VIEW scoped.published_suppressed_condition_analysis;"
TOLD_NOW = (
    TOLD.replace("c.condition_total,", "CASE WHEN c.shows_total THEN c.condition_total END AS condition_total,")
    .replace("c.frequency_rank,", "c.shown_frequency_rank AS frequency_rank,")
    .replace("c.severity_rank,", "c.shown_severity_rank AS severity_rank,")
    .replace("WHEN NOT l.is_small THEN l.share", "WHEN NOT l.is_small AND l.shows_share THEN l.share")
)


class Migration(migrations.Migration):
    dependencies = [("analytics", "0008_quality")]
    operations = [
        migrations.RunSQL(_made("_v2"), _made("")),
        migrations.RunSQL(KEEPS, KEEPS_NOT),
        migrations.RunSQL(DROP_TOLD + TOLD_NOW, DROP_TOLD + TOLD),
    ]

"""Describes schema bi for a tool: Metabase (JSON), Superset (a ZIP for its import) or dbt (sources.yml)."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from analytics.description import schema, tools
from ingestion.doors import Door


class Command(Door):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", required=True, choices=[*tools.FORMATS])
        parser.add_argument("--to", required=True, type=Path, metavar="FILE")

    def handle(self, *_: Any, **options: Any) -> None:
        relations = schema.read()
        options["to"].write_bytes(tools.FORMATS[options["format"]](relations))
        columns = sum(len(relation.columns) for relation in relations)
        self.stdout.write(f"{len(relations)} relations with {columns} columns")

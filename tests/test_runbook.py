"""RUNBOOK.md has a section for whatever may be told at night, and what it says to type can be typed."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from ingestion.models import STOPPED
from medilink.doctor import checks
from medilink.doctor.findings import KINDS

ROOT = Path(__file__).resolve().parent.parent
RUNBOOK = (ROOT / "RUNBOOK.md").read_text() if (ROOT / "RUNBOOK.md").exists() else ""
RULES = ROOT / "medilink" / "monitoring" / "alert_rules.yml"


def _causes():
    """The kinds that medilink/alerts.py tells of, as they stand in its text: what comes before the colon of a key."""
    for call in ast.walk(ast.parse((ROOT / "medilink" / "alerts.py").read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Cause":
            key = call.args[0]
            begin = key.values[0] if isinstance(key, ast.JoinedStr) else key
            kind = begin.value.partition(":")[0]
            yield from [kind + status for status in STOPPED] if kind == "batch-" else [kind]


CAUSES = set(_causes())

"""RUNBOOK.md has a section for whatever may be told at night, and what it says to type can be typed."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from ingestion.models import STOPPED
from medilink.doctor import checks, findings

ROOT = Path(__file__).resolve().parent.parent
RUNBOOK = (ROOT / "RUNBOOK.md").read_text()
RULES = ROOT / "medilink" / "monitoring" / "alert_rules.yml"
FENCED = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
STANDS_FOR = {"ID": "1", "DATE": "2026-11-20"}


def _causes():
    """The kinds that medilink/alerts.py tells of, as they stand in its text: what comes before the colon of a key."""
    for call in ast.walk(ast.parse((ROOT / "medilink" / "alerts.py").read_text())):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "Cause":
            key = call.args[0]
            begin = key.values[0] if isinstance(key, ast.JoinedStr) else key
            kind = begin.value.partition(":")[0]
            yield from [kind + status for status in STOPPED] if kind == "batch-" else [kind]


CAUSES = set(_causes())


def anchors():
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", RUNBOOK), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


def commands():
    inside = [line for block in FENCED.findall(RUNBOOK) for line in block.splitlines()]
    inline = [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", FENCED.sub("", RUNBOOK))]
    found = (re.search(r"(?:^| )(?:\S*/)?manage\.py ([a-z_]+ ?[^|;#]*)", line) for line in [*inside, *inline])
    return sorted({match[1].strip() for match in found if match})


def test_every_anchor_is_one_place():
    assert len(anchors()) == len(set(anchors()))


def test_each_thing_that_the_doctor_can_find_has_its_section():
    checks.load()
    assert set(findings.KINDS) - set(anchors()) == set()


def test_each_cause_of_an_alert_has_its_section():
    assert len(CAUSES) > 10
    assert CAUSES - set(anchors()) == set()


@pytest.mark.skipif(not RULES.is_file(), reason="there are no alert rules yet")
def test_each_rule_of_prometheus_has_its_section_and_names_it():
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    named = {rule["alert"]: rule["annotations"]["runbook"] for rule in rules}
    assert named == {name: f"RUNBOOK.md#{name.lower()}" for name in named}
    assert {name.lower() for name in named} - set(anchors()) == set()


def test_each_alarm_of_cloudwatch_has_its_section():
    text = (ROOT / "terraform" / "alarms.tf").read_text()
    named = set(re.findall(r"^      ([a-z-]+) = \{$", text, re.MULTILINE))
    hosts = {f"host-cpu-{host}" for host in ("first", "second")}
    assert len(named) >= 9
    assert '"host-cpu-${host}"' in text
    assert (named | hosts) - set(anchors()) == set()


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", RUNBOOK)
    inside = {link[1:] for link in links if link.startswith("#")}
    assert inside - set(anchors()) == set()
    files = {link.partition("#")[0] for link in links if not link.startswith("#")}
    assert files <= {"README.md", "SCALE.md"}


@pytest.mark.parametrize("line", commands())
def test_what_is_to_be_typed_is_understood(line):
    name, *words = shlex.split(line)
    command = load_command_class(get_commands()[name], name)
    command.create_parser("manage.py", name).parse_args([STANDS_FOR.get(word, word) for word in words])


def test_there_is_something_to_type():
    assert len(commands()) > 30


def test_a_plain_process_of_the_web_is_started_as_the_image_starts_it():
    def options(text):
        words = re.search(r"granian (--interface.*?medilink\.wsgi:application)", text, re.DOTALL)[1]
        return re.sub(r'--(host|port) \S+|[\\\n"]', "", words).split()

    assert options(RUNBOOK) == options((ROOT / "Dockerfile").read_text())

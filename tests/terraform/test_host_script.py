"""What a host does at its start: looked through by shellcheck, and run with stand-ins for aws, docker and curl."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.terraform.reading import FOLDER, Configuration

SCRIPT = (FOLDER / "user_data.sh").read_text()
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SITE = {"SECRET_KEY": "s" * 64, "DATA_KEYS": "first:AAAA=", "POSTGRES_WEB_PASSWORD": "w@b"}
STAND_INS = {
    # The last word is told apart by the secret's name.
    "aws": """case "$*" in
        *medilink/site*) cat "$HERE/site.json" ;;
        *medilink/database*) echo owner ;;
        *medilink/broker*) echo 'rediss://:token@broker:6379/0?ssl_cert_reqs=required' ;;
        *get-login-password*) echo password ;;
    esac
    case "$*" in secretsmanager*) ;; *) echo "aws $*" >> "$HERE/calls" ;; esac""",
    # `web` says which containers run; one that is added is as healthy as `health` says.
    "docker": """echo "docker $*" >> "$HERE/calls"
    case "$*" in
        login*) cat > /dev/null ;;
        "compose ps --quiet web") cat "$HERE/web" 2> /dev/null || true ;;
        *--no-recreate*) printf 'new1\\nnew2\\n' >> "$HERE/web" ;;
        inspect*) cat "$HERE/health" ;;
    esac""",
    "sleep": "true",
    "curl": "echo i-0123",
}


def rendered(**values):
    """As templatefile() fills it in."""
    names = {name: f"of-{name}" for name in re.findall(r"(?<!\$)\$\{(\w+)\}", SCRIPT)} | values
    text = re.sub(r"(?<!\$)\$\{(\w+)\}", lambda match: names[match[1]], SCRIPT)
    return text.replace("$${", "${")


def inner(name, text):
    """A script that it writes."""
    (found,) = re.findall(rf"cat > {name} <<'END'\n(.*?)\nEND\n", text, re.DOTALL)
    return found


@pytest.mark.parametrize("name", ["", "start", "measure"])
def test_shellcheck_finds_nothing(name):
    text = inner(name, rendered()) if name else SCRIPT
    # SC1091: ./names is written by the same script.
    found = subprocess.run([SHELLCHECK, "--exclude=SC1091,SC2154", "-"], input=text, capture_output=True, text=True)
    assert found.stdout == ""


def test_everything_that_is_filled_in_is_given():
    template = Configuration().of("aws_launch_template")["host"]["user_data"]
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)\}", SCRIPT))
    assert wanted == {*re.findall(r"(\w+) = ", template)}


def test_it_is_as_small_as_aws_takes_it():
    # Incompressible in its place: the compose file is packed already. AWS takes 16 KB, before base64.
    compose = gzip.compress((FOLDER.parent / "docker-compose.yml").read_bytes())
    assert len(gzip.compress(SCRIPT.encode())) + len(compose) * 4 / 3 + 1500 < 16 * 1024


@pytest.fixture
def host(tmp_path):
    """Runs `start` as the first host, or as another one."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed: what a host's start does with its secrets was not tried")
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "site.json").write_text(json.dumps(SITE))
    (tmp_path / "settings.env").write_text("SITE_HOST=medilink.example.org\n")

    def start(is_first):
        names = {
            "region": "af-south-1",
            "image": "1.dkr.ecr.af-south-1.amazonaws.com/medilink:1",
            "is_first": is_first,
            "address": "eipalloc-1",
            "database": "db.example:5432/medilink",
        } | {f"{name}_secret": f"medilink/{name}" for name in ("site", "database", "broker")}
        (tmp_path / "names").write_text("".join(f"{name}={value}\n" for name, value in names.items()))
        script = tmp_path / "start"
        script.write_text(inner("start", rendered()).replace("/opt/medilink", str(tmp_path)))
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HERE": str(tmp_path)}
        done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
        calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
        return done, calls

    start.folder = tmp_path
    return start


def test_the_first_host_takes_its_address_migrates_and_then_starts_all_of_it(host):
    done, calls = host("true")
    assert (done.returncode, done.stderr) == (0, "")
    assert [call for call in calls if "associate-address" in call or "compose" in call] == [
        "aws ec2 associate-address --instance-id i-0123 --allocation-id eipalloc-1 --allow-reassociation",
        "docker compose run --rm --no-deps migrate",
        "docker compose ps --quiet web",
        "docker compose --profile production up --detach --no-deps --no-build --scale web=2 web worker proxy beat",
    ]


def test_another_host_neither_migrates_nor_runs_beat(host):
    done, calls = host("false")
    assert (done.returncode, done.stderr) == (0, "")
    assert not any("migrate" in call for call in calls)
    assert [call.split(" up ")[-1] for call in calls if " up " in call] == [
        "--detach --no-deps --no-build --scale web=2 web worker proxy"
    ]


def test_old_webs_leave_when_the_new_ones_are_ready(host):
    (host.folder / "web").write_text("old1\nold2\n")
    (host.folder / "health").write_text("healthy\nhealthy\n")
    done, calls = host("false")
    assert (done.returncode, done.stderr) == (0, "")
    assert [call.split(" --no-build ")[-1] for call in calls if " up " in call or "inspect" in call] == [
        "--no-recreate --scale web=4 web",
        "docker inspect --format {{.State.Health.Status}} new1 new2",
        "--scale web=2 web worker proxy",
    ]


def test_old_webs_stay_where_the_new_ones_never_get_ready(host):
    (host.folder / "web").write_text("old1\nold2\n")
    (host.folder / "health").write_text("starting\nhealthy\n")
    done, calls = host("false")
    assert done.returncode == 1
    assert "the old ones stay" in done.stderr
    assert calls[-1] == "docker rm --force new1 new2"


def test_an_address_that_cannot_be_taken_keeps_no_site_down(host):
    (host.folder / "aws").write_text((host.folder / "aws").read_text() + 'case "$*" in ec2*) exit 254 ;; esac\n')
    done, calls = host("true")
    assert done.returncode == 0
    assert "could not be taken" in done.stderr
    assert " up " in calls[-2]


def test_secrets_are_lines_of_a_file_that_root_alone_reads_and_in_no_command(host):
    _, calls = host("true")
    file = host.folder / ".env"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text().splitlines() == [
        "SITE_HOST=medilink.example.org",
        f"SECRET_KEY='{'s' * 64}'",
        "DATA_KEYS='first:AAAA='",
        "POSTGRES_WEB_PASSWORD='w@b'",
        "POSTGRES_PASSWORD='owner'",
        "REDIS_URL='rediss://:token@broker:6379/0?ssl_cert_reqs=required'",
        "DATABASE_WEB_URL='postgres://medilink_web:w%40b@db.example:5432/medilink'",  # pragma: allowlist secret
    ]
    assert not any(secret in call for call in calls for secret in ("owner", "token", "sss"))


@pytest.mark.parametrize("secret", [{"NAME": "it's"}, {"NAME": "two\nlines"}, {"no name": "x"}])
def test_a_secret_that_is_no_line_stops_the_start_before_anything_runs(host, secret):
    (host.folder / "site.json").write_text(json.dumps(SITE | secret))
    done, calls = host("true")
    assert done.returncode != 0
    assert "neither name nor value of a setting" in done.stderr
    assert calls == []
    assert not (host.folder / ".env").exists()

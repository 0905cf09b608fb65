import base64
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.stack import compose

PROJECT = Path(__file__).resolve().parents[2]
SETTINGS = PROJECT / "medilink" / "settings.py"
STRONG = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
KEY = base64.b64encode(bytes(range(32))).decode()
OLDER_KEY = base64.b64encode(bytes(range(100, 132))).decode()
PRODUCTION = {
    "SECRET_KEY": STRONG,
    "DATA_KEYS": f"second:{KEY},first:{OLDER_KEY}",
    "ALLOWED_HOSTS": "medilink.example",
    "POSTGRES_HOST": "database.example",
    "POSTGRES_PASSWORD": "p@ss/word:with#signs",
    "REDIS_URL": "rediss://broker.example/0",
}
CONFIGURING = (
    "DATABASE_URL",
    "POSTGRES_HOST",
    "SECRET_KEY",
    "DATA_KEYS",
    "ALLOWED_HOSTS",
    "MEDILINK_EMBEDDED",
    "HTTPS_ONLY",
    "DEBUG",
    "CORS_ALLOWED_ORIGINS",
    "AWS_ENDPOINT_URL_S3",
    "ALERT_WEBHOOK_URL",
    "PGSSLMODE",
    "NUM_PROXIES",
    "SITE_URL",
)


@pytest.fixture
def settings_with(monkeypatch):
    """The settings as they are read under these variables."""

    def read(**variables):
        for name in CONFIGURING:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(SETTINGS))

    return read


def test_the_parts_of_the_database_address_are_taken_as_they_are(settings_with):
    database = settings_with(**PRODUCTION)["DATABASES"]["default"]
    assert (database["HOST"], database["NAME"], database["USER"]) == ("database.example", "medilink", "medilink")
    assert database["PASSWORD"] == "p@ss/word:with#signs"


def test_the_site_is_https_only_when_it_is_not_embedded(settings_with):
    read = settings_with(**PRODUCTION)
    assert all(read[name] for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"))
    assert read["SECURE_HSTS_SECONDS"] >= 31_536_000


def test_plain_http_is_served_when_https_is_turned_off(settings_with):
    read = settings_with(**PRODUCTION, HTTPS_ONLY="false")
    assert not read["SECURE_SSL_REDIRECT"]
    assert read["SECURE_HSTS_SECONDS"] == 0


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing or weak"),
        ({"SECRET_KEY": STRONG[:49]}, "SECRET_KEY is missing or weak"),
        ({"SECRET_KEY": "a" * 60}, "SECRET_KEY is missing or weak"),
        ({"SECRET_KEY": f"django-insecure-{STRONG}"}, "SECRET_KEY is missing or weak"),
        ({"DATA_KEYS": ""}, "DATA_KEYS is missing"),
        ({"DATA_KEYS": f"first:{KEY},first:{OLDER_KEY}"}, "each id once"),
        ({"DATA_KEYS": KEY}, "DATA_KEYS is not"),
        ({"DATA_KEYS": f"first:{KEY[:-4]}"}, "32 random bytes"),
        ({"DATA_KEYS": "first:" + base64.b64encode(bytes(32)).decode()}, "32 random bytes"),
        ({"DEBUG": "true"}, "DEBUG is for the embedded mode only"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must name the hosts"),
        ({"ALLOWED_HOSTS": "medilink.example,*"}, "ALLOWED_HOSTS must name the hosts"),
        ({"POSTGRES_HOST": "http://database.example"}, "without http://"),
        ({"POSTGRES_HOST": ""}, "set DATABASE_URL or POSTGRES_HOST"),
        ({"SECRET_KEY": f"for-development-on-loopback-only-{STRONG}"}, "stands in docker-compose.yml"),
        (
            {"DATABASE_WEB_URL": "postgres://medilink_web:" + "medilink_web@database/medilink"},
            "password in DATABASE_WEB_URL",
        ),
        ({"CORS_ALLOWED_ORIGINS": "*"}, "CORS_ALLOWED_ORIGINS must name each site"),
        ({"CORS_ALLOWED_ORIGINS": "http://app.example"}, "may be anybody's"),
        ({"REDIS_URL": "redis://broker.example/0"}, "give a rediss:// address"),
        ({"REDIS_URL": "redis://10.0.0.7/0"}, "give a rediss:// address"),
        ({"AWS_ENDPOINT_URL_S3": "http://s3.example"}, "AWS_ENDPOINT_URL_S3 is not encrypted"),
        ({"ALERT_WEBHOOK_URL": "http://hooks.example"}, "ALERT_WEBHOOK_URL is not encrypted"),
        ({"ALERT_WEBHOOK_URL": "ftp://hooks.example"}, "must begin with https://"),
        ({"PGSSLMODE": "prefer"}, "its sslmode must be verify-full"),
        ({"DATABASE_URL": "postgres://u:p@database.example/m?sslmode=disable"}, "its sslmode must be verify-full"),
    ],
)
def test_the_start_is_refused_with_the_reason_when_it_would_be_unsafe(settings_with, variables, reason):
    with pytest.raises(ImproperlyConfigured, match=reason):
        settings_with(**PRODUCTION | variables)


@pytest.mark.parametrize(
    ("variables", "mode"),
    [
        ({}, "require"),
        ({"PGSSLMODE": "verify-full"}, "verify-full"),
        ({"DATABASE_URL": "postgres://u:p@database.example/m?sslmode=verify-ca"}, "verify-ca"),
        ({"POSTGRES_HOST": "postgres"}, None),
        ({"POSTGRES_HOST": "127.0.0.1"}, None),
    ],
)
def test_another_machines_database_is_reached_encrypted(settings_with, variables, mode):
    assert settings_with(**PRODUCTION | variables)["DATABASES"]["default"]["OPTIONS"].get("sslmode") == mode


def test_what_compose_starts_with_is_enough_for_loopback(settings_with):
    assert not settings_with(**_of_compose({}))["HTTPS_ONLY"]
    assert settings_with(**_of_compose({"SITE_HOST": "localhost"}))["HTTPS_ONLY"]


def test_what_compose_starts_with_is_refused_in_production(settings_with):
    own = {}
    for name, value, told in (
        ("SECRET_KEY", STRONG, "SECRET_KEY is the one"),
        ("DATA_KEYS", PRODUCTION["DATA_KEYS"], "of DATA_KEYS is the one"),
        ("POSTGRES_PASSWORD", "own", "The database's password is the one"),
        ("POSTGRES_WEB_PASSWORD", "own", "in DATABASE_WEB_URL .* is the one"),
        ("AWS_ENDPOINT_URL_S3", "", "keeps nothing"),
    ):
        with pytest.raises(ImproperlyConfigured, match=told):
            settings_with(**_of_compose({"SITE_HOST": "medilink.example"} | own))
        own[name] = value
    read = settings_with(**_of_compose({"SITE_HOST": "medilink.example"} | own))
    assert (read["ALLOWED_HOSTS"], read["NUM_PROXIES"], read["SITE_URL"]) == (
        ["medilink.example"], 1, "https://medilink.example"
    )  # fmt: skip


def _of_compose(variables):
    return compose.read(variables)["services"]["web"]["environment"]


def test_the_checks_for_deployment_find_nothing():
    variables = PRODUCTION | {"POSTGRES_HOST": "127.0.0.1", "PATH": os.environ["PATH"], "MEDILINK_EMBEDDED": ""}
    command = [sys.executable, "-W", "ignore", "-m", "django", "check", "--deploy", "--fail-level", "WARNING"]
    found = subprocess.run(
        [*command, "--settings", "medilink.settings", "--pythonpath", str(PROJECT)],
        env=variables,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "WARNING" not in found.stderr  # what is told beside is that no database was looked at


def test_the_embedded_mode_needs_no_secret(settings_with):
    read = settings_with(DATABASE_URL="postgres:///medilink", MEDILINK_EMBEDDED="true")
    assert len(read["SECRET_KEY"]) >= 50
    assert not read["SECURE_SSL_REDIRECT"]


def test_the_first_data_key_is_the_one_that_seals(settings_with):
    keys = settings_with(**PRODUCTION)["DATA_KEYS"]
    assert [*keys] == ["second", "first"]
    assert keys["first"] == bytes(range(100, 132))


def test_the_embedded_mode_needs_no_data_key(settings_with):
    assert len(settings_with(DATABASE_URL="postgres:///medilink", MEDILINK_EMBEDDED="true")["DATA_KEYS"]) == 1

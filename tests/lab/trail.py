"""What is done with the canary, at real processes that break when told to; and what is left of her, sink by sink."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.lab import canary, sinks
from tests.lab.broken import FAULTS, OF_WORKERS
from tests.lab.canary import BORN, DOB, NAME, PHONE, STEM, word
from tests.lab.cluster import ARCHIVE, HELD, INPUT, Cluster, eventually

PASSWORD = "silent-Wading-2026"
MAY_HOLD = (INPUT, ARCHIVE, HELD, "medical_records/corrections/")
MAKE_USERS = f"""
from clinical import logins
from clinical.models import Facility
Facility.objects.create(**{canary.CLINIC})
for name in ("boss", "other"):
    logins.create_user(name, is_superuser=True, password="{PASSWORD}")
print(logins.issue_token("boss", 1))
"""
PROCESSES = ("site", "worker", "beat", "valkey")
PEOPLE, VISITS = "/admin/clinical/patient/", "/admin/clinical/triagevisit/"


@dataclass
class Trail:
    """What was done and how often, what was answered, and what the sinks outside of the cluster have taken."""

    cluster: Cluster
    production: dict[str, str]
    address: str = ""
    token: str = ""
    said: list[bytes] = field(default_factory=list)  # to the broker
    mails: list[bytes] = field(default_factory=list)
    calls: list[bytes] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    answers: list[requests.Response] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # that commands have written and that are sealed
    made: int = 0

    def __post_init__(self) -> None:
        self.browser = requests.Session()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return self.cluster.sql(query)

    def api(self, method: str, path: str, body: Any = None, *, what: str, **headers: str) -> requests.Response:
        named = {"Authorization": f"Bearer {self.token}", "User-Agent": NAME, "Referer": f"http://x/?q={NAME}"}
        named |= {name.replace("_", "-"): said for name, said in headers.items()}
        return self._note(what, requests.request(method, self.address + path, json=body, headers=named, timeout=30))

    def open(self, path: str, *, what: str = "a page of the desk") -> requests.Response:
        return self._note(what, self.browser.get(self.address + path, timeout=30))

    def send(self, path: str, *, what: str, **fields: Any) -> requests.Response:
        """A form of this page with these fields alone."""
        return self._post(path, {}, fields, what)

    def change(self, path: str, *, what: str, **fields: Any) -> requests.Response:
        """The form of a row with all that stands in it, but for these fields."""
        return self._post(path, sinks.Page(self.open(path).text).fields, fields, what)

    def _post(self, path: str, stands: dict[str, str], fields: dict[str, Any], what: str) -> requests.Response:
        """Not led on to where the answer sends."""
        if "csrftoken" not in self.browser.cookies:
            self.open(path)
        sent = stands | {"csrfmiddlewaretoken": self.browser.cookies["csrftoken"]} | fields
        return self._note(what, self.browser.post(self.address + path, sent, allow_redirects=False, timeout=30))

    def _note(self, what: str, answer: requests.Response) -> requests.Response:
        self.events[what] += 1
        self.answers += [*answer.history, answer]
        return answer

    def command(self, *words: object) -> None:
        """All that it prints is looked at, but what whoever typed it has said."""
        ended = self.cluster.run(*words, **self.production)
        self.events[f"the command {words[0]}"] += 1
        if NAME not in words:
            self.commands[" ".join(map(str, words))] = ended.stdout + ended.stderr


@contextmanager
def begun(cluster: Cluster) -> Iterator[Trail]:
    """The site, a worker and beat as in production, at the loudest level; mails and calls go to us."""
    with ExitStack() as stack:
        said = stack.enter_context(sinks.monitored(cluster.valkey()))
        mail_port, mails = stack.enter_context(sinks.mailbox())
        hook_port, calls = stack.enter_context(sinks.hook())
        production = dict.fromkeys(("MEDILINK_EMBEDDED", "DEBUG_FAILPOINTS", "HTTPS_ONLY", "REQUIRE_TOTP"), "false")
        production |= {
            "ALLOWED_HOSTS": "127.0.0.1",
            "LOG_LEVEL": "DEBUG",
            "DB_STATEMENT_TIMEOUT_MS": "2000",
            "DATABASE_WEB_URL": f"postgres://medilink_web@127.0.0.1:{cluster.database.port}/{cluster.database_name}",
            "ALERT_EMAIL": "stewards@example.org",
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}",
            "ALERT_WEBHOOK_URL": f"http://127.0.0.1:{hook_port}/",
        }
        port = cluster.free_port()
        options = ["--interface", "wsgi", "--host", "127.0.0.1", "--port", port, "--no-ws", "--blocking-threads", 2]
        logged = ["--access-log", "--log-config", "medilink/server_logs.json"]
        cluster.start("site", "-m", "granian", *options, *logged, "tests.lab.broken_site:application", **production)
        worker = ["worker", "--loglevel", "INFO", "--concurrency", 1, "--without-gossip", "--without-mingle"]
        cluster.start("worker", "-m", "celery", "-A", "tests.lab.broken", *worker, **production)
        cluster.start("beat", *cluster.beat(), **production)
        token = cluster.run("shell", "-c", MAKE_USERS, check=True, **production).stdout.split()[-1]
        trail = Trail(cluster, production, f"http://127.0.0.1:{port}", token, said, mails, calls)
        eventually(lambda: _is_up(trail.address))
        yield trail


def _is_up(address: str) -> bool:
    try:
        return requests.get(f"{address}/readyz", timeout=5).ok
    except requests.ConnectionError:
        return False


# --- What is done with her


def deliver(trail: Trail) -> None:
    trail.cluster.deliver(canary.files())
    trail.events["a file"] += len(canary.files())
    trail.cluster.queue("medilink.tasks.nightly")
    eventually(trail.cluster.is_settled, patience=90)
    held = trail.sql("SELECT count(*) FROM ingest_batches WHERE status = 'held'")
    assert held == [(1,)]


def call(trail: Trail) -> None:
    """The API: she is made, refused, in conflict, looked for, exported; and lists break while they speak of her."""
    api, facility = trail.api, _facility(trail)
    whole = canary.person(facility, f"{STEM}-made")
    trail.made = api("POST", "/api/patients", whole, what="a patient is made", Idempotency_Key="one").json()["id"]
    api("POST", "/api/patients", whole, what="the same again", Idempotency_Key="one")
    api("POST", "/api/patients", whole, what="a conflict")
    for name in whole:
        api("POST", "/api/patients", whole | {name: f"{NAME}\u0000"}, what="a refusal")
        api("PATCH", f"/api/patients/{trail.made}", {name: [NAME]}, what="a refusal")
    api("POST", "/api/patients", whole | {NAME: PHONE}, what="a refusal")
    api("POST", "/api/patients", [NAME], what="a refusal")
    _make_events(trail, {"patient_id": trail.made, "facility_id": facility})
    for wanted in ({"name": NAME}, {"phone": PHONE}, {"name": STEM, "dob": BORN["dob"]}, {"name": NAME, "x": PHONE}):
        api("POST", "/api/patients/search", wanted, what="a search")
    api("POST", "/api/rejected-rows/replay", {"filter": {NAME: NAME}, "cells": {"dob": NAME}}, what="a refusal")
    for path in ("patients", "medical-records", "triage-visits", "rejected-rows"):
        for kind in ("csv", "ndjson"):
            api("GET", f"/api/{path}?format={kind}", what="an export")
    for path in (f"patients/{trail.made}", f"patients/{trail.made}/passport", "batches", "audit-events", "patients"):
        api("GET", f"/api/{path}", what="a read")
    api("POST", "/api/auth/token", {"username": NAME, "password": PHONE}, what="a failed log-in", Authorization="")
    for fault in FAULTS:
        answer = api("GET", "/api/patients", what=f"the site: {fault}", X_Fault=fault)
        assert answer.status_code >= 400, (fault, answer.text)
    api("GET", "/metrics", what="metrics")


def _facility(trail: Trail) -> int:
    return int(trail.sql(f"SELECT id FROM facilities WHERE name = '{canary.CLINIC['name']}'")[0][0])


def _make_events(trail: Trail, whose: dict[str, int]) -> None:
    texts = {name: word(name) for name in ("chief_complaint", "vital_signs", "language", "provider")}
    lists = {name: [word(name)] for name in ("conditions", "recommendations")}
    visit = whose | texts | lists | {"visit_id": f"{STEM}-v", "triage_level": 1}
    data = {name: word(name) for name in ("diagnosis", "treatment", "medications", "notes")}
    record = whose | {"record_id": f"{STEM}-r", "record_type": word("record_type"), "data": data}
    for path, event in (("/api/triage-visits", visit), ("/api/medical-records", record)):
        assert trail.api("POST", path, event, what="an event is made").status_code == 201
        trail.api("POST", path, event, what="a conflict")
        for name in event.keys() - whose.keys():
            trail.api("POST", path, event | {name: {NAME: PHONE}}, what="a refusal")


def sit_at_the_desk(trail: Trail) -> None:
    """Log-ins that fail and one that does not, searches, a change, a deletion, a merge, a correction."""
    trail.send("/admin/login/", what="a failed log-in", username=NAME, password=PHONE)
    answer = trail.send("/admin/login/", what="a log-in", username="boss", password=PASSWORD, next="/admin/")
    assert answer.status_code == 302, answer.text
    for page in (PEOPLE, VISITS, "/admin/clinical/medicalrecord/"):
        for text in (NAME, PHONE, STEM, word("patient_number")):
            found = trail.send(page, what="a search at the desk", q=text)
            trail.open(found.headers["Location"].replace(trail.address, ""))
    trail.open(f"{PEOPLE}?q={NAME}", what="a search that a caller put into an address")
    one, other = (str(pk) for (pk,) in trail.sql("SELECT id FROM patients ORDER BY id LIMIT 2"))
    again = {"first_name": f"{word('first_name')} again", "patient_number": f"{STEM}-again"}
    changed = trail.change(f"{PEOPLE}{one}/change/", what="a change at the desk", **again)
    assert changed.status_code == 302, changed.text
    trail.open(f"{PEOPLE}{one}/change/")
    trail.change(f"{PEOPLE}{one}/change/", what="a change that is refused", dob=NAME, phone=f"{PHONE}{NAME}")
    added = {name: str(said) for name, said in canary.person(_facility(trail), f"{STEM}-third").items()}
    added["facility"] = added.pop("facility_id")
    assert trail.change(f"{PEOPLE}add/", what="a row is added at the desk", **added).status_code == 302
    pair = trail.send(PEOPLE, what="a comparison", action="compare", _selected_action=[one, other])
    page = pair.headers["Location"]
    trail.open(page)
    trail.send(page, what="a merge", merge="1", survivor=one)
    trail.send(page, what="an unmerge", take_back="1")
    (pk,) = trail.sql("SELECT min(id) FROM triage_visits")[0]
    trail.change(f"{VISITS}{pk}/change/", what="a change at the desk", provider=f"{STEM} again")
    trail.send(VISITS, what="a deletion", action="mark_deleted", _selected_action=[str(pk)])
    (refused,) = trail.sql("SELECT min(id) FROM rejected_rows WHERE state = 'open'")[0]
    trail.change(f"/admin/ingestion/rejectedrow/{refused}/change/", what="a correction", replay="1")


def walk_about(trail: Trail) -> None:
    """One of each kind of page that the first page leads to, sooner or later."""
    seen: set[str] = set()
    waiting = ["/admin/"]
    while waiting:
        path = waiting.pop(0).partition("#")[0]
        kind = re.sub(r"\d+|find=[^&]*", "N", path)
        if kind in seen or "logout" in path or len(seen) >= 150:
            continue
        seen.add(kind)
        page = trail.open(path)
        if "html" in page.headers.get("Content-Type", ""):
            base = page.url.removeprefix(trail.address).partition("?")[0]
            links = sinks.Page(page.text).addresses
            waiting += [base + one if one[0] == "?" else one for one in links if one.startswith(("/admin/", "?"))]


def break_the_worker(trail: Trail) -> None:
    for fault in OF_WORKERS:
        trail.cluster.queue("medilink.tests.break_off", fault)
        trail.events[f"the worker: {fault}"] += 1
    eventually(lambda: trail.cluster.log("worker").count("tests.break_off[") >= 2 * len(OF_WORKERS))


def tell(trail: Trail) -> None:
    trail.cluster.queue("medilink.tasks.tell")
    trail.cluster.queue("medilink.tasks.seal_audit")
    eventually(lambda: trail.mails and trail.calls and trail.sql("SELECT 1 FROM audit_seals"))
    trail.events |= {"a mail": len(trail.mails), "a webhook": len(trail.calls)}


def use_commands(trail: Trail, folder: Path) -> None:
    made = trail.made
    trail.command("backup", folder / "backup")
    trail.files["a backup"] = (folder / "backup").read_bytes()
    trail.command("corrections", "write", "--to", folder)
    (file,) = [*folder.rglob("*patients*.csv")][:1]
    file.write_text(file.read_text().replace(PHONE, NAME))
    trail.command("corrections", "read", file)
    for words in (
        *(("corrections", "write"), ("replay", "--reason", "DATE_INVALID"), ("check_data",), ("find_duplicates",)),
        *(("read_vitals",), ("refresh_marts", "--force"), ("audit", "who-saw", made), ("audit", "verify"), ("ingest",)),
        ("patient", "export", made, "--by", "boss", "--to", folder / "export.json"),
        ("patient", "restrict", made, "--by", "boss", "--why", "request"),
        ("patient", "erase", made, "--by", "boss", "--why", "request"),
        ("patient", "erase", made, "--by", "other", "--confirm"),
        ("patient", "export", made, "--by", NAME),
        ("create_user", NAME, "--role", NAME),
    ):
        trail.command(*words)


# --- What is left of her


def leaks(trail: Trail) -> dict[str, list[Any]]:
    """Each sink, and what was found in it of her that may not be there."""
    cluster, answers = trail.cluster, trail.answers
    logs = {f"the log of {name}": cluster.folder / f"{name}.log" for name in PROCESSES}
    logs |= {f"the log of {log.stem}": log for log in sorted((cluster.folder / "logs").glob("*.log"))}
    pages = [answer for answer in answers if "html" in answer.headers.get("Content-Type", "")]
    columns = sinks.columns_that_tell(trail.sql)
    return {name: _telling(log.read_bytes().splitlines()) for name, log in logs.items()} | {
        "the tables": sorted(columns.keys() - canary.HERS),
        "the broker": sinks.keys_that_tell(cluster.valkey()),
        "what the broker was sent": _telling(trail.said),
        "the bucket": sinks.objects_that_tell(cluster.s3, cluster.bucket, MAY_HOLD),
        "mails": _telling(trail.mails),
        "webhooks": _telling(trail.calls),
        "headers and cookies": [(a.url, name) for a in answers for name in sinks.headers_that_tell(a.headers)],
        "addresses in pages": [(a.url, *_telling(sinks.Page(a.text).addresses)) for a in pages if _tells_where(a)],
        "refusals": [(a.url, a.status_code) for a in answers if a.status_code >= 400 and canary.is_in(a.content)],
        "metrics": [a.url for a in answers if a.url.endswith("/metrics") and canary.is_in(a.content)],
        "what commands print": [words for words, text in trail.commands.items() if canary.is_in(text)],
        "sealed files": [name for name, data in trail.files.items() if canary.is_in(data)],
    }


def _telling(said: "list[bytes] | list[str]") -> list[Any]:
    return [one for one in said if canary.is_in(one)]


def _tells_where(answer: requests.Response) -> bool:
    return bool(_telling(sinks.Page(answer.text).addresses))


def is_empty(trail: Trail) -> list[str]:
    """Sinks that nothing has come to: a search there would show nothing."""
    kept = {name: trail.cluster.log(name) for name in PROCESSES}
    kept |= {"postgres": (trail.cluster.folder / "logs/postgres.log").read_text(), "access": _access(kept["site"])}
    kept |= {"broker": trail.said, "mails": trail.mails, "calls": trail.calls, "commands": trail.commands}  # type: ignore
    return [name for name, said in kept.items() if not said]


def _access(log: str) -> str:
    return "\n".join(line for line in log.splitlines() if "GET /api/patients" in line)


def plant(trail: Trail) -> None:
    """Leaves word of her in every sink, each time written otherwise."""
    cluster = trail.cluster
    encoded = canary.encodings()
    for name, text in zip(PROCESSES, encoded, strict=False):
        _append(cluster.folder / f"{name}.log", text)
    for log in (cluster.folder / "logs").glob("*.log"):
        _append(log, STEM.upper().encode())
    cluster.sql("INSERT INTO alerts (cause, what, link) VALUES ('x', %s, '')", encoded[0].decode())
    cluster.valkey().lpush("planted", encoded[1])
    eventually(lambda: any(b"planted" in one for one in trail.said))
    cluster.s3.put_object(Bucket=cluster.bucket, Key=f"{ARCHIVE}x", Body=b"", Metadata={"of": STEM.lower()})
    trail.mails.append(encoded[2])
    trail.calls.append(encoded[3])
    for url, status, headers, body in (
        ("/a", 200, {"Set-Cookie": f"messages={encoded[3].decode()}"}, b""),
        ("/b", 200, {"Content-Type": "text/html"}, b'<a href="?q=' + STEM.lower().encode() + b'">x</a>'),
        ("/c", 400, {}, f"{DOB:%d/%m/%Y}".encode()),
        ("/metrics", 200, {}, f'count{{of="{PHONE}"}} 1'.encode()),
    ):
        answer = requests.Response()
        answer.url, answer.status_code, answer._content = url, status, body
        answer.headers.update(headers)
        trail.answers.append(answer)
    trail.commands["x"] = f"Not found: {NAME}"
    trail.files["x"] = NAME.encode()


def _append(log: Path, text: bytes) -> None:
    """Far behind its end: the process goes on writing where it was."""
    with log.open("ab") as file:
        file.write(b"\n" * 100_000 + b'{"message": "' + text + b'"}\n')

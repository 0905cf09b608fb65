"""What must work right after a start, asked through the proxy as people and programs ask."""

import base64
import hmac
import re
import struct
import time
from collections.abc import Callable, Iterable

from tests.lab import invariants
from tests.lab.cluster import eventually
from tests.lab.nights import one_night
from tests.stack.client import Site, plain
from tests.stack.production import HOST, Stack

PASSWORD = "a-long-one-for-the-drill-only"
FORGED = "203.0.113.77"


def run(stack: Stack, say: Callable[[str], None], steps: Iterable[Callable]) -> None:
    """Each step says its sentence when it has held; the first that does not hold raises."""
    for step in steps:
        began = time.monotonic()
        step(stack)
        say(f"{step.__doc__.rstrip('.')}  ({time.monotonic() - began:.1f} s)")


def settings_are_fit(stack: Stack) -> None:
    """`check --deploy` finds nothing to warn of in these settings and at this database."""
    ended = stack.run("check", "--deploy", "--fail-level", "WARNING", "--database", "default")
    assert ended.returncode == 0, ended.stderr[-1500:]


def probes_answer(stack: Stack) -> None:
    """/health, /livez and /readyz answer by TLS, whose certificate is checked."""
    site = stack.site()
    for path, told in (("/health", "healthy"), ("/livez", "alive"), ("/readyz", "ready")):
        answer = site.get(path)
        assert (answer.status, answer.json()["status"]) == (200, told)


def plain_requests_are_sent_to_tls(stack: Stack) -> None:
    """Plain HTTP is redirected, and browsers are told to stay with TLS."""
    answer = plain(stack.http_port, "/admin/", HOST)
    assert answer.status == 308
    assert answer.headers["Location"] in (f"https://{HOST}/admin/", f"https://{HOST}:{stack.port}/admin/")
    assert "max-age=31536000" in stack.site().get("/admin/login/").headers["Strict-Transport-Security"]


def strangers_names_are_refused(stack: Stack) -> None:
    """Under another name there is only whether it is ready, for a load balancer's check."""
    other = stack.site()
    other.host = "elsewhere.test"
    assert other.get("/readyz").status == 200
    assert other.get("/admin/login/").status == 421


def people_log_in(stack: Stack) -> None:
    """A steward sets up a second factor at the first log-in, and is let in with it."""
    stack.run("create_user", "ada", "--role", "steward", "--password-stdin", check=True, text=PASSWORD)
    site = stack.site()
    assert site.fill_in("/admin/login/?next=/admin/", username="ada", password=PASSWORD).status == 302
    assert site.get("/admin/").status == 302
    secret = re.search(r"secret=([A-Z2-7]+)", site.get("/admin/second-factor/").text)[1]
    assert site.fill_in("/admin/second-factor/", code=_code(secret)).status == 200
    desk = site.get("/admin/")
    assert desk.status == 200
    assert "Stewards" in desk.text
    assert {"__Host-sessionid", "__Host-csrftoken"} <= site.cookies.keys()
    stack.sheet = re.search(r'href="(/static/[^"]+\.css)"', desk.text)[1]


def _code(secret: str) -> str:
    mac = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(time.time()) // 30), "sha1")
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at : at + 4])[0] & 0x7FFFFFFF) % 10**6:06d}"


def static_files_are_served(stack: Stack) -> None:
    """The desk's style sheet comes, compressed."""
    answer = stack.site().get(stack.sheet, Accept_Encoding="gzip")
    assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")


def a_night_is_loaded(stack: Stack) -> None:
    """A program's token starts a run; the workers load the night's files, and the API shows them."""
    stack.run("create_user", "app", "--role", "steward", check=True)
    stack.token = stack.run("issue_token", "app", "--days", "1", check=True).stdout.split()[-1]
    delivered = one_night("-2026-11-19.csv")
    stack.deliver(delivered)
    site = authorised(stack)
    assert site.post("/api/batches", {}, Idempotency_Key="smoke", **site.named).status == 202
    eventually(stack.is_settled, patience=120)
    eventually(lambda: {*stack.statuses().values()} == {"archived"})
    assert invariants.violations(stack, delivered) == []
    found = site.get("/api/facilities?state=FCT", **site.named).json()
    assert [row["name"] for row in found["results"]] == ["Kuje General Hospital"]


def numbers_are_told(stack: Stack) -> None:
    """/metrics tells how many batches there are, and of the queue."""
    site = authorised(stack)
    told = site.get("/metrics", **site.named).text
    assert "medilink_queue_length" in told
    assert re.search(r"^medilink_batches\S* [1-9]", told, re.MULTILINE)


def addresses_are_the_callers(stack: Stack) -> None:
    """The audit knows the caller's address through the proxy, and believes no forged one."""
    site = authorised(stack)
    name = f"smoke-{int(time.time())}"
    headers = {"X_Forwarded_For": FORGED, "X_Real_IP": FORGED, "Forwarded": f"for={FORGED}", "X_Request_ID": name}
    assert site.get("/api/patients", **site.named, **headers).status == 200
    assert stack.sql("SELECT DISTINCT address FROM audit_events WHERE request_id = %s", name) == [("127.0.0.1",)]


def health_checks_agree(stack: Stack) -> None:
    """The health checks of web, worker and beat, as the files have them, find them well."""
    assert all(stack.is_ready(number + 1) for number in range(stack.webs))
    assert all(stack.is_healthy(f"worker{number + 1}") for number in range(stack.workers))
    eventually(lambda: stack.is_healthy("beat"), patience=120, every=1)


def nothing_names_a_patient(stack: Stack) -> None:
    """No process has written a patient's name or a secret into its log."""
    secrets = [stack.variables["SECRET_KEY"], stack.token, *stack._passwords.values()]
    for log in stack.folder.glob("*.log"):
        text = log.read_text(errors="replace")
        assert not [word for word in ("Amina", "Okafor", *secrets) if word in text], log.name


def authorised(stack: Stack) -> Site:
    site = stack.site()
    site.named = {"Authorization": f"Bearer {stack.token}"}
    return site


STEPS = (
    settings_are_fit,
    probes_answer,
    plain_requests_are_sent_to_tls,
    strangers_names_are_refused,
    people_log_in,
    static_files_are_served,
    a_night_is_loaded,
    numbers_are_told,
    addresses_are_the_callers,
    health_checks_agree,
    nothing_names_a_patient,
)

"""A real site, a worker with processes of its own, and Prometheus itself looking at them with our rules and panels."""

import json
import shutil
import signal
import urllib.parse
import urllib.request

import pytest
import yaml

from medilink import supervisor
from tests.lab.cluster import eventually
from tests.medilink.test_monitoring import FOLDER, QUERIES, RULES, samples

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is missing: apt-get install prometheus"),
]
MAKE_PROGRAM = """
from clinical import logins
from clinical.models import Membership, User
user = User.objects.create_user("prometheus")
Membership.objects.create(user=user, role="service")
steward = User.objects.create_user("boss")
Membership.objects.create(user=steward, role="steward")
print(logins.issue_token("prometheus", 1), logins.issue_token("boss", 1))
"""


def asked(url, token="", body=None, **headers):
    named = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"} | headers
    request = urllib.request.Request(url, headers=named, data=body)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def answers(url):
    try:
        return asked(url)
    except OSError:
        return None


@pytest.fixture
def watched(cluster, delivered):
    """A night that somebody asked for is over; its site's address and the tokens of a program and of a steward."""
    port = cluster.free_port()
    cluster.start("web", *cluster.site(port))
    cluster.worker()
    program, steward = cluster.run("shell", "-c", MAKE_PROGRAM, check=True).stdout.split()[-2:]
    site = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(f"{site}/readyz"))
    asked(f"{site}/api/batches", steward, b"{}", **{"X-Request-ID": "asked-by-the-drill"})
    eventually(cluster.is_settled)
    eventually(lambda: cluster.sql("SELECT 1 FROM ingest_runs WHERE status LIKE 'some%%'"))
    cluster.start("beat", *cluster.beat())  # only now: its sweep would have taken the run
    cluster.queue("medilink.tasks.nightly")
    return site, program, steward


@pytest.fixture
def prometheus(cluster, watched, tmp_path):
    """Its address, once it has looked twice."""
    site, program, _ = watched
    (tmp_path / "token").write_text(program)
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    job |= {"scheme": "http", "static_configs": [{"targets": [site.removeprefix("http://")]}]}
    job["authorization"]["credentials_file"] = str(tmp_path / "token")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(FOLDER / "alert_rules.yml")]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = cluster.free_port()
    options = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command = ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    process = supervisor.spawn(command, output=tmp_path / "prometheus.log")
    address = f"http://127.0.0.1:{port}"

    def has_looked():
        try:
            found = json.loads(query(address, 'count_over_time(up{job="medilink"}[1h])'))["data"]["result"]
        except OSError:
            return False
        return found and float(found[0]["value"][1]) > 5

    try:
        eventually(has_looked)
        yield address
    finally:
        supervisor.stop(process, signal.SIGTERM, patience=30)


def query(address, text):
    return asked(f"{address}/api/v1/query?" + urllib.parse.urlencode({"query": text}))


def test_a_worker_of_processes_is_seen_whole(cluster, watched):
    site, program, _ = watched

    def figures():
        return {name: value for (name, labels), value in samples(asked(f"{site}/metrics", program)).items()}

    found = eventually(lambda: (told := figures()).get("medilink_tonight_finished") and told, patience=180)
    assert found["medilink_workers_alive"] == 1
    assert found["medilink_broker_up"] == 1
    by_labels = samples(asked(f"{site}/metrics", program))
    done = {dict(labels).get("task") for (name, labels), _ in by_labels.items() if name == "medilink_tasks_total"}
    assert {"ingestion.tasks.ingest", "medilink.tasks.nightly"} <= done
    staged = {dict(labels).get("stage") for (name, labels), _ in by_labels.items() if "stage_seconds" in name}
    assert {"reading", "resolving", "merging", "archiving"} <= staged
    assert "[asked-by-the-drill]" in cluster.log("worker")
    cluster.kill("worker")
    eventually(lambda: figures()["medilink_workers_alive"] == 0)


def test_prometheus_finds_every_rule_and_panel_sound(watched, prometheus):
    eventually(lambda: "medilink_tonight_finished" in query(prometheus, "medilink_tonight_finished == 1"), patience=180)
    groups = json.loads(asked(f"{prometheus}/api/v1/rules"))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    empty = []
    for text in QUERIES:
        answer = json.loads(query(prometheus, text.replace("$__rate_interval", "5m")))
        assert answer["status"] == "success", text
        if not answer["data"]["result"]:
            empty.append(text)
    print("No result yet:", *empty, sep="\n  ")
    assert len(empty) < len(QUERIES) / 4
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    print("Firing:", firing)
    assert "MedilinkDown" not in firing

"""Workers on several hosts: each in a network namespace on one bridge, and the servers listening on the bridge.

The kernel carries every byte, so that no proxy takes a share of the cores. Needs root and `ip`.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import boto3

from medilink import embedded, supervisor
from tests.lab.cluster import PATIENCE, Cluster, eventually

BRIDGE = f"mlb{os.getpid() % 100_000}"
SERVERS = f"10.77.{os.getpid() % 250}.1"


def why_not() -> str:
    """Why this machine has no namespaces for us; empty where it has."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        return "NO ROOT OR NO `ip`: workers on several hosts are not tried"
    made = ip(f"link add {BRIDGE} type bridge", check=False) and ip(f"link del {BRIDGE}", check=False)
    return "" if made else "NO NETWORK NAMESPACES HERE: workers on several hosts are not tried"


def ip(words: str, *, check: bool = True) -> bool:
    return subprocess.run(["ip", *words.split()], check=check, capture_output=True).returncode == 0


@dataclass(frozen=True)
class Host:
    number: int

    @property
    def name(self) -> str:
        return f"{BRIDGE}h{self.number}"

    @property
    def address(self) -> str:
        return f"{SERVERS[:-1]}{self.number + 10}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a process is started by, to be there."""
        return ("ip", "netns", "exec", self.name)

    def join(self) -> None:
        outer, inner = f"{BRIDGE}v{self.number}", "uplink"
        ip(f"netns add {self.name}")
        ip(f"link add {outer} type veth peer name {inner} netns {self.name}")
        ip(f"link set {outer} master {BRIDGE} up")
        ip(f"-n {self.name} addr add {self.address}/24 dev {inner}")
        ip(f"-n {self.name} link set {inner} up")
        ip(f"-n {self.name} link set lo up")

    def cut_off(self) -> None:
        """The cable is pulled: nobody is told, on either side."""
        ip(f"link set {BRIDGE}v{self.number} nomaster")

    def reconnect(self) -> None:
        ip(f"link set {BRIDGE}v{self.number} master {BRIDGE}")

    def leave(self) -> None:
        ip(f"link del {BRIDGE}v{self.number}", check=False)  # a dead namespace keeps it while a socket lingers
        ip(f"netns del {self.name}", check=False)


@contextmanager
def on_a_bridge(cluster: Cluster, count: int) -> Iterator[list[Host]]:
    """The hosts; meanwhile the cluster's servers are reached over the bridge, too. Nothing of it is left behind."""
    with ExitStack() as left:
        ip(f"link add {BRIDGE} type bridge")
        left.callback(ip, f"link del {BRIDGE}", check=False)
        ip(f"addr add {SERVERS}/24 dev {BRIDGE}")
        ip(f"link set {BRIDGE} up")
        listen(cluster)
        found = [Host(n) for n in range(count)]
        for host in found:
            left.callback(host.leave)
            host.join()
        yield found


def listen(cluster: Cluster) -> None:
    """Each server is started anew, on the bridge as well."""
    command, folder = [*cluster.postgres.process.args], cluster.folder  # type: ignore[misc]
    with next(folder.rglob("pg_hba.conf")).open("a") as allowed:
        allowed.write(f"host all all {SERVERS}/24 trust\n")
    cluster.stop_postgres(signal.SIGINT)
    cluster.postgres.process = supervisor.spawn(
        [*command, "-c", f"listen_addresses={SERVERS}"], output=folder / "postgres.log", death_signal=signal.SIGINT
    )
    cluster.postgres.await_ready()
    cluster.stop_broker()
    cluster.start_broker(f"bind 127.0.0.1 {SERVERS}")
    supervisor.stop(cluster._s3.process, signal.SIGKILL, patience=PATIENCE)
    port = embedded._free_port()
    moto = [sys.executable, "-m", "moto.server", "-H", SERVERS, "-p", str(port)]
    cluster._s3.process = supervisor.spawn(moto, output=folder / "s3.log")
    cluster.store_url = f"http://{SERVERS}:{port}"
    cluster.s3 = boto3.client(
        "s3",
        endpoint_url=cluster.store_url,
        region_name="us-east-1",
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",
    )
    eventually(lambda: _answers(cluster))


def _answers(cluster: Cluster) -> bool:
    try:
        cluster.s3.list_buckets()
    except Exception:
        return False
    return True


def environment(cluster: Cluster) -> dict[str, str]:
    """The servers' addresses as seen from any host."""
    return {
        "DATABASE_URL": f"postgres://medilink@{SERVERS}:5432/{cluster.database_name}",
        "REDIS_URL": f"redis://:{cluster._password}@{SERVERS}:{cluster._broker_port}/0",
        "AWS_ENDPOINT_URL_S3": cluster.store_url,
        "NO_PROXY": SERVERS,
    }

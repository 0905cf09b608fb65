"""What pgbouncer in transaction mode costs and saves: python -m tests.bench_pooler --help

The site of many threads over a private server, once directly and once through a pooler with few connections, asked by
`wrk` (apt: wrk). `sessions` are the server's own, of the web, while it is asked.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import time

from tests.lab import served
from tests.lab.cluster import Cluster
from tests.lab.pooler import Pooler
from tests.lab.served import Site

PATHS = {
    "list of 50": "/api/patients?per_page=50",
    "one patient": "/api/patients/2",
    "facility-stats": "/api/analytics/facility-stats",
}
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'medilink_web'"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=32, help="of the site, each with a connection (32)")
    parser.add_argument("--pool", type=int, default=4, help="connections of the pooler to the server (4)")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (5)")
    parser.add_argument("--rounds", type=int, default=3, help="the median counts (3)")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not installed; on Debian: apt-get install wrk")
    cluster = Cluster()
    pooler = Pooler(cluster.folder, cluster._servers.socket_folder, options.pool)
    try:
        cluster.fresh()
        tokens = served.filled(cluster)
        name = cluster.database_name
        ways = {
            "directly": f"postgres://medilink_web@/{name}?host={cluster._servers.socket_folder}",
            "pooler": pooler.url("medilink_web", name),
        }
        print(f"{'':16}" + "".join(f"{f'{what}, /s':>20}" for what in PATHS) + f"{'sessions':>10}")
        for way, address in ways.items():
            with served.site(cluster, tokens, way, options.threads, DATABASE_WEB_URL=address) as site:
                rates = [rate(site, path, options) for path in PATHS.values()]
                sessions = asked_while(site, cluster, options)
            print(f"{way:16}" + "".join(f"{one:>20,.0f}" for one in rates) + f"{sessions:>10}", flush=True)
    finally:
        pooler.close()
        cluster.close()


def rate(site: Site, path: str, options: argparse.Namespace) -> float:
    return statistics.median(_wrk(site, path, options) for _ in range(options.rounds))


def _command(site: Site, path: str, options: argparse.Namespace) -> list[str]:
    header = f"Authorization: Bearer {site.tokens['KANO']}"
    load = [f"-c{options.threads}", "-t1", f"-d{options.seconds}s"]
    return ["wrk", *load, "-H", header, f"{site.address}{path}"]


def _wrk(site: Site, path: str, options: argparse.Namespace) -> float:
    said = subprocess.run(_command(site, path, options), capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        sys.exit(f"{path} is refused")
    return float(re.findall(r"Requests/sec:\s+([0-9.]+)", said)[0])


def asked_while(site: Site, cluster: Cluster, options: argparse.Namespace) -> int:
    asking = subprocess.Popen(_command(site, PATHS["list of 50"], options), stdout=subprocess.DEVNULL)
    time.sleep(options.seconds / 2)
    ((sessions,),) = cluster.sql(SESSIONS)
    asking.wait()
    return int(sessions)


if __name__ == "__main__":
    main()

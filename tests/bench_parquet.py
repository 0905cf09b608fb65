"""What a mart as Parquet takes, in seconds and in memory, beside the same rows as NDJSON. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_parquet --help
"""

import argparse
import gc
import os
import time
from pathlib import Path

from django.db import connection, transaction

from tests import own_database

PAGE = os.sysconf("SC_PAGE_SIZE")
MEGA = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the mart of patients")
    options = parser.parse_args()
    own_database.provide(ALLOWED_HOSTS="testserver")
    invent(options.rows)
    report()


def invent(count: int) -> None:
    from tests.bench_marts import INVENT

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INVENT, {"facilities": 5_000, "patients": count})
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE facilities, patients")


def report() -> None:
    from analytics import marts  # after django.setup()
    from tests.callers import Caller

    marts.refresh(only=["dim_facilities", "dim_patients"], is_forced=True)
    steward = Caller(("steward",))
    for kind in ("ndjson", "parquet"):
        tell(kind, steward.get("/api/analytics/patients", {"format": kind}).streaming_content)


def tell(kind: str, parts) -> None:
    """The memory at each tenth of the file's parts, above what it was before the first one."""
    gc.collect()
    before, begun, size, seen = resident(), time.perf_counter(), 0, []
    for part in parts:
        size += len(part)
        seen.append(resident() - before)
    taken = time.perf_counter() - begun
    tenths = [f"{seen[(len(seen) - 1) * n // 10] / MEGA:.0f}" for n in range(11)]
    print(f"{kind}: {taken:.1f} s, {size / MEGA:.1f} MB; memory above the beginning, MB: {', '.join(tenths)}")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


if __name__ == "__main__":
    main()

"""How long a backup and its restore take, on a server that makes commits durable. A command, not a test.

Invents its rows in a private database that is gone afterwards: python -m tests.bench_restore --visits 1000000
"""

import argparse
import json
import sys
import time
from argparse import Namespace
from pathlib import Path

from django.db import connection, transaction

from tests import own_database
from tests.bench_marts import INVENT, RECORDS, VISITS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=1_000_000, help="and as many records, of a fifth of patients")
    options = parser.parse_args()
    folder = own_database.provide(is_durable=True)
    _measure(options.visits, folder / "night.backup")


def _measure(visits: int, place: Path) -> None:
    from medilink.backups import dump, restore

    invent(Namespace(facilities=max(20, visits // 500), patients=visits // 5, count=visits))
    began = time.perf_counter()
    made = dump.make(str(place))
    backup = time.perf_counter() - began
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        (size,) = cursor.fetchone()
    done = restore.rehearse(str(place), lambda step: sys.stderr.write(f"{step}\n"))
    told = {"database_bytes": size, "backup_seconds": round(backup, 1), "backup_bytes": made.bytes} | done.told()
    print(json.dumps(told, indent=1))
    assert not done.different


def invent(options: Namespace) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for sql in (INVENT, RECORDS, VISITS):
            cursor.execute(sql, vars(options))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


if __name__ == "__main__":
    main()

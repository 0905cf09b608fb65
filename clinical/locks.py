"""What keeps loads of files and people who move whole rows out of each other's way: advisory locks by facility.

A load of a dataset holds the facilities that it speaks of, or (of very many) the whole dataset, until it is committed
(ingestion/load/context.py). Who merges holds them for all datasets: what a load has looked up is still so when it
writes.
"""

from collections.abc import Iterable

from django.db import connection

OF_LOADS = 0x6D70  # the first key of the first dataset's locks; the others follow
DATASETS = 4
WHOLE_DATASET = 0  # no facility has this id


def keep_loads_out(facility_ids: Iterable[int]) -> None:
    """Waits for loads that speak of these facilities, and keeps later ones waiting until this transaction is over.

    To be called before any row is locked. Raises OperationalError where the wait is longer than `lock_timeout`.
    """
    keys = sorted({facility_id % 2**31 for facility_id in facility_ids})
    with connection.cursor() as cursor:
        for dataset in range(DATASETS):
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [OF_LOADS + dataset, WHOLE_DATASET])
            cursor.execute(
                "SELECT pg_advisory_xact_lock(%s, key) FROM unnest(%s::int[]) key",
                [OF_LOADS + dataset, keys],
            )

"""Who works on an export: a lease by the database's clock, numbered by attempts, so that a late worker can do nothing.

It is written on a connection of its own, since the worker's is inside the snapshot that the export is read from.
"""

import json
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

LEASE = "3 minutes"
RENEW_AFTER = 10.0  # seconds
MOST_ATTEMPTS = 5
KEPT = timedelta(hours=24)

TAKE = f"""
UPDATE fhir_exports SET status = 'running', attempts = attempts + 1, lease_until = clock_timestamp() + '{LEASE}'
WHERE id = (
    SELECT id FROM fhir_exports
    WHERE id = %s AND attempts < %s
      AND (status = 'queued' OR status = 'running' AND lease_until < clock_timestamp())
    FOR UPDATE SKIP LOCKED)
RETURNING attempts
"""  # noqa: S608  # our own words
OURS = "id = %(export)s AND attempts = %(attempt)s AND status = 'running'"
RENEW = f"UPDATE fhir_exports SET lease_until = clock_timestamp() + '{LEASE}' WHERE {OURS}"  # noqa: S608
BEGIN = f"UPDATE fhir_exports SET transaction_at = %(at)s, grants = %(grants)s WHERE {OURS}"  # noqa: S608
FINISH = f"""
UPDATE fhir_exports SET status = %(status)s, lease_until = NULL, finished_at = clock_timestamp(),
    expires_at = clock_timestamp() + %(kept)s
WHERE {OURS}
"""  # noqa: S608
GIVE_BACK = f"UPDATE fhir_exports SET status = 'queued', lease_until = NULL WHERE {OURS}"  # noqa: S608
# A part and the export's row in one statement: what a late worker adds is added to nothing.
ADD = f"""
INSERT INTO fhir_export_parts
    (export_id, "of", type, "table", after_id, upto_id, digest, file, resources, size, patient_ids)
SELECT id, %(of)s, %(type)s, %(table)s, %(after)s, %(upto)s, %(digest)s, %(file)s, %(resources)s, %(size)s,
    %(patients)s::bigint[]
FROM fhir_exports WHERE {OURS}
ON CONFLICT (export_id, "of", type, "table", after_id) DO UPDATE SET
    upto_id = excluded.upto_id, digest = excluded.digest, file = excluded.file, resources = excluded.resources,
    size = excluded.size, patient_ids = excluded.patient_ids
"""  # noqa: S608
DROP = f"""
DELETE FROM fhir_export_parts WHERE id = ANY(%(parts)s) AND export_id = (SELECT id FROM fhir_exports WHERE {OURS})
"""  # noqa: S608


class ClaimLost(Exception):
    """Another worker has taken the export over, or who asked for it has cancelled it."""


@dataclass
class Claim:
    export: int
    attempt: int
    connection: Any
    _renewed: float = field(default_factory=time.monotonic)

    def renew(self) -> None:
        """Whenever something was done; writes at most every few seconds."""
        if time.monotonic() - self._renewed > RENEW_AFTER:
            self._ours(RENEW)
            self._renewed = time.monotonic()

    def begin(self, at: datetime, grants: list[list[Any]]) -> None:
        self._ours(BEGIN, at=at, grants=json.dumps(grants))

    def add(self, **part: Any) -> None:
        self._ours(ADD, **part)
        self._renewed = 0.0

    def drop(self, parts: list[int]) -> None:
        if parts:
            self._run(DROP, parts=parts)

    def finish(self, status: str) -> None:
        self._ours(FINISH, status=status, kept=KEPT)

    def give_back(self) -> None:
        self._run(GIVE_BACK)

    def _ours(self, sql: str, **values: Any) -> None:
        if not self._run(sql, **values):
            raise ClaimLost(f"Export {self.export} is no longer ours.")

    def _run(self, sql: str, **values: Any) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values | {"export": self.export, "attempt": self.attempt})
            return int(cursor.rowcount)

    def close(self) -> None:
        self.connection.close()


def take(export_id: int) -> Claim | None:
    """For one caller only; None where somebody alive has it, it is over, or has been tried too often."""
    own = connections.create_connection(DEFAULT_DB_ALIAS)
    with own.cursor() as cursor:
        cursor.execute(TAKE, [export_id, MOST_ATTEMPTS])
        found = cursor.fetchone()
    if found:
        return Claim(export_id, found[0], own)
    own.close()
    return None

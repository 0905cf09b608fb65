"""Which texts the events bear, how often at which facility, and what the map makes of them: found anew by each pass.

One transaction, one at a time. A text that no event bears any more is forgotten. Deleted rows and patients whose
processing is restricted are left out.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models import Q

from clinical import row_security
from clinical.locks import oldest_writer
from clinical.models import TermPass, TermText
from clinical.models.terms import LONGEST
from clinical.terms import shipped
from clinical.terms.mapping import Map, current
from clinical.terms.shipped import Kind
from clinical.terms.words import Status

LOCK = 7_340_231  # of this database, for whoever writes what texts mean
IN_FORCE = """
deleted_at IS NULL AND patient_id NOT IN (SELECT id FROM patients WHERE restricted_at IS NOT NULL)
"""
FIND = f"""
CREATE TEMPORARY TABLE term_found ON COMMIT DROP AS
SELECT kind, text, facility_id, sum(times)::integer AS times
FROM (
    SELECT 'diagnosis' AS kind, said AS text, facility_id, count(*) AS times
    FROM triage_visits CROSS JOIN unnest(conditions) AS said WHERE {IN_FORCE} GROUP BY 2, 3
    UNION ALL
    SELECT 'diagnosis', data ->> 'diagnosis', facility_id, count(*)
    FROM medical_records WHERE {IN_FORCE} GROUP BY 2, 3
    UNION ALL
    SELECT 'medication', data ->> 'medications', facility_id, count(*)
    FROM medical_records WHERE {IN_FORCE} GROUP BY 2, 3
) AS said
WHERE text COLLATE pg_c_utf8 ~ '[[:alnum:]]' AND length(text) <= {LONGEST}
GROUP BY 1, 2, 3;
ANALYZE term_found;
"""  # noqa: S608  # our own words
NEW = """
SELECT DISTINCT kind, text FROM term_found f
WHERE NOT EXISTS (SELECT FROM term_texts t WHERE t.kind = f.kind AND t.text = f.text)
"""
OLD = "SELECT kind, text FROM term_texts WHERE version <> %s"
# And those not understood yet, of which it may be a part.
WITH_KEY = """
SELECT kind, text FROM term_texts
WHERE kind = %(kind)s AND (
    keys @> ARRAY[%(key)s] OR EXISTS (SELECT FROM unnest(unknown) AS word WHERE strpos(word, %(key)s) > 0)
)
"""
WRITE = """
INSERT INTO term_texts (kind, text, keys, unknown, codings, state, version)
SELECT kind, text, keys, unknown, codings, state, %s
FROM jsonb_to_recordset(%s::jsonb)
    AS said (kind text, text text, keys text[], unknown text[], codings jsonb, state text)
ON CONFLICT (kind, text) DO UPDATE SET
    keys = excluded.keys, unknown = excluded.unknown, codings = excluded.codings, state = excluded.state,
    version = excluded.version
"""
FORGET = """
DELETE FROM term_texts t WHERE NOT EXISTS (SELECT FROM term_found f WHERE f.kind = t.kind AND f.text = t.text)
"""
COUNT = """
UPDATE term_texts t SET times = f.times
FROM (SELECT kind, text, sum(times)::integer AS times FROM term_found GROUP BY 1, 2) AS f
WHERE f.kind = t.kind AND f.text = t.text AND f.times <> t.times;
CREATE TEMPORARY TABLE term_now ON COMMIT DROP AS
SELECT t.id AS text_id, f.facility_id, f.times
FROM term_found f JOIN term_texts t ON t.kind = f.kind AND t.text = f.text
WHERE t.state <> 'mapped';
ANALYZE term_now;
DELETE FROM term_counts c WHERE NOT EXISTS (
    SELECT FROM term_now n WHERE n.text_id = c.text_id AND n.facility_id = c.facility_id AND n.times = c.times
);
INSERT INTO term_counts (text_id, facility_id, times)
SELECT text_id, facility_id, times FROM term_now ORDER BY 1, 2
ON CONFLICT (text_id, facility_id) DO NOTHING;
DROP TABLE term_found, term_now
"""
WORK_MEM = "256MB"  # one pass at a time


@transaction.atomic
def bring_up() -> int:
    """The pass. Returns how many texts were read, new ones and those of an older version of the map."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SELECT set_config('work_mem', %s, true)", [WORK_MEM])
        seen_until = oldest_writer()  # before rows are read
        cursor.execute(FIND)
        cursor.execute(FORGET)
        chosen = current()
        cursor.execute(NEW)
        found = cursor.fetchall()
        cursor.execute(OLD, [chosen.version])
        found += cursor.fetchall()
        _write(cursor, chosen, found)
        if found:  # else the first pass joins by loops over what the planner takes for an empty table
            cursor.execute("ANALYZE term_texts")
        cursor.execute(COUNT)
    TermPass.objects.update_or_create(id=1, defaults={"seen_until": seen_until, "map_number": shipped.newest()})
    return len(found)


@row_security.lifted()
def read_again(kind: str, key: str) -> None:
    """The texts that have this part, once a decision on it was taken; in its transaction."""
    with connection.cursor() as cursor:
        cursor.execute(WITH_KEY, {"kind": kind, "key": key})
        _write(cursor, current(), cursor.fetchall())


def _write(cursor: Any, chosen: Map, found: Iterable[Sequence[str]]) -> None:
    told = [_told(chosen, Kind(kind), text) for kind, text in found]
    if told:
        cursor.execute(WRITE, [chosen.version, json.dumps(told)])


def _told(chosen: Map, kind: Kind, text: str) -> dict[str, Any]:
    parts = chosen.read(kind, text)
    unknown = [part.key for part in parts if part.status == Status.UNKNOWN and part.key]
    is_sure = all(part.status == Status.CONFIRMED for part in parts)
    return {
        "kind": kind,
        "text": text,
        "keys": [part.key for part in parts],
        "unknown": [*dict.fromkeys(unknown)],
        "codings": chosen.codings(kind, text),
        "state": "unmapped" if unknown else "mapped" if is_sure else "qualified",
    }


@row_security.lifted()
def texts_named(kind: Kind, codes: Iterable[tuple[str | None, str]]) -> tuple[list[str], TermPass] | None:
    """The texts that the last pass saw and that name one of these (system or None, code or ""), and that pass.

    None where no pass has been made with the newest map: then nothing is known of any text.
    """
    last = TermPass.objects.filter(map_number=shipped.newest()).first()
    if last is None:
        return None
    asked = Q(pk__in=[])
    for system, code in codes:
        asked |= Q(codings__contains=[[word for word in (system, code) if word]])
    return [*TermText.objects.filter(asked, kind=kind).values_list("text", flat=True)], last

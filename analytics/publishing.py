"""Publishing: what the aggregated marts say is kept as of a day, once a day. It may run twice, late, or beside itself.

Only lines that are new, gone or not as they were are written: one statement per table, all marts in one transaction.
"""

import json
import logging
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from analytics import marts, trust
from analytics.history import MartState
from analytics.publications import Publication
from clinical import access, geography
from clinical.locks import alone
from ingestion.models import IngestRun
from ingestion.nights import UNFINISHED

logger = logging.getLogger(__name__)
LOCK = 7_340_214  # of this database, for whoever publishes


class AlreadyPublishing(Exception):
    """Another process publishes at this moment."""


class NotFit(Exception):
    """A mart's last refresh failed, or was of another day: it would be published under the wrong one."""


@dataclass(frozen=True)
class Part:
    """One table of schema published, and where its lines are read."""

    table: str
    grain: tuple[str, ...]
    source: str


def _part(mart: str, *grain: str) -> Part:
    return Part(mart, grain, f"marts.{mart}")


# What is known of a condition as a whole changes with every visit: were it kept on each line, all would change nightly.
CONDITIONS = Part(
    "conditions",
    ("condition",),
    "(SELECT DISTINCT condition, condition_total, frequency_rank, severity_rank, shows_total, shown_frequency_rank,"
    " shown_severity_rank FROM marts.condition_analysis)",
)
PARTS: dict[str, tuple[Part, ...]] = {
    "dim_facilities": (_part("dim_facilities", "facility_id"),),
    "facility_performance": (_part("facility_performance", "facility_id"),),
    "patient_groups": (_part("patient_groups", "facility_id", "age_group", "sex"),),
    "triage_trends": (_part("triage_trends", "state", "day"),),
    "condition_analysis": (
        _part("condition_analysis", "condition", "month", "state", "age_group", "sex"),
        CONDITIONS,
    ),
}
COLUMNS = """
SELECT array_agg(quote_ident(attname) ORDER BY attnum) FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('first_on', 'last_on')
"""
# The lines that end are written before those that begin, since a place of the grain has one open line.
PUBLISH = """
WITH ended AS (
    UPDATE published.{table} p SET last_on = %(day)s - 1
    WHERE p.last_on IS NULL AND NOT EXISTS (
        SELECT FROM {source} m WHERE {same_place} AND ROW({new}) IS NOT DISTINCT FROM ROW({old}))
    RETURNING 1
), begun AS (
    INSERT INTO published.{table} ({columns}, first_on)
    SELECT {new}, %(day)s FROM {source} m
    WHERE (SELECT count(*) FROM ended) >= 0 AND NOT EXISTS (
        SELECT FROM published.{table} p
        WHERE p.last_on IS NULL AND {same_place} AND ROW({new}) IS NOT DISTINCT FROM ROW({old}))
    RETURNING 1
)
SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM begun)
"""
DIGEST = """
SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)::text
FROM published.{table} WHERE last_on IS NULL
"""


def publish(*, is_forced: bool = False) -> list[Publication]:
    """What was published now: nothing, where today's publication is there already, which is left as it is.

    Refused where a mart's last refresh failed or is not of today, unless forced. That something was delivered since is
    no reason: a country never stops delivering, and the publication says of when it is.
    """
    with alone(LOCK, AlreadyPublishing("Another process publishes.")):
        is_outermost = not connection.in_atomic_block
        with transaction.atomic(), connection.cursor() as cursor:
            if is_outermost:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT staging.lagos_today()")
            (day,) = cursor.fetchone()
            states = {state.mart: state for state in MartState.objects.filter(mart__in=PARTS)}
            due = [mart for mart in PARTS if not Publication.objects.filter(mart=mart, day__gte=day).exists()]
            if due and not is_forced:
                _look(states, day)
            trusts = Trusts()
            return [_published(cursor, mart, states[mart].as_of, day, trusts) for mart in due if mart in states]


def after_the_night() -> list[Publication]:
    """What the night and each refresh after it call: publishes once the day's run is over and the marts have seen it.

    So a night whose services were away, or beside which the marts were being refreshed, is published a little later
    and not as it was before.
    """
    run = IngestRun.objects.filter(night_on=timezone.localdate()).exclude(status__in=UNFINISHED).first()
    if not marts.have_seen(run, *PARTS):
        return []
    try:
        return publish()
    except NotFit as error:
        logger.warning("%s", error)
    except AlreadyPublishing as error:
        logger.info("%s", error)
    return []


def _look(states: dict[str, MartState], day: date) -> None:
    failed = [mart for mart in PARTS if mart not in states or states[mart].has_failed]
    old = [mart for mart in PARTS if mart in states and states[mart].lagos_day != day]
    if failed or old:
        why = [f"{', '.join(failed)}: the last refresh failed"] if failed else []
        why += [f"{', '.join(old)}: not refreshed today"] if old else []
        raise NotFit(f"Nothing was published. {'; '.join(why)}.")


class Trusts(dict[tuple[frozenset[str], datetime], dict[str, trust.Trust]]):
    """By datasets and instant: of the nation (''), and of each state. As everybody sees it: what is hidden from whom is
    counted where it is read."""

    def of(self, mart: str, as_of: datetime) -> dict[str, trust.Trust]:
        key = trust.DATASETS[mart], as_of
        if key not in self:
            states = ("", *geography.STATES)
            self[key] = {state: trust.of([mart], access.EVERYTHING, state or None)[2] for state in states}
        return self[key]


def _published(cursor: Any, mart: str, as_of: datetime, day: date, trusts: Trusts) -> Publication:
    changed, digests, rows = 0, [], 0
    for part in PARTS[mart]:
        cursor.execute(COLUMNS, [f"published.{part.table}"])
        (columns,) = cursor.fetchone()
        words = {
            "table": part.table,
            "source": part.source,
            "columns": ", ".join(columns),
            "new": ", ".join(f"m.{column}" for column in columns),
            "old": ", ".join(f"p.{column}" for column in columns),
            "same_place": " AND ".join(f"m.{column} = p.{column}" for column in part.grain),
        }
        cursor.execute(PUBLISH.format(**words), {"day": day})
        changed += cursor.fetchone()[0]
        cursor.execute(DIGEST.format(**words))
        count, digest = cursor.fetchone()
        digests.append(digest)
        rows = rows or count
    told = trusts.of(mart, as_of)
    lines = [(mart, day, state, json.dumps(one, default=datetime.isoformat)) for state, one in told.items()]
    cursor.executemany("INSERT INTO published.trust (mart, day, state, trust) VALUES (%s, %s, %s, %s::jsonb)", lines)
    batches = told[""]["batches"]
    return Publication.objects.create(
        day=day,
        mart=mart,
        as_of=as_of,
        published_at=timezone.now(),
        rows=rows,
        changed=changed,
        batches=batches["count"],
        last_batch_id=batches["last_id"],
        digest=":".join(digests),
    )

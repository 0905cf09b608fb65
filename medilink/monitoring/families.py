"""Every metric that /metrics may print: what kind it is and what it says; and how it is written."""

from collections import defaultdict
from collections.abc import Iterable

from medilink.monitoring.counts import series

GAUGE, COUNTER, HISTOGRAM, SUMMARY = "gauge", "counter", "histogram", "summary"
FAMILIES: dict[str, tuple[str, str]] = {
    "medilink_build_info": (GAUGE, "Which build answers; always 1."),
    "medilink_migrations_pending": (GAUGE, "Migrations of this code that the database does not have."),
    # The night
    "medilink_last_good_run_age_seconds": (GAUGE, "Since the last run ended with no file stopped."),
    "medilink_tonight_finished": (GAUGE, "1 where the nightly run of today (Lagos) is over; absent before any night."),
    "medilink_last_night_seconds": (GAUGE, "What the last nightly run took."),
    "medilink_last_night_rows": (GAUGE, "Rows of the last nightly run that is over, by what became of them."),
    "medilink_beat_age_seconds": (GAUGE, "Since beat last started any task."),
    # Loading
    "medilink_batches": (GAUGE, "Batches by dataset and status."),
    "medilink_stopped_batches": (GAUGE, "Batches that wait for a steward, by the code of the reason."),
    "medilink_rows_total": (COUNTER, "Rows of loaded batches, by dataset and what became of them."),
    "medilink_load_seconds": (SUMMARY, "From a batch's claim to its commit."),
    "medilink_stage_seconds": (SUMMARY, "Of each stage of a load, by dataset."),
    "medilink_objects_waiting": (GAUGE, "Objects that wait for over an hour for the archive or a safe place."),
    "medilink_open_rejected_rows": (GAUGE, "Refused rows that nobody has settled, by the code of the reason."),
    # Marts
    "medilink_mart_age_seconds": (GAUGE, "Since the instant that the mart's rows are of."),
    "medilink_mart_stale": (GAUGE, "1 where its tables have changed since."),
    "medilink_mart_failed": (GAUGE, "1 where its last refresh failed."),
    "medilink_mart_rows": (GAUGE, "Rows of the mart."),
    "medilink_mart_refresh_seconds": (GAUGE, "What its last refresh took that went well."),
    "medilink_mart_recent_failures": (GAUGE, "Failures among its last twenty refreshes."),
    "medilink_row_changes": (GAUGE, "Changes that are kept for marts to see, up to 100,000."),
    # The API
    "medilink_http_requests_total": (COUNTER, "Answers by the route's template, method and kind of status."),
    "medilink_http_request_seconds": (HISTOGRAM, "Time to the answer by the route's template."),
    "medilink_http_requests_in_flight": (GAUGE, "Requests that are being answered."),
    # Workers and broker
    "medilink_broker_up": (GAUGE, "1 where the broker answers."),
    "medilink_broker_bytes": (GAUGE, "Memory that the broker uses."),
    "medilink_broker_max_bytes": (GAUGE, "Memory that the broker may use; 0 where nothing is set."),
    "medilink_workers_alive": (GAUGE, "Workers that have spoken within half a minute."),
    "medilink_queue_length": (GAUGE, "Messages that no worker has taken."),
    "medilink_queue_oldest_seconds": (GAUGE, "Since the oldest of them was queued."),
    "medilink_unacknowledged_messages": (GAUGE, "Messages that workers have and have not done."),
    "medilink_refused_messages_total": (COUNTER, "Messages that were no task of ours and were thrown away."),
    "medilink_tasks_total": (COUNTER, "Tasks that were started, done, failed or put off, by name."),
    "medilink_task_seconds": (SUMMARY, "What tasks took, by name."),
    # The database, and what is kept
    "medilink_database_bytes": (GAUGE, "Size of the database."),
    "medilink_database_connections": (GAUGE, "Connections to this database, by role."),
    "medilink_database_max_connections": (GAUGE, "Connections that the server lets in."),
    "medilink_replica_lag_seconds": (GAUGE, "How far the replica is behind; absent where there is none."),
    "medilink_last_backup_age_seconds": (GAUGE, "Since the last good backup; absent where none is made here."),
    "medilink_audit_seal_age_seconds": (GAUGE, "Since the audit was last sealed."),
    "medilink_open_alerts": (GAUGE, "What people are told of and what is not over, by kind."),
    # This answer
    "medilink_scrape_errors": (GAUGE, "1 where a part of this answer failed; its figures are absent."),
    "medilink_scrape_seconds": (GAUGE, "What each part of this answer took."),
}
PARTS_OF = {HISTOGRAM: ("_bucket", "_sum", "_count"), SUMMARY: ("_sum", "_count")}
OWNER = {name + ending: name for name, (kind, _) in FAMILIES.items() for ending in PARTS_OF.get(kind, ("",))}
Sample = tuple[str, dict[str, str], float]


def written(samples: Iterable[Sample], counted: dict[str, float]) -> str:
    """Prometheus' text format 0.0.4. `counted` are series that are written already; what has no family is left out."""
    lines: dict[str, list[str]] = defaultdict(list)
    for name, labels, value in samples:
        lines[OWNER[name]].append(f"{series(name, labels)} {float(value):.15g}")
    for one, value in sorted(counted.items()):
        family = OWNER.get(one.partition("{")[0])
        if family:
            lines[family].append(f"{one} {value:.15g}")
    told: list[str] = []
    for family, (kind, said) in FAMILIES.items():
        if family in lines:
            told += [f"# HELP {family} {said}", f"# TYPE {family} {kind}", *lines[family]]
    return "\n".join([*told, ""])

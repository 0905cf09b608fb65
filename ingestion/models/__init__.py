"""What was delivered, what became of it, and what stewards have decided about it. Nothing here knows S3 or CSV."""

from ingestion.models.answers import Cause, CauseComment, Rule, RuleUse, Source
from ingestion.models.batches import (
    COUNTS,
    LEASE,
    LOADED,
    MAX_ATTEMPTS,
    SETTLED,
    STOPPED,
    AuditLog,
    IngestBatch,
    IngestBatchQuerySet,
    IngestRun,
    Kind,
    Release,
    Sighting,
    Status,
)
from ingestion.models.excluded import ExcludedRows
from ingestion.models.refused import RejectedRow

__all__ = [
    "COUNTS",
    "LEASE",
    "LOADED",
    "MAX_ATTEMPTS",
    "SETTLED",
    "STOPPED",
    "AuditLog",
    "Cause",
    "CauseComment",
    "ExcludedRows",
    "IngestBatch",
    "IngestBatchQuerySet",
    "IngestRun",
    "Kind",
    "RejectedRow",
    "Release",
    "Rule",
    "RuleUse",
    "Sighting",
    "Source",
    "Status",
]

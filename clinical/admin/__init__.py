"""The stewards' desk for people, facilities, patients and their events: search, filters, and few ways to change.

Nothing is ever removed.
"""

from clinical.admin import accounts, audit, events, patients

__all__ = ["accounts", "audit", "events", "patients"]

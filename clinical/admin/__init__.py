"""The stewards' desk for people, facilities, patients and their events: search, filters, and few ways to change.

Nothing is ever removed. The pages on probable duplicates are in clinical/duplicates/desk.py.
"""

from clinical.admin import accounts, audit, clients, events, patients
from clinical.duplicates import desk as duplicates

__all__ = ["accounts", "audit", "clients", "duplicates", "events", "patients"]

"""The stewards' desk for people, facilities, patients and their events: search, filters, and few ways to change.

Nothing is ever removed. The pages on probable duplicates are in clinical/duplicates/desk.py, those on
words in clinical/terms/desk.py.
"""

from clinical.admin import accounts, audit, clients, events, patients, vitals
from clinical.duplicates import desk as duplicates
from clinical.terms import desk as terms

__all__ = ["accounts", "audit", "clients", "duplicates", "events", "patients", "terms", "vitals"]

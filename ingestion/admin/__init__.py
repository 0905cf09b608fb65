"""The stewards' desk for what was delivered: batches, refused rows, and what was decided once for all about a source.

It shows and asks; what a decision does is ingestion/stewards.py.
"""

from ingestion.admin import batches, decisions, rejected

__all__ = ["batches", "decisions", "rejected"]

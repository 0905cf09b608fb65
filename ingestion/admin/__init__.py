"""The stewards' desk for what was delivered: batches, refused rows and their causes, rules, and what a source delivers.

It shows and asks; what a decision does is ingestion/stewards.py.
"""

from ingestion.admin import batches, decisions, rejected, rules, runs

__all__ = ["batches", "decisions", "rejected", "rules", "runs"]

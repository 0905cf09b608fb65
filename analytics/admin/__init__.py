"""The answers at the stewards' desk: the marts and their checks, and the facilities that have fallen silent."""

from analytics.admin import marts, silence

__all__ = ["marts", "silence"]

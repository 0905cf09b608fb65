"""The answers at the stewards' desk: the marts, the quality of the data, and the facilities that have fallen silent."""

from analytics.admin import marts, monitors, quality, silence

__all__ = ["marts", "monitors", "quality", "silence"]

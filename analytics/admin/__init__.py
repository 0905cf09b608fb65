"""The answers at the stewards' desk: the marts, the quality of the data, silent facilities, the nightly reports."""

from analytics.admin import marts, monitors, quality, reports, silence

__all__ = ["marts", "monitors", "quality", "reports", "silence"]

"""The answers at the stewards' desk: marts, the quality of the data, silent facilities, reports, sendings to DHIS2."""

from analytics.admin import dhis2, marts, monitors, quality, reports, silence

__all__ = ["dhis2", "marts", "monitors", "quality", "reports", "silence"]

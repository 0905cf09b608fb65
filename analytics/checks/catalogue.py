"""All data checks: what is promised of the data, and how good it is."""

from analytics.checks.check import Check
from analytics.checks.events import EVENTS
from analytics.checks.people import PEOPLE
from analytics.checks.places import PLACES
from analytics.checks.promises import PROMISES

CHECKS: tuple[Check, ...] = (*PROMISES, *PLACES, *PEOPLE, *EVENTS)
BY_NAME = {check.name: check for check in CHECKS}

"""The dashboard in short, for the first page of the desk."""

from typing import Any

from django.http import QueryDict

from analytics.dashboard import selection
from analytics.dashboard.figures import conditions, trends
from clinical.models import User

SHOWN = 5


def summary(user: User) -> dict[str, Any]:
    """The last 90 days in the user's scope: the curve of visits, and what was named most often."""
    reach = selection.reach(user, selection.read(QueryDict()))
    visits, (frequent, _) = trends.trends(reach), conditions.conditions(reach)
    return {
        "visits": visits,
        "conditions": frequent,
        "bars": frequent.drawing.get("bars", [])[:SHOWN],
    }

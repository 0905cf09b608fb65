"""Make the read-only role for Power BI, Tableau and Metabase: analytics/bi.py."""

from analytics import bi
from ingestion import doors


class Command(doors.RoleDoor):
    help = (
        f"Makes the database role {bi.ROLE}, which reads the views of schema bi and nothing else, and prints how to "
        "connect. Again: brings it back into shape. A role belongs to the whole server, so other databases there "
        "should not let PUBLIC connect. Exit codes: 0 done, 1 refused, 2 usage, 69 the database is away."
    )

    def create(self, password: str | None) -> str:
        return bi.create_role(password)

"""Make the role that the web connects as: medilink/web_role.py."""

from ingestion import doors
from medilink import web_role


class Command(doors.RoleDoor):
    help = (
        f"Makes the database role {web_role.ROLE}, as which the web connects: it owns nothing, and row-level security "
        "binds it. Prints how to connect; put it into DATABASE_WEB_URL of the web. Again: brings it back into shape. "
        "Exit codes: 0 done, 1 refused, 2 usage, 69 the database is away."
    )

    def create(self, password: str | None) -> str:
        return web_role.create(password)

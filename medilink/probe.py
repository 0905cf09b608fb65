"""Asks this container's own site whether it is ready: `python -m medilink.probe`, for the image's health check."""

import os
from contextlib import closing
from http.client import HTTPConnection


def main() -> int:
    """0 where it is ready, 1 where it is not; a site that does not answer raises."""
    # A host that the site answers for; it refuses others.
    host = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().lstrip(".") or "localhost"
    with closing(HTTPConnection("127.0.0.1", int(os.environ.get("PORT", "5000")), timeout=8)) as connection:
        connection.request("GET", "/readyz", headers={"Host": host, "Connection": "close"})
        with connection.getresponse() as answer:
            return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    raise SystemExit(main())

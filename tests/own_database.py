"""A database of its own for a command that measures: migrated, empty, and gone afterwards unless its folder is kept."""

import os
from pathlib import Path

import django
from django.core.management import call_command

from medilink import embedded


def provide(keep: Path | None = None, *, is_durable: bool = False, **environment: str) -> Path:
    """Nothing of this machine's servers is heeded; Redis and S3 are not there. Returns the folder.

    `is_durable`: commits are written to the disk, as a server of production does.
    """
    for name in list(os.environ):
        if name in ("DATABASE_URL", "POSTGRES_HOST") or name.startswith("MEDILINK_"):
            del os.environ[name]
    nowhere = {"REDIS_URL": "redis://127.0.0.1:1/0", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    os.environ |= {"DJANGO_SETTINGS_MODULE": "medilink.settings"} | nowhere | environment
    folder = keep or embedded.short_folder()[0]
    servers = embedded.provide(folder, is_throwaway=not (keep or is_durable), meanwhile=django.setup)
    if servers:
        servers.is_throwaway = keep is None
    call_command("migrate", verbosity=0)
    return folder

#!/usr/bin/env python
"""Django's commands, with embedded servers for what no environment variable names (medilink/embedded.py)."""

import os
import sys
from importlib import import_module

import django
from django.core.management import execute_from_command_line

from medilink import embedded

LOOK_AT_CODE_ONLY = {"check", "collectstatic", "findstatic", "help", "spectacular", "version"}
SERVICE_IS_AWAY = 69


def main(argv: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
    command = argv[1] if len(argv) > 1 else "help"
    if command == "doctor":  # starts nothing, and looks also where the settings let nothing start
        import_module("medilink.doctor.door").open_up(argv)
    elif command in LOOK_AT_CODE_ONLY or {"-h", "--help", "--version"} & set(argv):
        embedded.configure_nothing()
    else:
        try:
            embedded.provide(meanwhile=django.setup)
        except embedded.EmbeddedError as error:
            print(error, file=sys.stderr)
            sys.exit(SERVICE_IS_AWAY)
    execute_from_command_line(argv)


if __name__ == "__main__":
    main(sys.argv)

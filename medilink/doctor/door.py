"""How the command begins: manage.py calls it before Django looks for commands."""

import json
import sys

from medilink.doctor import opening
from medilink.doctor.settings_checks import REFUSED
from medilink.embedded import configure_nothing


def open_up(argv: list[str]) -> None:
    """Where the settings cannot be read at all, that is all there is to tell."""
    if {"-h", "--help"} & set(argv):
        configure_nothing()
    elif not opening.read_settings().is_readable:
        found = [REFUSED.seen(refusal) for refusal in dict.fromkeys(opening.state.refusals)]
        if "--json" in argv:
            print(json.dumps({"is_well": False, "findings": [one.as_dict() for one in found]}, indent=2))
        else:
            print(f"✗ {REFUSED.title} ({REFUSED.code})", *(f"  {one.seen}" for one in found), sep="\n")
            print(f"  → {REFUSED.do}\n  Nothing else can be looked at before. More: {found[0].runbook}")
        sys.exit(1)

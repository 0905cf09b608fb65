"""How the command begins (manage.py) and ends."""

import sys

from rich.console import Console

from medilink.doctor import opening


def open_up(argv: list[str]) -> None:
    """Before Django looks for commands. Where the settings cannot be read at all, that is all there is to tell."""
    if {"-h", "--help"} & set(argv):
        from medilink.embedded import configure_nothing

        configure_nothing()
        return
    if opening.read_settings().is_readable:
        return
    Console(stderr=True, highlight=False, markup=False).print(
        f"✗ The settings refuse to start anything  settings-refused\n  {opening.state.refusal}\n"
        "  Nothing else can be looked at before this is mended.  RUNBOOK.md#settings-refused",
        soft_wrap=True,
    )
    sys.exit(1)

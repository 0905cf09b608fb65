"""Named places where a test may kill, stop or delay this process. Without DEBUG_FAILPOINTS=1 they do nothing.

MEDILINK_FAILPOINT names one place and what happens there: `after_claim:kill`, `mid_copy:exit`, `mid_upsert:raise`,
`after_commit:sleep=30`, `mid_copy:stop`; with `@3` behind it, at the third time only. Settings refuse to start with it
outside the embedded mode.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count

NAMES = (
    *("after_list", "after_claim", "mid_download", "before_checksum", "mid_copy", "mid_validate", "mid_upsert"),
    *("mid_quarantine", "mid_audit", "after_commit", "after_archive_copy", "after_delete", "before_ack", "mid_refresh"),
)


class Failed(Exception):
    """What `raise` raises."""


def _signal(sign: signal.Signals) -> Callable[[str], None]:
    return lambda _argument: os.kill(os.getpid(), sign)


def _raise(_argument: str) -> None:
    raise Failed("as ordered")


_DEEDS: dict[str, Callable[[str], None]] = {
    "kill": _signal(signal.SIGKILL),
    "stop": _signal(signal.SIGSTOP),
    "exit": lambda _argument: os._exit(11),
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "raise": _raise,
}


def _armed(order: str) -> Callable[[str], None]:
    """`order` as the environment has it."""
    name, _, deed = order.partition(":")
    deed, _, nth = deed.partition("@")
    deed, _, argument = deed.partition("=")
    if name not in NAMES or deed not in _DEEDS:
        raise ValueError(f"MEDILINK_FAILPOINT={order!r} names no place or no deed that there is.")
    times: Iterator[int] = count(1)

    def at(here: str) -> None:
        if here == name and (not nth or next(times) == int(nth)):
            _DEEDS[deed](argument)

    return at


def _nothing(_here: str) -> None:
    pass


_order = os.environ.get("MEDILINK_FAILPOINT", "") if os.environ.get("DEBUG_FAILPOINTS") == "1" else ""
at: Callable[[str], None] = _armed(_order) if _order else _nothing

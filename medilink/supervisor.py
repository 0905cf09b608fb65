"""Child processes that do not outlive us: each gets a signal from the kernel when this process dies, even by kill -9.

Knows nothing of Django, nor of what the processes do.
"""

import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

# Bound before any fork: after one, and as another user, the library could not be loaded.
_prctl = getattr(ctypes.CDLL(None), "prctl", None)
_PR_SET_PDEATHSIG = 1


def spawn(
    argv: Sequence[str | Path],
    *,
    output: Path | int,
    death_signal: signal.Signals = signal.SIGKILL,
    config: bytes | None = None,
    **options: Any,
) -> "subprocess.Popen[bytes]":
    """Starts a process in a session of its own, so that a Ctrl-C reaches us only.

    Both its outputs go to `output`, a file that begins anew or a descriptor; `config` is written to its standard input.
    To be called from the main thread: the kernel watches the thread.
    """
    with output.open("wb") if isinstance(output, Path) else nullcontext(output) as target:
        process = subprocess.Popen(  # noqa: S603
            [str(part) for part in argv],
            stdin=subprocess.DEVNULL if config is None else subprocess.PIPE,
            stdout=target,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_tie(death_signal),
            **options,
        )
    if config is not None and process.stdin is not None:
        process.stdin.write(config)
        process.stdin.close()
    return process


def stop(process: "subprocess.Popen[bytes]", sign: signal.Signals, *, patience: float) -> None:
    """Asks the process to end, and ends it where it has not done so in time."""
    if process.poll() is None:
        process.send_signal(sign)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Group:
    """Named processes, each with a log file in `folder`; `show` gets (name, line) for each line, from a thread each."""

    def __init__(self, folder: Path, show: Callable[[str, str], None]) -> None:
        self._folder, self._show = folder, show
        self._running: dict[str, tuple[subprocess.Popen[bytes], threading.Thread]] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def start(self, name: str, argv: Sequence[str | Path], **options: Any) -> None:
        process = spawn(argv, output=subprocess.PIPE, **options)
        reader = threading.Thread(target=self._read, args=(name, process), daemon=True)
        reader.start()
        self._running[name] = process, reader

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def dead(self) -> list[str]:
        """The names of those that have ended by themselves."""
        return [name for name, (process, _) in self._running.items() if process.poll() is not None]

    def stop(self, patience: float = 10) -> None:
        """Asks all at once, then waits for each."""
        for process, _ in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process, reader in self._running.values():
            stop(process, signal.SIGTERM, patience=patience)
            reader.join()
        self._running.clear()

    def _read(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        if process.stdout is None:
            return
        with process.stdout as output, self.log(name).open("wb", buffering=0) as log:
            for line in output:
                log.write(line)
                self._show(name, line.decode(errors="replace").rstrip())


def _tie(death_signal: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:  # not Linux: children may outlive a kill -9
        return None
    prctl, parent = _prctl, os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie

"""A TCP proxy that loses what passes through it, as networks do: refuses, resets, or swallows without a word."""

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path


class Mode(Enum):
    PASS = "pass"
    REFUSE = "refuse"  # every connection is reset at once
    SWALLOW = "swallow"  # connections are taken and nothing comes back


class Wire:
    """Between a client and `upstream`, a port of this machine or the path of a socket. `url`s name its own port."""

    def __init__(self, upstream: Callable[[], int | Path], host: str = "127.0.0.1") -> None:
        self._upstream = upstream
        self.mode = Mode.PASS
        self.after_bytes: int | None = None  # from the server, then each connection is reset
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Resets every connection that is open."""
        for one in [*self._open]:
            self._reset(one)

    def heal(self) -> None:
        self.mode, self.after_bytes = Mode.PASS, None

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.mode is Mode.REFUSE:
                self._reset(client)
                continue
            try:
                server = self._connect()
            except OSError:
                self._reset(client)
                continue
            self._open |= {client, server}
            threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _connect(self) -> socket.socket:
        upstream = self._upstream()
        if isinstance(upstream, Path):
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(str(upstream))
            except OSError:
                server.close()
                raise
            return server
        return socket.create_connection(("127.0.0.1", upstream), timeout=None)

    def _pump(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                if self.mode is Mode.SWALLOW:
                    continue
                passed += len(piece)
                if is_answer and self.after_bytes is not None and passed > self.after_bytes:
                    break
                target.sendall(piece)
        for one in (source, target):
            self._reset(one)

    def _reset(self, one: socket.socket) -> None:
        """RST instead of FIN: what an overloaded or dying host sends."""
        self._open.discard(one)
        with suppress(OSError):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            one.close()

"""Where something may be left of what passed through: tables, broker, bucket, answers, mails; each is read whole."""

import json
import socketserver
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.lab import canary

Query = Callable[[str], Iterable[tuple[Any, ...]]]
RELATIONS = """
SELECT format('%I.%I', n.nspname, c.relname), c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1
"""
ADDRESSES = ("href", "src", "action", "formaction", "data-url", "data-href", "content")


def columns_that_tell(sql: Query) -> Counter[str]:
    """Of every row of every table and materialized view: `table.column`, and how many tell of her."""
    found: Counter[str] = Counter()
    for address, name in sql(RELATIONS):
        rows = (json.loads(row) for (row,) in sql(f"SELECT to_jsonb(t)::text FROM {address} t"))
        found.update({f"{name}.{column}": n for column, n in canary.columns_that_tell(rows).items()})
    return found


def keys_that_tell(valkey: Any) -> list[bytes]:
    """Keys of the broker by whose names or values she is told of."""
    return [key for key in valkey.scan_iter() if any(map(canary.is_in, (key, *_values(valkey, key))))]


def _values(valkey: Any, key: bytes) -> Iterator[bytes]:
    kind = valkey.type(key)
    if kind == b"string":
        yield valkey.get(key)
    elif kind == b"list":
        yield from valkey.lrange(key, 0, -1)
    elif kind == b"hash":
        yield from (part for pair in valkey.hgetall(key).items() for part in pair)
    elif kind == b"set":
        yield from valkey.smembers(key)
    elif kind == b"zset":
        yield from valkey.zrange(key, 0, -1)
    else:
        yield repr(valkey.xrange(key)).encode()


@contextmanager
def monitored(valkey: Any) -> Iterator[list[bytes]]:
    """Every command that the broker is sent, so that also what came and went is seen."""
    said: list[bytes] = []
    connection = valkey.connection_pool.get_connection()
    connection.send_command("MONITOR")
    connection.read_response()
    is_over = threading.Event()

    def listen() -> None:
        while not is_over.is_set():
            if connection.can_read(timeout=0.1):
                said.append(connection.read_response())

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield said
    finally:
        is_over.set()
        thread.join()
        connection.disconnect()


def objects_that_tell(s3: Any, bucket: str, may: tuple[str, ...]) -> list[str]:
    """Objects that tell of her in key, metadata or tags, or in their bytes, where the key does not begin with `may`."""
    found = []
    for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", ()):
        place = {"Bucket": bucket, "Key": entry["Key"]}
        about = s3.head_object(**place), s3.get_object_tagging(**place)["TagSet"]
        may_hold = entry["Key"].startswith(may)
        if canary.tells([entry, *about]) or (not may_hold and canary.is_in(s3.get_object(**place)["Body"].read())):
            found.append(entry["Key"])
    return found


# --- Answers of the site


class Page(HTMLParser):
    """Of a page: every address in it, and what its fields would send as they stand, the first of a name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.fields: dict[str, str] = {}
        self._area = self._choice = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = {name: text or "" for name, text in attributes}
        self.addresses += [text for name, text in said.items() if name in ADDRESSES or name.startswith("hx-")]
        name, kind = said.get("name", ""), said.get("type", "text")
        if (
            tag == "input"
            and kind not in ("submit", "button")
            and (kind not in ("checkbox", "radio") or "checked" in said)
        ):
            self.fields.setdefault(name, said.get("value", ""))
        elif tag == "textarea":
            self._area = name
            self.fields.setdefault(name, "")
        elif tag == "select":
            self._choice = name
        elif tag == "option" and "selected" in said and self._choice:
            self.fields[self._choice] = said.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.fields[self._area] = self.fields[self._area].removeprefix("\n")
            self._area = ""


def headers_that_tell(headers: Any) -> list[str]:
    """Names of an answer's headers, cookies among them, by what they say."""
    return [name for name, said in headers.items() if canary.is_in(said)]


# --- Mails and webhooks


@contextmanager
def mailbox() -> Iterator[tuple[int, list[bytes]]]:
    """A mail server that takes everything: its port, and what it took."""
    taken: list[bytes] = []

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 sink\r\n")
            while line := self.rfile.readline():
                verb = line[:4].upper()
                if verb == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    taken.append(b"".join(iter(self.rfile.readline, b".\r\n")))
                self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
                if verb == b"QUIT":
                    return

    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mail)) as port:
        yield port, taken


@contextmanager
def hook() -> Iterator[tuple[int, list[bytes]]]:
    taken: list[bytes] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with _serving(HTTPServer(("127.0.0.1", 0), Hook)) as port:
        yield port, taken


@contextmanager
def _serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A proxy in front of the S3 server that answers some requests badly, as real stores and real networks do."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Fault:
    status: int | None = None
    code: str = ""
    body: bytes = b""
    cut_at: int | None = None
    first: Callable[[], object] = lambda: None  # what happens before the request reaches the store
    more_query: str = ""  # what the store is asked beyond the request
    edit: Callable[[bytes], bytes] | None = None  # what the body becomes on its way


class Faults:
    """`bad` is asked for each request (method, path) and gives what goes wrong with it, if anything."""

    url = ""

    def begin(self, upstream: str) -> None:
        self.upstream, self.seen = urlsplit(upstream), []
        self.stop()

    def stop(self) -> None:
        self.bad: Callable[[str, str], Fault | None] = lambda _method, _path: None


@contextmanager
def proxy() -> Iterator[Faults]:
    faults = Faults()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def relay(self):
            faults.seen.append(self.command)
            fault = faults.bad(self.command, self.path) or Fault()
            fault.first()
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault.status:
                text = fault.body or f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>".encode()
                return self.answer(fault.status, {"Content-Type": "application/xml"}, text, len(text))
            connection = HTTPConnection(faults.upstream.hostname, faults.upstream.port, timeout=30)
            connection.request(self.command, self.path + fault.more_query, body, dict(self.headers))
            answer = connection.getresponse()
            content, headers = answer.read(), dict(answer.getheaders())
            announced = int(headers.pop("Content-Length", headers.pop("content-length", len(content))))
            connection.close()
            if fault.edit:
                content = fault.edit(content)
                announced = len(content)
            if fault.cut_at is not None:
                content = content[: fault.cut_at]
            return self.answer(answer.status, headers, content, announced)

        def answer(self, status, headers, content, announced):
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "date", "server", "content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = relay

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    faults.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield faults
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

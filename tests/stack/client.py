"""Who calls the site through its proxy: by its name, on a port of loopback, and only where its certificate is right."""

import json
import re
import socket
import ssl
from http.client import HTTPConnection, HTTPSConnection
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode


class _ByName(HTTPSConnection):
    """TLS to a loopback port, as if the site's name led there."""

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._context.wrap_socket(raw, server_hostname=self.host)


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)


class Site:
    """One kept connection, with the cookies that the site has set."""

    def __init__(self, host: str, port: int, authority: Path, timeout: float = 60):
        self.host = host
        context = ssl.create_default_context(cafile=str(authority))
        self._connection = _ByName(host, port, context=context, timeout=timeout)
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"Host": self.host, "Referer": f"https://{self.host}/"}
        if self.cookies:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        try:
            self._connection.request(method, path, body, named)
            answer = Answer(self._connection.getresponse())
        except BaseException:
            self._connection.close()
            raise
        for line in answer.headers.get_all("Set-Cookie", []):
            self.cookies |= {name: morsel.value for name, morsel in SimpleCookie(line).items()}
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, told: object, **headers: str) -> Answer:
        return self.ask("POST", path, json.dumps(told).encode(), Content_Type="application/json", **headers)

    def fill_in(self, path: str, **fields: str) -> Answer:
        """A form of the desk, read first for its token."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(path).text)[1]
        body = urlencode(fields | {"csrfmiddlewaretoken": token}).encode()
        return self.ask("POST", path, body, Content_Type="application/x-www-form-urlencoded")

    def close(self) -> None:
        self._connection.close()


def plain(port: int, path: str, host: str) -> Answer:
    """Without TLS."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Host": host})
        return Answer(connection.getresponse())
    finally:
        connection.close()

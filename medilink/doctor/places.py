"""Hosts, as the doctor names them: where they are, and whether their names are known."""

import socket


def found_of(host: str, port: int) -> str:
    """The address in words."""
    return f"The socket in {host}" if host.startswith("/") else f"{host or 'localhost'}:{port}"


def is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False

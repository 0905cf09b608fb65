"""A name server as compose has one: each name's addresses of the moment. `python names.py PORT FOLDER`.

The folder has a file per name, an address a line. Answers questions of type A only.
"""

import socket
import struct
import sys
from pathlib import Path


def answer(question: bytes, folder: Path) -> bytes:
    name, end = [], 12
    while length := question[end]:
        name.append(question[end + 1 : end + 1 + length].decode())
        end += length + 1
    end += 5
    (kind,) = struct.unpack(">H", question[end - 4 : end - 2])
    file = folder / name[0]
    found = file.read_text().split() if kind == 1 and file.is_file() else []
    lines = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + socket.inet_aton(address) for address in found]
    return question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0) + question[12:end] + b"".join(lines)


def main(port: int, folder: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", port))
        while True:
            question, asker = door.recvfrom(512)
            door.sendto(answer(question, folder), asker)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))

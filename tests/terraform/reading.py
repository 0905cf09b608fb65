"""The files of terraform/ as plain values, read without Terraform: names and texts without the quotes of HCL."""

from functools import cache
from pathlib import Path

import hcl2

FOLDER = Path(__file__).resolve().parents[2] / "terraform"


class Configuration:
    """What all files say together; `changed` replaces texts of some, to show that a rule can fail."""

    def __init__(self, **changed):
        texts = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.tf"))}
        self.texts = texts | {name.replace("_tf", ".tf"): text for name, text in changed.items()}
        self.blocks = [block for text in self.texts.values() for block in [_read(text)]]

    def all(self, kind):
        """`variable`, `output`, `locals`: by name, from every file."""
        return {name: body for file in self.blocks for one in file.get(kind, ()) for name, body in one.items()}

    def of(self, type_, kind="resource"):
        found = {}
        for file in self.blocks:
            for one in file.get(kind, ()):
                found |= one.get(type_, {})
        return found

    def types(self):
        return [
            (type_, name, body)
            for file in self.blocks
            for one in file.get("resource", ())
            for type_, named in one.items()
            for name, body in named.items()
        ]

    def statements(self, document=None):
        """Of policy documents: (document, statement)."""
        for name, body in self.of("aws_iam_policy_document", "data").items():
            for statement in body.get("statement", ()):
                if document in (None, name):
                    yield name, statement


@cache
def _read(text):
    return _plain(hcl2.loads(text))


def _plain(value):
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        return value[1:-1]
    return value

"""docker-compose.yml and the Dockerfile as data: what compose would make of them, for whoever runs or checks them."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).resolve().parents[2]


class Missing(Exception):
    """A variable that the file calls required has no value."""


def read(variables: Mapping[str, str]) -> dict[str, Any]:
    """The whole file, merged and with `variables` put in, as `docker compose config` would show it."""
    return _put_into(yaml.safe_load((PROJECT / "docker-compose.yml").read_text()), variables)


def _put_into(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _put_into(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [_put_into(part, variables) for part in value]
    return interpolated(value, variables) if isinstance(value, str) else value


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """Compose's rules: $$, ${NAME}, and with :- - :+ + :? ?, one inside another."""
    done = ""
    while text:
        before, dollar, text = text.partition("$")
        done += before
        if not dollar:
            break
        if text.startswith("$"):
            done, text = done + "$", text[1:]
        elif text.startswith("{"):
            inside, text = _braced(text)
            done += _value(inside, variables)
        else:
            raise ValueError(f"A lone $ before {text[:20]!r}; compose takes $$ for one.")
    return done


def _braced(text: str) -> tuple[str, str]:
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return text[1:at], text[at + 1 :]
    raise ValueError(f"Nothing closes {text[:20]!r}.")


def _value(inside: str, variables: Mapping[str, str]) -> str:
    name, colon, how, other = re.fullmatch(r"(\w+)(:?)([-+?]?)(.*)", inside, re.DOTALL).groups()
    given = variables.get(name)
    is_there = bool(given) if colon else given is not None
    if how == "+":
        return interpolated(other, variables) if is_there else ""
    if is_there or not how:
        return given or ""
    if how == "?":
        raise Missing(f"{name}: {other}")
    return interpolated(other, variables)


def command(service: Mapping[str, Any]) -> list[str]:
    """What it runs; the image's own where it says nothing."""
    said = service.get("command")
    return shlex.split(said) if said else image_command()


def image_command() -> list[str]:
    text = (PROJECT / "Dockerfile").read_text().replace("\\\n", "")
    return json.loads(re.findall(r"^CMD (\[.*\])$", text, re.MULTILINE)[-1])


def health_check(service: Mapping[str, Any]) -> list[str]:
    how, *words = service["healthcheck"]["test"]
    return ["sh", "-c", *words] if how == "CMD-SHELL" else words

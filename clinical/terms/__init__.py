"""What codes the words of a diagnosis or a medicine have."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Coding(NamedTuple):
    system: str
    code: str
    display: str


def codings(kind: str, texts: Iterable[str]) -> Mapping[str, list[Coding]]:
    """Of each text; none of what is not mapped. `kind` is diagnosis or medication."""
    return {text: [] for text in texts}

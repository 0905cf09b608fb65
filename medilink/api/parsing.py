"""Bodies: JSON of at most 1 MiB, and nothing else."""

from typing import IO, Any

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from clinical.api.refusals import TooLarge

MOST_BYTES = 1024 * 1024


class JSONBody(BaseParser):
    """Strict: no NaN, no lone surrogates; read no further than the limit, whatever length was announced."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        body = stream.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise TooLarge
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ParseError("The body is no valid JSON.") from error

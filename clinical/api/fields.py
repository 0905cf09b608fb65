"""Fields of a body: clinical/values judges them, as it judges the cells of a file.

What a file would load with a warning is refused here. The codes are DRF's own where it has one, else ingestion's in
lower case.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from clinical import geography, values
from clinical.api import parameters
from clinical.values import Invalid

TEXTS: dict[str, Any] = {
    "type_invalid": "Cannot be read; see the documentation for how it is written.",
    "enum": "Is none of the known values.",
    "range": "Lies outside of what is possible.",
    "date_future": "Lies in the future.",
    "date_ambiguous": "Day and month could be meant either way; write YYYY-MM-DD.",
    "char_removed": "Holds an invisible or control character; write it anew.",
    "phone_invalid": "Is no phone number; write it as 08031234567 or +2348031234567.",
}


class Verbatim(serializers.CharField):
    """A JSON string, kept as it is."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Truth(serializers.BooleanField):
    """true or false, and nothing that could be taken for them."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=type(data).__name__)
        return data


class Text(serializers.CharField):
    """A text as it is stored. Empty and null are the same, where it may be empty."""

    default_error_messages = {**TEXTS}
    is_name = False

    def __init__(self, **kwargs: Any) -> None:
        if not kwargs.get("required", True):
            kwargs |= {"allow_null": True, "allow_blank": True}
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        cleaned, has_removable = values.text(data, is_name=self.is_name)
        if has_removable:
            self.fail("char_removed")
        if not cleaned and not self.allow_blank:
            self.fail("blank")
        return self.parsed(cleaned) if cleaned else None

    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation(data) or (None if self.allow_null else "")

    def parsed(self, text: str) -> Any:
        return text

    def by(self, parse: Any, *args: Any) -> Any:
        """What a parser of clinical/values makes of it, or its refusal."""
        try:
            return parse(*args)
        except Invalid as error:
            self.fail(error.code.lower())


class Name(Text):
    is_name = True

    def __init__(self, column: str, **kwargs: Any) -> None:
        super().__init__(max_length=values.LENGTHS[column], **kwargs)


class FreeText(Text):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=values.FREE_TEXT_BYTES, **kwargs)

    def parsed(self, text: str) -> str:
        if len(text.encode()) > values.FREE_TEXT_BYTES:
            self.fail("max_length", max_length=f"{values.FREE_TEXT_BYTES} bytes of")
        return text


@extend_schema_field({"type": "string", "enum": list(geography.STATES)})
class State(Text):
    is_name = True

    def parsed(self, text: str) -> str:
        return str(self.by(values.state, text))


@extend_schema_field({"type": "string", "enum": ["M", "F", "Other", "Unknown"]})
class Sex(Text):
    def parsed(self, text: str) -> str:
        return str(self.by(values.sex, text))


@extend_schema_field(
    {"type": "string", "nullable": True, "example": "+2348031234567", "description": "Stored as E.164."}
)
class Phone(Text):
    def parsed(self, text: str) -> str:
        phone = values.phone(text)
        if phone is None:
            self.fail("phone_invalid")
        return phone


@extend_schema_field({"type": "string", "format": "date", "description": "Not before 1900 and not in the future."})
class Dob(Text):
    """The day, and whether only its month or year is known."""

    def parsed(self, text: str) -> tuple[date, bool]:
        found: tuple[date, bool] = self.by(values.dob, text, timezone.localdate())
        return found


@extend_schema_field({"type": "string", "format": "date-time", "description": "Without a zone it is Lagos time."})
class Instant(Text):
    def parsed(self, text: str) -> datetime:
        found: datetime = self.by(values.instant, text, timezone.now() + timedelta(days=1))
        return found


class WholeNumber(serializers.IntegerField):
    """A JSON integer; texts and fractions are of the wrong type."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class Id(WholeNumber):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=1, max_value=parameters.LARGEST_ID, **kwargs)


class Degrees(serializers.FloatField):
    """A JSON number; clinical/values judges both coordinates together."""

    def to_internal_value(self, data: Any) -> Decimal:  # type: ignore[override]  # exact, unlike a float
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        return Decimal(repr(data))


class Items(serializers.ListField):
    """A list of texts, in order, 64 KiB together."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(child=FreeText(), required=False, **kwargs)

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        items = super().to_internal_value(data)
        if sum(len(item.encode()) for item in items) > values.FREE_TEXT_BYTES:
            raise serializers.ValidationError("Is longer than 64 KiB.", code="max_length")
        return items

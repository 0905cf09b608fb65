"""Every code a file or a row can carry, with what it means and what to do; and the exception that refuses a file.

One catalogue, taken from the delivery contract; admin, API and README show its sentences. It judges nothing.
"""

from dataclasses import dataclass
from enum import StrEnum


class FileRefused(Exception):
    """The whole file loads nothing. The text is the reason alone: no cell, no key."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Level(StrEnum):
    FILE = "file"  # the batch is rejected
    HOLD = "hold"  # the batch waits for a steward
    WAIT = "wait"  # the batch goes on by itself
    BATCH = "batch"  # the batch could not be read or loaded to the end
    ROW = "row"  # the row is refused, the others load
    WARNING = "warning"  # it loads all the same


@dataclass(frozen=True)
class Code:
    level: Level
    meaning: str
    action: str


def code_of(reason: str) -> str:
    """The code without its detail: `LENGTH` of `LENGTH:lga`."""
    return reason.partition(":")[0]


# Rows refused for these alone are tried again whenever parents change, and never hold a file.
PARENT_CODES = frozenset({"FACILITY_NOT_FOUND", "FACILITY_AMBIGUOUS", "PATIENT_NOT_FOUND", "PATIENT_AMBIGUOUS"})


def _codes(level: Level, **sentences: tuple[str, str]) -> dict[str, Code]:
    return {name: Code(level, meaning, action) for name, (meaning, action) in sentences.items()}


# In the order in which a file is judged: the first that applies is the reason.
_FILE = _codes(
    Level.FILE,
    UNKNOWN_DATASET=(
        "The file name starts with none of the four datasets, or does not end in .csv or .csv.gz.",
        "Deliver it again under a name such as patients.csv, and remove this object.",
    ),
    FILE_TOO_LARGE=(
        "Decoded, the file is larger than INGEST_MAX_BYTES.",
        "Deliver it in parts, or raise INGEST_MAX_BYTES and retry.",
    ),
    CHECKSUM_MISMATCH=(
        "The bytes that arrived are not those that the bucket announced.",
        "Retry; where it happens again, have the sender upload the file anew.",
    ),
    EMPTY_FILE=(
        "The file has no byte, or only line ends.",
        "Ask the sender why the export was empty; a day without rows still has a header.",
    ),
    NOT_CSV=(
        "By its first bytes this is another kind of file: a spreadsheet, PDF, web page, archive or picture.",
        "Have it exported as CSV, and compressed only under a name that ends in .csv.gz.",
    ),
    GZIP_TRUNCATED=(
        "The compressed file ends too early or is damaged.",
        "Have the sender upload it again.",
    ),
    GZIP_BOMB=(
        "The compressed file unpacks to more than 100 times its size.",
        "Look at who delivered it; a genuine one can be delivered uncompressed.",
    ),
    ENCODING_INVALID=(
        "From the given byte on, the file is not UTF-8.",
        "Have it saved as UTF-8 (in Excel: CSV UTF-8) and delivered again.",
    ),
    HEADER_TOO_WIDE=(
        "The header has more than 100 columns.",
        "Deliver the columns of this dataset only.",
    ),
    HEADER_MISSING=(
        "The first line holds none of this dataset's columns.",
        "Put the column names on the first line, separated by commas.",
    ),
    HEADER_DUPLICATE_COLUMN=(
        "The named column stands in the header twice.",
        "Remove or rename one of the two and deliver the file again.",
    ),
    HEADER_MISSING_COLUMN=(
        "The named column is required and not in the header.",
        "Add the column, its cells may be empty where the contract allows it, and deliver the file again.",
    ),
    QUOTE_UNBALANCED=(
        "A quote opened in the record on the given line is not closed where it should be; it swallows the lines below.",
        "Close or double the quote on that line and deliver the file again.",
    ),
)

_HOLD = _codes(
    Level.HOLD,
    SAME_CONTENT_NEW_DATE=(
        "The same bytes as an earlier delivery, under a later date.",
        "Release it as new events, or as the same delivery again; the answer can be remembered for the source.",
    ),
    OVERLAP_SUSPECT=(
        "Most of these events are stored already under an earlier day: this may be a full export.",
        "Release it as new events or as a snapshot; the answer can be remembered for the source.",
    ),
    ROW_ERROR_RATIO=(
        "More than a tenth of the rows would be refused for their own content.",
        "Look at the reasons; release the file as it is, or discard it and have it corrected.",
    ),
)

_WAIT = _codes(
    Level.WAIT,
    WAITS_FOR_PATIENTS=(
        "The patients file of the same folder could not be loaded, so its events wait.",
        "Settle the patients batch: a corrected delivery, a release or a discard lets this one go on.",
    ),
)

_BATCH = _codes(
    Level.BATCH,
    OBJECT_GONE=(
        "The object was deleted from the bucket before it was read.",
        "Ask the sender to deliver it again.",
    ),
    OBJECT_OVERWRITTEN=(
        "The object was overwritten before it was read; the newer one is a batch of its own.",
        "Nothing: the newer delivery is loaded in its place.",
    ),
    ATTEMPTS_EXHAUSTED=(
        "Three workers began to load it and none came to an end.",
        "Look at the workers' logs and memory, then retry the batch.",
    ),
    TOKENS_MISSING=(
        "It has the column row_token of a correction file, but no row holds a token that Medilink gave out.",
        "Have the correction file filled in again with its tokens; in a sender's own export, rename that column.",
    ),
    INTERNAL_ERROR=(
        "Loading it failed in a way that Medilink does not know, three times.",
        "Report the batch to whoever runs Medilink: its log names the kind of error; then retry.",
    ),
)

_ROW = _codes(
    Level.ROW,
    FIELD_COUNT=(
        "The line has more or fewer cells than the header.",
        "Correct the cells here, or have the file corrected: often a comma in an unquoted cell.",
    ),
    QUOTE_SUSPECT=(
        "A quoted cell holds whole lines of this file: a quote was probably left open.",
        "Check the lines that follow in the file; correct this row and deliver the swallowed ones again.",
    ),
    REQUIRED_MISSING=(
        "The named cell must be filled and is empty.",
        "Fill it and replay.",
    ),
    TYPE_INVALID=(
        "The named cell is not a value of its kind: no date, no whole number.",
        "Correct it (dates as YYYY-MM-DD) and replay.",
    ),
    DATE_AMBIGUOUS=(
        "The date is written with slashes or dots, so day and month cannot be told apart.",
        "Write it as YYYY-MM-DD and replay; have the sender export dates so.",
    ),
    DATE_FUTURE=(
        "The date lies after the delivery.",
        "Correct it and replay.",
    ),
    RANGE=(
        "The named value lies outside what is possible.",
        "Correct it and replay.",
    ),
    ENUM=(
        "The named cell is none of the values allowed there.",
        "Choose one of the allowed values and replay.",
    ),
    LENGTH=(
        "The named cell is longer than its column; nothing is ever cut.",
        "Shorten it and replay.",
    ),
    FACILITY_NOT_FOUND=(
        "No facility of this name is known where the row places it.",
        "Deliver or add the facility, or say which one this source means by the name.",
    ),
    FACILITY_AMBIGUOUS=(
        "Several facilities carry this name.",
        "Give state and LGA, or say which one this source means by the name.",
    ),
    PATIENT_NOT_FOUND=(
        "No such patient is known at this facility.",
        "Deliver or add the patient; the row is tried again by itself.",
    ),
    RULE_TAKEN_BACK=(
        "The rule by which the row came in was taken back.",
        "It is tried again without the rule; correct it, or make another rule.",
    ),
    PATIENT_AMBIGUOUS=(
        "Several patients of this facility carry the name, or a refused patient row does.",
        "Give the date of birth, choose the patient, or settle the refused patient row.",
    ),
    IDENTITY_CONFLICT=(
        "The row contradicts what is stored of the same identity: another sex, or another patient for a known id.",
        "Find out which is right; correct the row or the stored one, then replay or dismiss.",
    ),
    DUP_IN_FILE_CONFLICT=(
        "Several rows of this file claim one identity and contradict each other.",
        "Keep the right one: correct or dismiss the others, then replay.",
    ),
)

_WARNING = _codes(
    Level.WARNING,
    EMPTY_DATA=(
        "The file has a header and no rows.",
        "Nothing, unless rows were expected.",
    ),
    HEADER_UNKNOWN_COLUMN=(
        "The named column is none of this dataset's; it is not loaded.",
        "Have the sender leave it out, above all where it holds personal data.",
    ),
    CHAR_REMOVED=(
        "Invisible or control characters were removed from the named column.",
        "Nothing; tell the sender where it happens often.",
    ),
    LGA_UNKNOWN=(
        "The LGA is not known in this state; it is kept as delivered.",
        "Correct the spelling at the source.",
    ),
    LGA_MISSING=(
        "The LGA is empty; the facility was told by its name and state alone.",
        "Have the sender fill it.",
    ),
    GEO_INVALID=(
        "The coordinates are no decimal degrees; the facility loads without them.",
        "Correct them at the source.",
    ),
    GEO_OUTSIDE=(
        "The coordinates lie outside Nigeria; the facility loads without them.",
        "Correct them at the source; latitude and longitude may be swapped.",
    ),
    GEO_INCOMPLETE=(
        "Only one of latitude and longitude is given; the facility loads without them.",
        "Give both or neither.",
    ),
    SEX_MISSING=(
        "The sex is empty and stored as Unknown.",
        "Nothing; a later delivery fills it.",
    ),
    PHONE_INVALID=(
        "The phone is no valid number; the patient loads without it.",
        "Correct it at the source.",
    ),
    DELETED_BY_STEWARD=(
        "The row meets a facility, patient or event that a steward has deleted; it changes nothing.",
        "Nothing, or restore the deleted one.",
    ),
)

CODES: dict[str, Code] = _FILE | _HOLD | _WAIT | _BATCH | _ROW | _WARNING

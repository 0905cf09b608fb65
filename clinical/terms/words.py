"""Reading words: when two spellings are one, where a text has several parts, and what its qualifiers say.

Pure functions over texts. They know no map: `find` says which keys are on it.
"""

import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

Find = Callable[[str], object]


class Status(StrEnum):
    """What a text says of a word of the map. Only `confirmed` is a meaning that anything is counted or coded by."""

    CONFIRMED = "confirmed"
    PROVISIONAL = "provisional"
    REFUTED = "refuted"
    HISTORY = "history"  # of the past, of the family, a risk, a contact, a vaccination
    UNKNOWN = "unknown"


class Part(NamedTuple):
    """One thing that a text names: as it is written, its key on the map, and how sure the text is of it."""

    text: str
    key: str
    status: Status
    dose: str = ""


# American and British spelling, and the commonest plural, meet in the key; nobody reads it.
APOSTROPHES = "'\u2019`\u00b4"
SPELLINGS = (
    ("æ", "e"),
    ("œ", "e"),
    ("ae", "e"),
    ("oe", "e"),
    ("sulph", "sulf"),
    ("isation", "ization"),
    ("rrhea", "rrea"),
)
ENDINGS = (("our", "or"), ("tre", "ter"), ("ies", "y"))
NO_PLURAL = ("ss", "us", "is")


def key(text: str) -> str:
    """The same for spellings that differ in case, accents, punctuation, plural, or British and American ways."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign) and sign not in APOSTROPHES)
    plain = re.sub(r"\+\s*ve\b", " positive ", plain)
    plain = re.sub(r"(^|[\s(])[-\u2212\u2013]\s*ve\b", r"\1 negative ", plain)
    plain = plain.replace("&", " and ")
    return " ".join(_plain(word) for word in re.findall(r"[^\W_]+", plain))


def _plain(word: str) -> str:
    for one, other in SPELLINGS:
        word = word.replace(one, other)
    for end, other in ENDINGS:
        if len(word) > len(end) + 2 and word.endswith(end):
            return word.removesuffix(end) + other
    if len(word) > 3 and word.endswith("s") and not word.endswith(NO_PLURAL):
        return word[:-1]
    return word


def _phrases(status: Status | None, text: str) -> dict[str, Status | None]:
    return {key(phrase): status for phrase in text.split(";")}


# None adds nothing: a known hypertensive has hypertension.
BEFORE = (
    _phrases(
        None,
        "known; known case of; k/c/o; kco; case of; dx; diagnosis; diagnosed with; confirmed; a; an; the; unspecified",
    )
    | _phrases(Status.PROVISIONAL, "suspected; suspect; suspicion of; probable; probably; possible; possibly; query")
    | _phrases(Status.PROVISIONAL, "likely; presumed; presumptive; rule out; to rule out; r/o; tro; imp; impression")
    | _phrases(Status.PROVISIONAL, "differential; ddx; provisional; working diagnosis; suggestive of; features of")
    | _phrases(Status.REFUTED, "no; not; nil; negative for; neg for; no evidence of; without; denies; denied; never")
    | _phrases(Status.REFUTED, "ruled out; excluded; absence of; free of; not a case of; no signs of; unlikely")
    | _phrases(Status.HISTORY, "history of; hx of; h/o; hx; past; previous; old; post; s/p; status post; resolved")
    | _phrases(
        Status.HISTORY, "family history of; fhx of; fh of; treated; recovered from; past history of; pmh of; pmh"
    )
    | _phrases(Status.HISTORY, "risk of; at risk of; contact with; exposure to; prophylaxis for; screening for")
    | _phrases(Status.HISTORY, "vaccination against; immunization against; fear of; past medical history of")
)
AFTER = (
    _phrases(None, "confirmed; patient; unspecified; nos")
    | _phrases(Status.PROVISIONAL, "suspected; query; probable; possible; to be confirmed; to rule out; likely")
    | _phrases(Status.REFUTED, "negative; neg; ruled out; excluded; absent; nil; unlikely; not seen; rdt negative")
    | _phrases(Status.HISTORY, "in the past; resolved; treated; survivor; prophylaxis; contact; screening; risk")
    | _phrases(Status.HISTORY, "vaccination; immunization; history; in family; previously")
)
LONGEST = 4  # words of a phrase
# What says more wins: "no history of malaria" denies it.
WEIGHT = (Status.CONFIRMED, Status.PROVISIONAL, Status.HISTORY, Status.REFUTED)

STRONG = re.compile(r"[;\n\r]+")
WEAK = re.compile(r",(?!\d{3}\b)|\s*\+(?!\s*ve\b)\s*|\s+(?:and|plus)\s+|\s*&\s*", re.IGNORECASE)
SLASH = re.compile(r"(?<=\w\w\w)/(?=\w\w)|\s/\s")  # not of r/o, 5/7, mg/ml


class _Read(NamedTuple):
    part: Part
    is_before: bool = False  # the qualifier stands before the word, so that it may be of what follows too


def diagnoses(text: str, find: Find) -> list[Part]:
    """The parts of a text, in order. One that is not wholly understood is one part of status unknown."""
    return _parts(text, find, _diagnosis)


def medications(text: str, find: Find) -> list[Part]:
    """The medicines of a text, each with what else is said of it: its dose, form and times."""
    return _parts(text, find, _medication)


def _parts(text: str, find: Find, read: Callable[[str, Find], _Read | None]) -> list[Part]:
    whole = read(text, find)
    if whole:
        return [whole.part]
    return [part for piece in STRONG.split(text) if key(piece) for part in _of_piece(piece.strip(), find, read)]


def _of_piece(text: str, find: Find, read: Callable[[str, Find], _Read | None]) -> list[Part]:
    """Split at weak separators only where all that is between them is known: "burn of hand, first degree" stays one."""
    whole = read(text, find)
    if whole:
        return [whole.part]
    reads: list[_Read | None] = []
    for piece in filter(key, WEAK.split(text)):
        one = read(piece.strip(), find)
        reads += [one] if one else [read(half, find) for half in SLASH.split(piece.strip()) if key(half)]
    known = [one for one in reads if one]
    parts = _together(known) if len(known) == len(reads) > 0 else None
    return parts or [Part(text, key(text), Status.UNKNOWN)]


def _together(reads: list[_Read]) -> list[Part] | None:
    """None where it cannot be told which of the parts a qualifier is of: "no malaria and typhoid"."""
    parts: list[Part] = []
    over: Status | None = None
    for part, is_before in reads:
        if part.status == Status.CONFIRMED:
            if over in (Status.REFUTED, Status.HISTORY):
                return None
            parts.append(part._replace(status=over or part.status))
            continue
        if not is_before and any(one.status == Status.CONFIRMED for one in parts):
            return None
        over = part.status if is_before else over
        parts.append(part)
    return parts


def _diagnosis(text: str, find: Find) -> _Read | None:
    status = Status.PROVISIONAL if "?" in text else Status.CONFIRMED
    is_before = text.lstrip().startswith("?")
    words = key(text).split()
    while words:
        if find(" ".join(words)):
            return _Read(Part(text, " ".join(words), status), is_before)
        phrase = _phrase(words, BEFORE, from_end=False)
        if phrase is not None:
            is_before = is_before or BEFORE[" ".join(phrase)] is not None
            found = BEFORE[" ".join(phrase)]
            words = words[len(phrase) :]
        else:
            phrase = _phrase(words, AFTER, from_end=True)
            if phrase is None:
                return None
            found = AFTER[" ".join(phrase)]
            words = words[: -len(phrase)]
        status = max(status, found or status, key=WEIGHT.index)
    return None


def _phrase(words: list[str], known: dict[str, Status | None], *, from_end: bool) -> list[str] | None:
    """The longest known phrase that the words begin or end with, where something is left beside it."""
    for length in range(min(LONGEST, len(words) - 1), 0, -1):
        phrase = words[-length:] if from_end else words[:length]
        if " ".join(phrase) in known:
            return phrase
    return None


AMOUNT = re.compile(
    r"(?<![\w.])\d[\d,.]*\s*(?:%|(?:mg|g|gm|gram|grams|mcg|µg|ug|ml|mls|l|iu|i\.u\.|units?|meq|mmol|mu|hrs?|hourly|h|days?|"
    r"weeks?|wks?|months?|tabs?|tablets?|caps?|capsules?|puffs?|drops?)(?!\w))?"
    r"(?:\s*/\s*(?:\d[\d.]*\s*)?(?:ml|mg|l|g|day|kg|hr|h|actuat|7|12|52)?(?!\w))?(?!\w)",
    re.IGNORECASE,
)
SAID_OF_A_DOSE = (
    "t x od bd bid tds tid qds qid stat prn sos nocte mane daily once twice thrice times time a day per week "
    "weekly night morning hourly for then po iv im sc pr pv sl oral orally inj injection injectable tab tablet "
    "cap capsule syrup syr susp suspension solution sol cream ointment oint gel lotion drop eye ear nasal inhaler "
    "inhalation nebule nebulizer nebulized infusion sachet spray supp suppository pessary vaginal topical patch "
    "extended release delayed sustained modified action chewable dispersible soluble film coated product powder "
    "pack ampoule amp vial bottle strip dose dosage loading maintenance intravenous intramuscular subcutaneous "
    "slow retard sr er xr la cr mr dt sf in of at bed needed as when required and to adult paediatric pediatric "
    "every dly hr hour minute week month puff"
)
BRAND = re.compile(r"\[[^\]]*\]")  # said beside the generic name
DOSE_KEYS = frozenset(map(key, SAID_OF_A_DOSE.split()))
SALTS = {
    *("hydrochloride", "hcl", "sodium", "potassium", "sulfate", "phosphate", "maleate"),
    *("besylate", "acetate", "citrate", "tartrate", "succinate", "propionate", "hydrobromide"),
}


def _medication(text: str, find: Find) -> _Read | None:
    status = Status.PROVISIONAL if "?" in text else Status.CONFIRMED
    for name, dose in _names(text):
        if find(name):
            return _Read(Part(text, name, status, dose), text.lstrip().startswith("?"))
    return None


def _names(text: str) -> list[tuple[str, str]]:
    """Ever less of the text, with what was taken off: all, without amounts, without what is said of a dose, no salt."""
    whole = key(text)
    text = BRAND.sub(" ", text)
    amounts = " ".join(found.group().strip() for found in AMOUNT.finditer(text))
    words = key(AMOUNT.sub(" ", text)).split()
    bare = [word for word in words if word not in DOSE_KEYS]
    said = " ".join(word for word in words if word in DOSE_KEYS)
    dose = " ".join(filter(None, (amounts, said)))
    unsalted = [word for word in bare if word not in SALTS]
    return [(whole, ""), (" ".join(words), amounts), (" ".join(bare), dose), (" ".join(unsalted), dose)]

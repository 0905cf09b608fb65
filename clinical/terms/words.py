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


# Signs that say nothing of the words beside them. All others stay in the key, where no word of the map has them.
HARMLESS = ".,;:'\"()[]{}/&+?\u00ae\u201c\u201d"
ACCENTS = set(map(chr, (*range(0x300, 0x305), *range(0x306, 0x30D), 0x323, 0x327, 0x331)))
TOKEN = re.compile(rf"[^\W_]+|(?:[^\w\s{re.escape(HARMLESS)}]|_)+")
BY_SIGN = [
    (re.compile(pattern), meaning)
    for pattern, meaning in (
        (r"\s+", " "),
        (r"-(?: ?-)+", "-"),
        (r"\u00b1|\+\s*/?\s*-|-\s*/\s*\+|-\+", " \u00b1 "),
        (r"\+\s*ve\b", " positive "),
        (r"-+\s*ve\b", " negative "),
        (r"[(\[{]\s*-+\s*[)\]}]", " negative "),
        (r"(?<=\S)\s*-[\s.,;:/\")\]}]*$", " negative "),
        (r"[(\[{]\s*[)\]}]", " \u2610 "),  # nothing is ticked there
        (r"\.{3,}", " \u2026 "),  # nor filled in
        (r"(?<=[^\W_])[-_](?=[^\W_])", " "),
        (r"\u00d7", " x "),
        (r"&", " and "),
    )
]


def key(text: str) -> str:
    """The same for spellings that differ in case, accents, punctuation, plural, or British and American ways.

    A sign that may say something stays in it: a minus, a box to tick, one that cannot be seen.
    """
    plain = _normal(text).casefold()
    plain = "".join(sign for sign in plain if sign not in ACCENTS and sign not in APOSTROPHES)
    for pattern, meaning in BY_SIGN:
        plain = pattern.sub(meaning, plain)
    return " ".join(_plain(word) for word in TOKEN.findall(plain))


def _normal(text: str) -> str:
    """With one sign for all dashes and minuses, and ASCII's for those of other widths."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join("-" if sign == "\u2212" or unicodedata.category(sign) == "Pd" else sign for sign in decomposed)


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
    _phrases(None, "known; known case of; known case; k/c/o; k/c of; k/c; kco; case of; dx; diagnosis")
    | _phrases(None, "diagnosed with; confirmed; a; an; the; unspecified")
    | _phrases(Status.PROVISIONAL, "suspected; suspect; suspicion of; probable; probably; possible; possibly; query")
    | _phrases(Status.PROVISIONAL, "likely; presumed; presumptive; rule out; to rule out; r/o; to r/o; tro; t/r/o; imp")
    | _phrases(Status.PROVISIONAL, "impression; could be; may be; maybe; questionable; ruling out; differentials")
    | _phrases(Status.PROVISIONAL, "differential; ddx; d/dx; differential diagnosis; provisional; working diagnosis")
    | _phrases(Status.PROVISIONAL, "suggestive of; features of")
    | _phrases(Status.REFUTED, "no; not; nil; negative for; neg for; no evidence of; without; denies; denied; never")
    | _phrases(Status.REFUTED, "negative; neg; denying; deny; nil history of; not known; nad for")
    | _phrases(Status.REFUTED, "ruled out; excluded; absence of; free of; not a case of; no signs of; unlikely")
    | _phrases(Status.HISTORY, "history of; hx of; h/o; hx; past; previous; old; post; s/p; status post; resolved")
    | _phrases(
        Status.HISTORY, "family history of; fhx of; fh of; treated; recovered from; past history of; pmh of; pmh"
    )
    | _phrases(Status.HISTORY, "risk of; at risk of; contact with; exposure to; prophylaxis for; screening for")
    | _phrases(Status.HISTORY, "family history; fhx; fh; f/h; prevention of; previously; recent; risk factors for")
    | _phrases(Status.HISTORY, "cured; recovering from; was treated for; treated for; completed treatment for")
    | _phrases(Status.HISTORY, "mother has; father has; sibling has; parents have; mother is; father is; husband has")
    | _phrases(Status.HISTORY, "vaccination against; immunization against; fear of; past medical history of")
)
AFTER = (
    _phrases(None, "confirmed; patient; unspecified; nos")
    | _phrases(Status.PROVISIONAL, "suspected; query; probable; possible; to be confirmed; to rule out; likely")
    | _phrases(
        Status.REFUTED, "negative; neg; ruled out; excluded; absent; nil; no; none; unlikely; not seen; rdt negative"
    )
    | _phrases(Status.REFUTED, "denied; not present; not detected; non reactive; nonreactive; test negative; -ve")
    | _phrases(Status.HISTORY, "in the past; resolved; treated; survivor; prophylaxis; contact; screening; risk")
    | _phrases(Status.HISTORY, "vaccination; immunization; history; in family; previously; in mother; in father; cured")
    | _phrases(Status.HISTORY, "last month; last year; last week; prevention; in childhood; as a child")
)
LONGEST = 4  # words of a phrase
# What may be said of another piece of the text.
QUALIFYING = {
    word for known in (BEFORE, AFTER) for phrase, status in known.items() if status for word in phrase.split()
}
QUALIFYING |= {*"all both test rdt smear result lab it is was were been has have now today yet still confirmed".split()}  # noqa: SIM905
# What says more wins: "no history of malaria" denies it.
WEIGHT = (Status.CONFIRMED, Status.PROVISIONAL, Status.HISTORY, Status.REFUTED)

DASHES = "-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
STRONG = re.compile(r"[;\n\r]+")
WEAK = re.compile(
    rf",(?!\d{{3}}\b)|\s*(?<![{DASHES}/])\+(?!\s*ve\b)(?!\s*/?\s*[{DASHES}])\s*|\s+(?:and|plus)\s+|\s*&\s*",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[^\W\d_]{4})\.\s+(?=[A-Z?])")  # not of an abbreviation's dot
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
    if not any(map(str.isalnum, text)):
        return []
    whole = read(text, find)
    if whole:
        return [whole.part]
    pieces = [piece.strip() for piece in STRONG.split(text) if _says(piece)]
    parts = [_of_piece(piece, find, read) for piece in pieces]
    if len(pieces) > 1 and any(map(_is_of_others, pieces, parts)):
        return [Part(text, key(text), Status.UNKNOWN)]
    return [one for of_piece in parts for one in of_piece]


def _says(piece: str) -> bool:
    return bool(key(piece)) or "?" in _normal(piece)


def _is_of_others(piece: str, parts: list[Part]) -> bool:
    """Whether it says something of pieces beside it: "malaria; typhoid; excluded", "differential: malaria; typhoid"."""
    heading, colon, _ = piece.partition(":")
    is_unknown = all(part.status == Status.UNKNOWN for part in parts)
    return (bool(colon) and _is_qualifier(heading)) or (is_unknown and _is_qualifier(piece))


def _is_qualifier(text: str) -> bool:
    return all(word in QUALIFYING or not word.isalnum() for word in key(text).split())


def _of_piece(text: str, find: Find, read: Callable[[str, Find], _Read | None]) -> list[Part]:
    """Split at weak separators only where all that is between them is known: "burn of hand, first degree" stays one."""
    whole = read(text, find)
    if whole:
        return [whole.part]
    sentences = [piece for piece in SENTENCE.split(text) if _says(piece)]
    if len(sentences) > 1:
        parts = [_of_piece(piece, find, read) for piece in sentences]
        named = [one for of_piece in parts for one in of_piece]
        is_understood = all(one.status != Status.UNKNOWN for one in named)
        if is_understood and not any(map(_is_of_others, sentences, parts)):
            return named
        return [Part(text, key(text), Status.UNKNOWN)]
    reads: list[_Read | None] = []
    for piece in filter(_says, WEAK.split(text)):
        one = read(piece.strip(), find)
        reads += [one] if one else [read(half, find) for half in SLASH.split(piece.strip()) if _says(half)]
    known = [one for one in reads if one]
    together = _together(known) if len(known) == len(reads) > 0 else None
    return together or [Part(text, key(text), Status.UNKNOWN)]


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
    status = _asked(text)
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


def _asked(text: str) -> Status:
    return Status.PROVISIONAL if "?" in _normal(text) else Status.CONFIRMED


def _phrase(words: list[str], known: dict[str, Status | None], *, from_end: bool) -> list[str] | None:
    """The longest known phrase that the words begin or end with, where something is left beside it."""
    for length in range(min(LONGEST, len(words) - 1), 0, -1):
        phrase = words[-length:] if from_end else words[:length]
        if " ".join(phrase) in known:
            return phrase
    return None


AMOUNT = re.compile(
    rf"(?<![\w.])\d[\d,.]*(?:\s*[{DASHES}]\s*\d[\d,.]*)?"
    r"\s*(?:%|(?:mg|g|gm|gram|grams|mcg|µg|ug|ml|mls|l|iu|i\.u\.|units?|meq|mmol|mu|hrs?|hourly|h|days?|"
    r"weeks?|wks?|months?|tabs?|tablets?|caps?|capsules?|puffs?|drops?)(?!\w))?"
    r"(?:\s*/\s*(?:\d[\d.]*\s*)?(?:ml|mg|l|g|day|kg|hr|h|actuat|7|12|52)?(?!\w))?(?!\w)"
    rf"(?:\s*[{DASHES}]\s*(?=[^\W\d_]))?",
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
NOT_GIVEN = (
    "no not nil neg x out past held hold never omitted withheld declined suspended refused allergic allergy cancelled "
    "discontinued stop stopped dc d/c"
)
BRAND = re.compile(
    rf"\[(?!\s*(?:{'|'.join(NOT_GIVEN.split())})\b)\s*[^\W\d_][^\]]*\]", re.IGNORECASE
)  # said beside the generic name
DASH_BEFORE_DOSE = re.compile(rf"(?<![{DASHES}\d\s])\s*[{DASHES}]+\s*(?=\d)")
DOSE_KEYS = frozenset(map(key, SAID_OF_A_DOSE.split()))
SALTS = {
    *("hydrochloride", "hcl", "sodium", "potassium", "sulfate", "phosphate", "maleate"),
    *("besylate", "acetate", "citrate", "tartrate", "succinate", "propionate", "hydrobromide"),
}


def _medication(text: str, find: Find) -> _Read | None:
    status = _asked(text)
    for name, dose in _names(text):
        if find(name):
            return _Read(Part(text, name, status, dose), text.lstrip().startswith("?"))
    return None


def _names(text: str) -> list[tuple[str, str]]:
    """Ever less of the text, with what was taken off: all, without amounts, without what is said of a dose, no salt."""
    whole = key(text)
    text = DASH_BEFORE_DOSE.sub(" ", BRAND.sub(" ", text))
    amounts = " ".join(found.group().strip(f" {DASHES}") for found in AMOUNT.finditer(text))
    words = key(AMOUNT.sub(" ", text)).split()
    bare = [word for word in words if word not in DOSE_KEYS]
    said = " ".join(word for word in words if word in DOSE_KEYS)
    dose = " ".join(filter(None, (amounts, said)))
    unsalted = [word for word in bare if word not in SALTS]
    # Soluble is a tablet's form and an insulin's name.
    insulin = [word for word in words if word not in DOSE_KEYS or word == "soluble"]
    return [
        (whole, ""),
        (" ".join(words), amounts),
        *([(" ".join(insulin), dose)] if "insulin" in insulin else ()),
        (" ".join(bare), dose),
        (" ".join(unsalted), dose),
    ]

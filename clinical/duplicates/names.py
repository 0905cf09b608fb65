"""How far two names of people agree: order, hyphens, accents, titles, apostrophes, spellings, initials and slips.

Pure and symmetric. Likeness is no identity: names that are like one another and belong to different people, above all
to twins, are in the table APART.
"""

import re
import unicodedata
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.distance import OSA

KNOWN = 200_000  # comparisons remembered: the same few thousand names come again and again


class Level(StrEnum):
    """How two names agree, best first."""

    SAME = "the same"
    VARIANT = "another spelling of it"
    CLOSE = "a slip apart"
    PART = "one of several names is the same"
    SHORT = "a short form of it"
    INITIAL = "an initial of it"
    NEAR = "a letter apart, but short"
    DIFFERENT = "different"


RANKS = {level: rank for rank, level in enumerate(reversed(Level))}


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


TITLES = _words_of(
    "alhaji alh alhaja hajia hajiya haj mallam malam mal mall malama dr doctor prof professor mr mrs ms miss master "
    "chief engr engineer barr barrister rev reverend pastor pst fr father sr sister bishop deacon deaconess evang "
    "evangelist imam sheikh sheik oba otunba prince princess hon honourable sen senator capt col sir lady madam "
    "madame comrade elder arc pharm nurse baby"
)

# Spellings of one name, a line each; the first word stands for all.
_SPELLINGS = """
muhammad mohammed muhammed mohamed mohammad mohamad muhamad muhamed muhammadu mohamadu muhd mohd
aisha aishatu aishat aishah ayesha aysha aishetu
fatima fatimah fatimat fatimatu fatuma fatma fatimoh
yusuf yusuph yusufu yousuf yusif yusuff
abubakar abubakr abubaker abubakari abubarkar
ibrahim ibraheem ibrahima ebrahim ibrahem
abdullahi abdulahi abdullah abdallah abdalla abdulai
usman uthman osman usmanu usmaan
aliyu ali aliu aliyyu
umar umaru omar umarr
suleiman sulaiman sulaimon suleman sulayman sulieman suleimanu
ismail ismaila ismaeel ismael
isa issa eesa isah
musa moussa moosa musah
haruna harun haroun harunah
yakubu yaqub yakub yakubou
zainab zaynab zeinab zainabu zainabou
maryam mariam maryamu maryama mariama
hadiza khadija khadijah hadija khadijat hadizat
hauwa hawa hawwa hauwau
halima halimat halimatu haleema halimah
amina aminat aminatu ameena aminah
safiya safiyya safiyyah safiyat safiyah
saadatu sadatu saadat saadatou
jamila jameela jamilah jamilat
rakiya rukayya ruqayya ruqayyah rukayat raqiya rukaiya ruqayyat
hassan hasan
hussaini hussain hussein husaini husseini husain
hassana hasana
hussaina husseina husaina
nasiru nasir naseer
kabiru kabir kabeer
mustapha mustafa mustaffa
ahmad ahmed ahmadu amadu ahamed
bashir bashiru basheer
sadiq sadik sadiku siddiq
salihu saleh salihi
idris idrisu idriss
shuaibu shuaib shuaybu
yahaya yahya yahayya
zakariya zakari zakariyya zakaria
lawal lawwal
stephen steven stefan
philip phillip filip
elizabeth elisabeth
catherine katherine kathrine catharine
theresa teresa
deborah debora
rebecca rebekah rebeca
michael micheal
matthew mathew
emmanuel emanuel immanuel
joseph josef
esther ester
sarah sara
hannah hanna
christopher christoper
isaac isaack
"""
_CANONICAL = {word: words[0] for words in map(str.split, _SPELLINGS.strip().splitlines()) for word in words}

# Like one another, and not one name: twins' pairs, and a man's and a woman's name.
_APART_LINES = (
    "hassan hussaini hassana hussaina; amina aminu; jamila jamilu; kabiru kabira; nasiru nasira; bashir bashira; "
    "salihu saliha; rabiu rabia; hafsat hafiz; zainab zaina; maryam maryamah; habib habiba; rashid rashida; "
    "chinedu chinenye; chidi chika; chioma chima; uchenna uche; ifeoma ifeanyi; adaeze adaora; taiwo taiye; "
    "kehinde kenny; idowu idown; ebiere ebi; osaze osas; okon okoro; nwosu nwoso; sani sanusi; "
    "bello bala; abiola abiodun"
)
APART = [frozenset(words.split()) for words in _APART_LINES.split(";")]

# What stands before (or behind) the short form that people are called by: Chukwuemeka, Emeka; Oluwaseun, Seun.
_BEFORE = _words_of(
    "chukwu oluwa olu ola ade baba ayo oghene nwa onye uzo chi ife iya ibi omo abi adetokun tokun osa oko"
)
_BEHIND = _words_of("chukwu oluwa olu chi")
SHORT_FORM = 4  # letters at least

_HOOKED = str.maketrans({"ɓ": "b", "ɗ": "d", "ƙ": "k", "ƴ": "y", "ŋ": "n", "ø": "o", "ł": "l", "đ": "d", "ß": "ss"})
_APOSTROPHES = re.compile("['`\\u2019\\u2018\\u02bc\\u00b4\\u02bb]")
_BETWEEN = re.compile(r"[^\w]+|_+")
_MARKS = re.compile("[\u0300-\u036f]")


def plain_words(name: str) -> list[str]:
    """Its words in plain small letters; what joins (apostrophes) is dropped, what divides (hyphens, dots) divides."""
    plain = _MARKS.sub("", unicodedata.normalize("NFD", name.lower())).translate(_HOOKED)
    return [word for word in _BETWEEN.split(_APOSTROPHES.sub("", plain)) if word]


@lru_cache(KNOWN)
def fold(name: str) -> tuple[str, ...]:
    """The words of a person's name without titles, unless it is nothing else."""
    words = plain_words(name)
    return tuple(word for word in words if word not in TITLES) or tuple(words)


@lru_cache(KNOWN)
def canonical(word: str) -> str:
    """The word as it is written most often."""
    return _CANONICAL.get(word) or _CANONICAL.get(_spelt(word)) or _spelt(word)


_SPELLING_RULES = (
    (re.compile("ph"), "f"),
    (re.compile("ck|q|kh"), "k"),
    (re.compile("c(?=[aou])"), "k"),
    (re.compile("ee"), "i"),
    (re.compile("oo|ou"), "u"),
    (re.compile("kw(?=u)"), "k"),
    (re.compile(r"(.)\1+"), r"\1"),
    (re.compile("(?<=[aeiou])h$"), ""),
    (re.compile("y(?![aeiou])"), "i"),
)


def _spelt(word: str) -> str:
    for written, plain in _SPELLING_RULES:
        word = written.sub(plain, word)
    return word


_VOWELS = re.compile("(?<=.)[aeiouyhw]")


@lru_cache(KNOWN)
def sound(word: str) -> str:
    """What is left of it when the vowels are gone: for finding, not for judging."""
    return _VOWELS.sub("", canonical(word))


def key(name: str) -> str:
    """By which names are counted: one for all spellings."""
    return " ".join(sorted(map(canonical, fold(name))))


@lru_cache(KNOWN)
def _words(one: str, other: str) -> Level:
    if one == other:
        return Level.SAME
    spelt, spelt_too = canonical(one), canonical(other)
    if spelt == spelt_too:
        return Level.VARIANT
    short, long = sorted((one, other), key=lambda word: (len(word), word))
    if len(short) == 1:
        return Level.INITIAL if long.startswith(short) else Level.DIFFERENT
    if any(spelt in words and spelt_too in words for words in APART):
        return Level.DIFFERENT
    if _is_short_form(short, long) or _is_short_form(*sorted((spelt, spelt_too), key=len)):
        return Level.SHORT
    if _is_slip(one, other) or _is_slip(spelt, spelt_too):
        return Level.CLOSE
    return Level.NEAR if len(short) > 2 and OSA.distance(one, other) == 1 else Level.DIFFERENT


def _is_short_form(short: str, long: str) -> bool:
    if len(short) < SHORT_FORM:
        return False
    return (long.endswith(short) and long[: -len(short)] in _BEFORE) or (
        long.startswith(short) and long[len(short) :] in _BEHIND
    )


def _is_slip(one: str, other: str) -> bool:
    """One letter too many, too few, wrong or in the wrong place; two in a long name. Short names are all alike."""
    distance = OSA.distance(one, other, score_cutoff=2)
    letters = min(len(one), len(other))
    if distance == 1:
        return letters >= 5 or (letters == 4 and sorted(one) == sorted(other))
    return distance == 2 and letters >= 8


@lru_cache(KNOWN)
def compare(one: str, other: str) -> Level:
    """How two first names, or two last names, agree; each may be several words in any order."""
    words, words_too = fold(one), fold(other)
    if not words or not words_too:
        return Level.DIFFERENT
    if sorted(words) == sorted(words_too):
        return Level.SAME
    if canonical("".join(words)) == canonical("".join(words_too)):
        return Level.VARIANT  # Abdul Kadir and Abdulkadir
    matched = _matched(words, words_too)
    if not matched:
        return Level.DIFFERENT
    worst = min(matched, key=RANKS.__getitem__)
    if len(matched) == len(words) == len(words_too):
        return worst
    best = max(matched, key=RANKS.__getitem__)
    if best == Level.INITIAL and 1 in (len(words), len(words_too)):
        return Level.INITIAL
    return Level.PART if RANKS[best] >= RANKS[Level.CLOSE] else Level.DIFFERENT


def _matched(words: tuple[str, ...], words_too: tuple[str, ...]) -> list[Level]:
    """The levels of the words that have a counterpart, each used once, the best pairs first."""
    pairs = sorted(
        (-RANKS[level], min(one, other), max(one, other), place, place_too, level)
        for place, one in enumerate(words)
        for place_too, other in enumerate(words_too)
        if (level := _words(one, other)) != Level.DIFFERENT
    )
    found: list[Level] = []
    taken: set[int] = set()
    taken_too: set[int] = set()
    for _, _, _, place, place_too, level in pairs:
        if place not in taken and place_too not in taken_too:
            taken.add(place)
            taken_too.add(place_too)
            found.append(level)
    return found


class Called(NamedTuple):
    first: str
    last: str


class Agreement(NamedTuple):
    """Where the names are crossed (one's first name is the other's last), `first` is the worse of the two."""

    first: Level
    last: Level
    is_crossed: bool


def compare_people(one: Called, other: Called) -> Agreement:
    """Straight, or crossed where that agrees better and leaves nothing different."""
    straight = Agreement(compare(one.first, other.first), compare(one.last, other.last), False)
    crossed = sorted((compare(one.first, other.last), compare(one.last, other.first)), key=RANKS.__getitem__)
    if Level.DIFFERENT in crossed or _rank(*crossed) <= _rank(straight.first, straight.last):
        return straight
    return Agreement(crossed[0], crossed[1], True)


def _rank(one: Level, other: Level) -> int:
    return RANKS[one] + RANKS[other]

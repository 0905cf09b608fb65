"""An invented crowd whose duplicates are known: dirt of every kind, and people who only look alike.

For measuring how well duplicates are found. By the seed alone; nobody in it is real, and it writes no table. How it
misspells has nothing to do with how clinical/duplicates reads: it knows none of its tables.
"""

import random
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count

from medilink.country import PEOPLES, chance, people_of

# More names than an illness needs: men; women; families, by the people's language and place in PEOPLES.
_MORE = (
    "Abdulkadir Ahmed Mohammed Jibrin Salisu Yahaya Idris Bashir Mansur Sadiq Rabiu Tijjani Habibu Ismail Hamza "
    "Lawan Zubairu Bilyaminu;Asma'u Bilkisu Rabi Ladidi Asabe Hafsat Khadija Maimuna Nafisa Sumayya Zulaihat "
    "Balaraba Hindatu Salamatu Talatu Rahila;Mohammed Ibrahim Abubakar Musa Sani Usman Garba Ahmad Adamu Isah "
    "Bala Inuwa Magaji Galadima Kwairanga Gwadabe Dantata Rimi Kurfi Jega Ringim Fagge Gumel Hadejia",
    "Olufemi Adekunle Adebayo Oluwatobi Ayodeji Damilola Kolawole Akinola Rotimi Taiwo Kehinde Bamidele Idowu "
    "Olatunji Oladele Abiodun Gbolahan Wale;Oluwakemi Adenike Olayinka Temitope Funmilayo Abimbola Omotola "
    "Ayomide Bolanle Morenikeji Iyabo Sikirat Toyin Yewande Adunni Monisola;Ogunbanjo Adeleke Oyelaran Akinyemi "
    "Oyedepo Olaniyi Fagbemi Sowande Odukoya Bankole Adesina Ogundipe Alabi Oyinlola Abiola Makinde Falana "
    "Oladapo Owolabi Soyinka Adegoke",
    "Chinedu Chibuzor Okechukwu Ikechukwu Uchenna Emmanuel Chukwudi Obiora Ugochukwu Chijioke Tochukwu Ekene "
    "Somtochukwu Azubuike Kenechukwu Izuchukwu;Chidinma Ebere Nneka Adanna Ogochukwu Chiamaka Nkiruka Oluchi "
    "Onyinye Kosisochukwu Chinwe Ugonna Blessing Ijeoma Akunna Ezinne;Nnadi Okoro Ezeh Onwuka Okeke Ibe Anyanwu "
    "Uzor Mbah Nwankwo Okoye Ojukwu Agu Iheanacho Onuoha Udeh Ekwueme Achebe Egbuna Odili Nwachukwu-Eze "
    "Okafor-Obi",
    "Emmanuel Godwin Ubong Aniekan Idara Ekong Inemesit Tamuno Preye Omamuzo Nosa Efosa Oke Etuk Asuquo "
    "Dennis;Blessing Idongesit Mfon Eno Uduak Itoro Boma Ibinabo Tari Aghogho Esohe Omosede Isoken Glory Patience "
    "Comfort;Bassey Effiong Inyang Essien Okpara Amadi Wike Clark Tamuno Aganmwonyi Ehigie Obaseki Okoh Oritse "
    "Edem Archibong Ita Umoh Nkanta",
    "Emmanuel Joseph Samuel Sunday Danladi Yohanna Istifanus Bitrus Moses Solomon Ezekiel Ishaya Tersoo Terhemba "
    "Achile Ojonugwa;Mary Grace Rebecca Esther Hannatu Asabe Na'omi Rifkatu Nguper Hembadoon Ojoma Ajuma Laraba "
    "Charity Victoria Sarah;Yakubu Audu Bulus Danjuma Gyang Pam Dung Adamu Tarka Iyorchia Ogbeh Idoko Adejoh Abah "
    "Mangut Gomwalk Lar Dakum",
)
MEN, WOMEN, FAMILIES = range(3)
TWINS = {"Hausa": (("Hassan", "Hussaini"), ("Hassana", "Hussaina")), "Yoruba": (("Taiwo", "Kehinde"),) * 2}
LAST_BIRTHDAY = date(2025, 12, 31)


@dataclass(frozen=True)
class Row:
    """A patient as a delivery has it. `kind` is what was done to it, or why it only looks like another."""

    id: int
    facility: int
    first_name: str
    last_name: str
    sex: str
    dob: date
    dob_is_estimated: bool = False
    phone: str | None = None
    number: str | None = None
    kind: str = ""
    same_as: int | None = None


def _pool(people: int, which: int) -> list[str]:
    known = (PEOPLES[people].men, PEOPLES[people].women, PEOPLES[people].families)[which]
    return [*known, *_MORE[people].split(";")[which].split()]


POOLS = [[_pool(people, which) for which in range(3)] for people in range(len(PEOPLES))]


def _name(draw: random.Random, people: int, which: int) -> str:
    """Some names are borne by many, most by few."""
    pool = POOLS[people][which]
    return pool[int(len(pool) * draw.random() ** 1.8)]


def _birthday(draw: random.Random) -> date:
    ages = draw.choice([(0, 4), (5, 17), (18, 39), (18, 59), (40, 88)])
    return LAST_BIRTHDAY - timedelta(days=draw.randint(ages[0] * 365, ages[1] * 365 + 364))


def _phone(draw: random.Random) -> str:
    return f"+234{draw.choice(('803', '806', '810', '703', '902', '915'))}{draw.randrange(10**7):07}"


# --- Patients


class Crowd:
    """`size` patients of `facilities`, a tenth of them somebody else's duplicate, a fifth somebody's lookalike."""

    def __init__(self, seed: int, size: int, states: list[str]) -> None:
        """`states` says for each facility where it is."""
        self._draw = chance(seed, "twins")
        self._states, self._size, self._ids = states, size, count(1)

    def rows(self) -> Iterator[Row]:
        made = 0
        while made < self._size:
            one = self._person()
            lot = self._draw.random()
            others: list[Row] = []
            if lot < 0.1:
                others = [self._duplicate(one)]
            elif lot < 0.2:
                (lookalike,) = self._draw.choices([*LOOKALIKES], [*LOOKALIKES.values()])
                others = [*lookalike(self, one)]
            yield from (one, *others)
            made += 1 + len(others)

    def _person(self) -> Row:
        draw = self._draw
        facility = int(len(self._states) * draw.random() ** 1.4)
        people = PEOPLES.index(people_of(self._states[facility], draw))
        sex = draw.choices("MF", [9, 11])[0]
        first = _name(draw, people, MEN if sex == "M" else WOMEN)
        if draw.random() < 0.08:
            first = f"{first} {_name(draw, people, MEN if sex == 'M' else WOMEN)}"
        lot = draw.random()
        # A few have none, and some give the facility's own.
        phone = None if lot < 0.2 else f"+23480311{facility:05}" if lot < 0.23 else _phone(draw)
        dob = _birthday(draw)
        is_estimated = draw.random() < 0.06
        if is_estimated or draw.random() < 0.02:
            dob = dob.replace(month=1, day=1)
        return self._new(facility, first, _name(draw, people, FAMILIES), sex, dob, is_estimated, phone)

    def _new(self, *said: object) -> Row:
        pk = next(self._ids)
        row = Row(pk, *said)  # type: ignore[arg-type]
        return replace(row, number=f"P{pk:07}") if self._draw.random() < 0.7 else row

    def _duplicate(self, one: Row) -> Row:
        """The same person, registered again: with dirt of one kind, or in one of six cases of two."""
        kinds = self._draw.sample([*DIRT], 2 if self._draw.random() < 1 / 6 else 1)
        again = replace(one, id=next(self._ids), same_as=one.id)
        for kind in kinds:
            again = DIRT[kind](again, self._draw)
        lot = self._draw.random()
        phone = again.phone if lot < 0.65 else None if lot < 0.85 else _phone(self._draw)
        number = one.number if lot < 0.2 else f"P{again.id:07}" if lot < 0.7 else None
        sex = "Unknown" if self._draw.random() < 0.08 else again.sex
        return replace(again, phone=phone, number=number, sex=sex, kind=" + ".join(sorted(kinds)))

    # Who only looks alike

    def twins(self, one: Row) -> Iterator[Row]:
        people = PEOPLES.index(people_of(self._states[one.facility], self._draw))
        pairs = TWINS.get(PEOPLES[people].language)
        first = self._other_name(one, people)
        if pairs and self._draw.random() < 0.5:
            pair = pairs[one.sex == "F"]
            one_of_two = self._new(one.facility, pair[0], one.last_name, one.sex, one.dob, False, one.phone)
            yield replace(one_of_two, kind="twins")
            first = pair[1]
        yield replace(self._new(one.facility, first, one.last_name, one.sex, one.dob, False, one.phone), kind="twins")

    def siblings(self, one: Row) -> Iterator[Row]:
        people = PEOPLES.index(people_of(self._states[one.facility], self._draw))
        for _ in range(self._draw.randint(1, 4)):
            born = one.dob + timedelta(days=self._draw.randint(330, 3000))
            first, sex = self._other_name(one, people), self._draw.choice("MF")
            child = self._new(one.facility, first, one.last_name, sex, born, False, one.phone)
            yield replace(child, kind="a family's phone")

    def father_and_son(self, one: Row) -> Iterator[Row]:
        born = one.dob - timedelta(days=self._draw.randint(18 * 365, 40 * 365))
        father = self._new(one.facility, one.first_name, one.last_name, one.sex, born, False, one.phone)
        if born.year > 1900:
            yield replace(father, kind="father and son of one name")

    def namesake(self, one: Row) -> Iterator[Row]:
        other = self._new(
            one.facility, one.first_name, one.last_name, one.sex, _birthday(self._draw), False, _phone(self._draw)
        )
        yield replace(other, kind="namesakes")

    def namesake_of_one_year(self, one: Row) -> Iterator[Row]:
        born = one.dob.replace(month=self._draw.randint(1, 12), day=self._draw.randint(13, 28))
        other = self._new(one.facility, one.first_name, one.last_name, one.sex, born, False, _phone(self._draw))
        yield replace(other, kind="namesakes born in one year")

    def birthday_companion(self, one: Row) -> Iterator[Row]:
        """Born on one day, and one of the names is the same."""
        people = PEOPLES.index(people_of(self._states[one.facility], self._draw))
        last = _name(self._draw, people, FAMILIES)
        other = self._new(one.facility, one.first_name, last, one.sex, one.dob, False, _phone(self._draw))
        if last != one.last_name:
            yield replace(other, kind="one birthday and first name")

    def _other_name(self, one: Row, people: int) -> str:
        while True:
            name = _name(self._draw, people, MEN if one.sex == "M" else WOMEN)
            if name not in one.first_name:
                return name


LOOKALIKES: dict[Callable[[Crowd, Row], Iterator[Row]], int] = {
    Crowd.twins: 4,
    Crowd.siblings: 4,
    Crowd.father_and_son: 4,
    Crowd.namesake: 4,
    Crowd.namesake_of_one_year: 2,
    Crowd.birthday_companion: 1,
}


# --- Dirt

Dirty = Callable[[Row, random.Random], Row]
# As clerks hear and write it; each is one way, at its first place in the name.
_HEARD_AS = "ph>f f>ph mm>m ll>l ss>s u>oo i>ee k>c c>k z>s ei>i y>i ai>ay ah>a q>k"
_HEARD = [line.split(">") for line in _HEARD_AS.split()]
_HEARD += [["o", "a"], ["a", "e"], ["e", "i"]]
_WRITTEN = {
    "Mohammed": "Muhammad Mohamed Muhammed Mohammad",
    "Aisha": "Aishatu Ayesha Aishat",
    "Fatima": "Fatimah Fatimatu Fatimat",
    "Yusuf": "Yusuph Yusif",
    "Abubakar": "Abubakr",
    "Usman": "Uthman Osman",
    "Ibrahim": "Ibraheem",
    "Aliyu": "Ali Aliu",
    "Mustapha": "Mustafa",
    "Hadiza": "Khadija Hadija",
    "Zainab": "Zaynab",
    "Maryam": "Mariam",
    "Suleiman": "Sulaiman",
    "Umar": "Umaru Omar",
    "Ahmed": "Ahmad",
    "Ismail": "Ismaila",
    "Halima": "Halimatu Halimat",
    "Hauwa": "Hawa",
}
_SHORT = {
    "Chukwuemeka": "Emeka",
    "Oluwaseun": "Seun",
    "Babatunde": "Tunde",
    "Olufemi": "Femi",
    "Ayodele": "Dele",
    "Oluwatobi": "Tobi",
    "Oluwakemi": "Kemi",
    "Adekunle": "Kunle",
    "Ikechukwu": "Ike",
    "Ugochukwu": "Ugo",
    "Okechukwu": "Oke",
    "Abdulkadir": "Kadir",
    "Oghenekaro": "Karo",
    "Adenike": "Nike",
    "Abimbola": "Bimbola",
}


def _one_of(row: Row, draw: random.Random, change: Callable[[str], str]) -> Row:
    """The change on one of the names; on the other where it changes nothing."""
    changes: list[Callable[[], Row]] = [
        lambda: replace(row, first_name=change(row.first_name)),
        lambda: replace(row, last_name=change(row.last_name)),
    ]
    draw.shuffle(changes)
    return next((changed for one in changes if (changed := one()) != row), row)


def _spelling(row: Row, draw: random.Random) -> Row:
    def change(name: str) -> str:
        if name in _WRITTEN:
            return draw.choice(_WRITTEN[name].split())
        fitting = [(old, new) for old, new in _HEARD if old in name[1:]]
        if not fitting:
            return name
        old, new = draw.choice(fitting)
        return name[0] + name[1:].replace(old, new, 1)

    return _one_of(row, draw, change)


def _slip(row: Row, draw: random.Random) -> Row:
    def change(name: str) -> str:
        at = draw.randrange(1, len(name) - 1) if len(name) > 2 else 1
        return draw.choice(
            [
                name[:at] + name[at + 1 :],
                name[:at] + name[at] + name[at:],
                name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
                name[:at] + draw.choice("abdegiklmnorstuy") + name[at + 1 :],
            ]
        )

    return _one_of(row, draw, change)


def _marks(row: Row, draw: random.Random) -> Row:
    """Accents and apostrophes left out; or one put in."""

    def change(name: str) -> str:
        bare = "".join(one for one in unicodedata.normalize("NFD", name) if one.isalpha() or one in " -")
        return bare if bare != name else name.replace("o", "ọ", 1) if "o" in name else name[:2] + "'" + name[2:]

    return _one_of(row, draw, change)


def _joined(row: Row, draw: random.Random) -> Row:
    """A second name that only one of the two registrations has, with a hyphen or a blank."""
    if any(between in row.last_name for between in "- "):
        return replace(row, last_name=draw.choice([row.last_name.replace("-", " "), row.last_name.split("-")[0]]))
    if " " in row.first_name:
        return replace(row, first_name=draw.choice([row.first_name.split()[0], row.first_name.replace(" ", "-")]))
    second = _name(draw, draw.randrange(len(PEOPLES)), FAMILIES)
    return replace(row, last_name=f"{row.last_name}{draw.choice('- ')}{second}")


def _titled(row: Row, draw: random.Random) -> Row:
    titles = "Alhaji Mallam Dr Chief Mr. Engr" if row.sex == "M" else "Hajia Mrs. Dr Alhaja Miss Mrs"
    return replace(row, first_name=f"{draw.choice(titles.split())} {row.first_name}")


def _shortened(row: Row, draw: random.Random) -> Row:
    return _one_of(row, draw, lambda name: _SHORT.get(name, name))


def _figure(row: Row, draw: random.Random) -> Row:
    """One figure of the birthday mistyped."""
    while True:
        written, at = f"{row.dob:%Y%m%d}", draw.randrange(2, 8)
        written = written[:at] + draw.choice("0123456789") + written[at + 1 :]
        try:
            dob = date.fromisoformat(written)
        except ValueError:
            continue
        if dob != row.dob and dob <= LAST_BIRTHDAY:
            return replace(row, dob=dob)


def _turned(row: Row, draw: random.Random) -> Row:
    if row.dob.day > 12 or row.dob.day == row.dob.month:
        return _figure(row, draw)
    return replace(row, dob=row.dob.replace(day=row.dob.month, month=row.dob.day))


def _estimated(row: Row, draw: random.Random) -> Row:
    year = min(row.dob.year + draw.choice((-1, 0, 0, 0, 1)), LAST_BIRTHDAY.year)
    return replace(row, dob=date(year, 1, 1), dob_is_estimated=True)


def _married(row: Row, draw: random.Random) -> Row:
    if row.sex == "M" or row.dob.year > 2006:
        return _slip(row, draw)
    return replace(row, last_name=_name(draw, draw.randrange(len(PEOPLES)), FAMILIES))


DIRT: dict[str, Dirty] = {
    "another spelling": _spelling,
    "a slip of the pen": _slip,
    "accents, apostrophes": _marks,
    "first and last name changed": lambda row, _: replace(row, first_name=row.last_name, last_name=row.first_name),
    "second name, hyphen": _joined,
    "title": _titled,
    "initial": lambda row, _: replace(row, first_name=f"{row.first_name[0]}."),
    "short form": lambda row, draw: _shortened(row, draw) if _shortened(row, draw) != row else _titled(row, draw),
    "day and month changed": _turned,
    "one figure of the birthday": _figure,
    "birthday estimated": _estimated,
    "another last name": _married,
}

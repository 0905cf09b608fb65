"""An invented country for the demo and for tests: places, people, and who falls ill on which day. Nobody in it is real.

By the seed alone: each day happens in one way only, so that one night's delivery follows from the last one's.
It knows neither files nor tables.
"""

import random
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, cached_property
from typing import NamedTuple

from clinical import geography

# Everybody of the first census was born before it; whoever registered later has the day of registration.
CENSUS = date(2025, 1, 1)
NEWCOMER_DAYS = 30  # how long people who have just registered are among those who come


class Place(NamedTuple):
    name: str
    state: str
    lga: str
    type: str
    ownership: str
    level: str
    lat: float
    lon: float


class Illness(NamedTuple):
    """What people come with, and what is usually done. A level stands as often as it is frequent among ten."""

    diagnosis: str
    levels: str
    weight: int
    ages: range
    sexes: str
    fever: float  # degrees above the usual
    complaints: list[str]
    treatment: str
    medications: str


class People(NamedTuple):
    states: str
    men: list[str]
    women: list[str]
    families: list[str]
    language: str


@dataclass(frozen=True)
class Person:
    number: str
    place: Place
    first_name: str
    last_name: str
    sex: str
    dob: date
    registered_on: date

    def age(self, day: date) -> int:
        return (day - self.dob).days // 365


class Event(NamedTuple):
    """Somebody comes. `draw` gives whatever else is left to chance on that day."""

    person: Person
    illness: Illness
    draw: random.Random


def _illness(line: str) -> Illness:
    diagnosis, levels, weight, ages, sexes, fever, complaints, treatment, medications = line.split("|")
    youngest, oldest = map(int, ages.split("-"))
    years = range(youngest, oldest + 1)
    return Illness(
        diagnosis, levels, int(weight), years, sexes, float(fever), complaints.split(";"), treatment, medications
    )


ILLNESSES = tuple(
    map(
        _illness,
        """
Malaria|333445|30|0-120|MF|2|fever and chills;body pains|Oral antimalarial|Artemether-Lumefantrine; Paracetamol
Severe malaria|1222|4|0-12|MF|3|convulsion and high fever;fever, cannot drink|Admission|Artesunate 60 mg IV; Dextrose 5%
Typhoid fever|3344|8|3-120|MF|1.8|fever and abdominal pain;fever for a week|Antibiotics, fluids|Ciprofloxacin 500 mg
Hypertension|23445|14|35-120|MF|0|headache and dizziness;blood pressure check|Diet, follow-up in 4 weeks|Amlodipine 5 mg
Type 2 diabetes mellitus|3445|8|35-120|MF|0|urination and thirst;foot ulcer|Glucose monitoring|Metformin 500 mg
Upper respiratory tract infection|445|16|0-120|MF|0.6|cough and catarrh;sore throat|Home care|Vitamin C
Pneumonia|2233|6|0-120|MF|1.7|cough and fast breathing;chest pain, cough|Oxygen|Amoxicillin 500 mg; Salbutamol
Asthma|1233|4|4-70|MF|0|wheezing;difficulty in breathing|Nebulisation|Salbutamol inhaler; Prednisolone 5 mg
Acute gastroenteritis|2334|10|0-120|MF|0.8|watery stool and vomiting;running stomach|Oral rehydration|ORS; Zinc 20 mg
Sickle cell crisis|223|4|2-45|MF|0|severe bone pain;joint pains|Hydration, pain relief|Folic acid 5 mg; Morphine
Peptic ulcer disease|445|6|16-120|MF|0|burning stomach pain|Diet advice|Omeprazole 20 mg
Urinary tract infection|44|6|10-120|MF|0|painful urination;lower abdominal pain|Antibiotics|Nitrofurantoin 100 mg
Road traffic injury|1223|6|5-75|MF|0|okada accident, leg wound;head injury|Wound care|Tetanus toxoid; Diclofenac 50 mg
Pre-eclampsia|122|3|16-45|F|0|headache in pregnancy;swollen face|Admission|Magnesium sulphate; Methyldopa 250 mg
Antenatal visit|55|9|16-45|F|0|routine antenatal visit|Health talk|Folic acid 5 mg; Ferrous sulphate
Measles|23|2|0-9|MF|1.9|rash and fever;red eyes and rash|Isolation, notification|Vitamin A 200,000 IU
Snake bite|12|1|5-75|MF|0|snake bite on the foot|Antivenom, observation|Polyvalent antivenom; Tetanus toxoid
Iron deficiency anaemia|345|5|0-120|MF|0|weakness and tiredness;pale eyes|Diet advice|Ferrous sulphate 200 mg
""".strip().splitlines(),
    )
)

PEOPLES = tuple(
    People(states, men.split(), women.split(), families.split(), language)
    for states, men, women, families, language in (
        (
            "BAUCHI BORNO GOMBE JIGAWA KADUNA KANO KATSINA KEBBI NIGER SOKOTO YOBE ZAMFARA ADAMAWA FCT",
            "Abubakar Musa Ibrahim Sani Usman Yusuf Bello Aliyu Garba Umar Nasiru Kabiru Mustapha Haruna",
            "Aisha Fatima Hauwa Zainab Maryam Hadiza Amina Rakiya Halima Safiya Sa'adatu Jamila",
            "Abdullahi Danjuma Lawal Shehu Tanko Yakubu Suleiman Dikko Gambo Bako Maigari Waziri",
            "Hausa",
        ),
        (
            "EKITI KWARA LAGOS OGUN ONDO OSUN OYO FCT",
            "Babatunde Oluwaseun Adewale Kayode Olumide Ayodele Femi Tunde Gbenga Segun Ọláyínká Kọ́lá",
            "Folake Yetunde Bukola Omolara Ronke Titilayo Adebola Bisi Modupe Abosede Ọláìtán Ṣadé",
            "Adeyemi Ogunleye Balogun Afolabi Oladipo Adebayo Olawale Akinwale Fashola Ọláníyan Ige Ajayi",
            "Yoruba",
        ),
        (
            "ABIA ANAMBRA EBONYI ENUGU IMO DELTA RIVERS FCT",
            "Chukwuemeka Obinna Ifeanyi Nnamdi Uche Kelechi Chidi Emeka Ikenna Onyekachi",
            "Ngozi Adaeze Chinyere Nkechi Ifeoma Amarachi Chioma Uzoamaka Obiageli Ogechi",
            "Okafor Eze Nwosu Okonkwo Onyeka Umeh Nwachukwu Igwe Obi Chukwu Aniagolu",
            "Igbo",
        ),
        (
            "AKWA IBOM CROSS RIVER BAYELSA RIVERS DELTA EDO",
            "Effiong Okon Edet Ebi Tonye Osaze Osagie Efe Bassey Oghenekaro",
            "Arit Ekaette Ini Ebiere Timi Osariemen Ivie Ese Nkoyo Oghenetega",
            "Udoh Ekanem Etim Briggs Dokubo Igbinedion Osagiede Omoruyi Ogheneovo Akpabio",
            "English",
        ),
        (
            "BENUE KOGI NASARAWA PLATEAU TARABA ADAMAWA",
            "Terver Aondofa Gyang Pam Dung Ochefu Onoja Audu Iorwuese Bulus",
            "Doose Mwuese Nanret Ladi Ene Onyemowo Kaneng Mimidoo Talatu Plangnan",
            "Tyough Iorfa Choji Davou Ameh Ocheja Akume Agbo Dogara Pwajok",
            "English",
        ),
    )
)

# Type, how often, what stands behind the place's name, level of care.
KINDS = (
    ("Primary Health Center", 10, "Primary Health Centre;PHC;Model PHC", "Primary"),
    ("Health Post", 4, "Health Post;Dispensary", "Primary"),
    ("Clinic", 5, "Clinic;Family Clinic;Medical Clinic", "Primary"),
    ("General Hospital", 4, "General Hospital;Cottage Hospital", "Secondary"),
    ("Teaching Hospital", 1, "University Teaching Hospital;Specialist Hospital", "Tertiary"),
    ("Maternity", 2, "Maternity Home", "Primary"),
    ("Pharmacy", 2, "Pharmacy;Chemist", "Primary"),
    ("Diagnostic Laboratory", 1, "Diagnostics", "Secondary"),
)
PUBLIC_ONLY = ("Health Post", "Teaching Hospital")
OWNERS = ("Public", "Public", "Private", "Faith-based")


def chance(*parts: object) -> random.Random:
    """The same parts give the same draws, on every machine."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 invented people, no secrets


class Country:
    """`size` places and `crowd` residents; the first places have the most people."""

    def __init__(self, seed: int, size: int, crowd: int) -> None:
        self.seed, self._size, self._crowd = seed, size, crowd

    @cached_property
    def places(self) -> list[Place]:
        known: dict[tuple[str, str, str], Place] = {}
        for index in range(self._size):
            place = self._place(index)
            while place[:3] in known:
                place = place._replace(name=f"{place.name} Annex")
            known[place[:3]] = place
        return list(known.values())

    def _place(self, index: int) -> Place:
        draw = chance(self.seed, "place", index)
        state = geography.STATES[index % len(geography.STATES)]
        lga = draw.choice(geography.LGAS[state])
        kind, _, names, level = draw.choices(KINDS, [weight for _, weight, _, _ in KINDS])[0]
        # Real lists are full of names that say nothing: a "General Hospital" is to be had in every state.
        prefix = "" if index % 12 == 0 else draw.choice([lga, lga, f"{lga} Central", "Saint Mary's", "Al-Noor", "Hope"])
        owner = "Public" if kind in PUBLIC_ONLY else draw.choice(OWNERS)
        north, east = (round(degrees + draw.uniform(-0.3, 0.3), 6) for degrees in geography.CENTRES[state])
        return Place(f"{prefix} {draw.choice(names.split(';'))}".strip(), state, lga, kind, owner, level, north, east)

    @cached_property
    def residents(self) -> list[Person]:
        return [self._person(index, CENSUS) for index in range(self._crowd)]

    @cache  # noqa: B019 a country lives as long as one delivery
    def newcomers(self, day: date) -> list[Person]:
        """Who registers on that day; a newborn at the earliest on the day after the birth."""
        count = int(self._crowd / 1500 + chance(self.seed, "newcomers", day).random())
        return [self._person(f"{day:%y%m%d}{index}", day) for index in range(count)]

    def newcomers_before(self, day: date, days: int) -> list[Person]:
        return [one for back in range(days, 0, -1) for one in self.newcomers(day - timedelta(days=back))]

    def _person(self, index: object, registered_on: date) -> Person:
        draw = chance(self.seed, "person", index)
        place = self.places[int(len(self.places) * draw.random() ** 1.4)]
        people = people_of(place.state, draw)
        sex = draw.choices("MF", [9, 11])[0]
        age = draw.randint(*draw.choice([(0, 4), (5, 17), (18, 39), (18, 59), (40, 88)]))
        dob = registered_on - timedelta(days=age * 365 + draw.randint(1, 364))
        first = draw.choice(people.men if sex == "M" else people.women)
        return Person(f"P{index}", place, first, draw.choice(people.families), sex, dob, registered_on)

    def events(self, day: date, stream: str, share: float, state: str | None = None) -> list[Event]:
        """Who comes on that day: about `share` of the people of the state, or of all. Streams are independent."""
        draw = chance(self.seed, stream, day)
        crowd = self.residents + self.newcomers_before(day, NEWCOMER_DAYS)
        crowd = [one for one in crowd if state in (None, one.place.state) and one.dob <= day]
        count = int(len(crowd) * share * (0.7 if day.weekday() > 4 else 1.1) + draw.random())
        # Some come often. And some come in the night and are registered in the morning: their rows have to wait.
        coming = [crowd[int(len(crowd) * draw.random() ** 1.6)] for _ in range(count)]
        coming += [one for one in self.newcomers(day + timedelta(days=1)) if state in (None, one.place.state)]
        return [Event(one, _illness_of(one, day, draw), draw) for one in coming]


def people_of(state: str, draw: random.Random) -> People:
    """A people at home in the state, and one time in twelve somebody from elsewhere."""
    home = [people for people in PEOPLES if state in people.states]
    return draw.choice(home if draw.random() > 1 / 12 else PEOPLES)


def _illness_of(person: Person, day: date, draw: random.Random) -> Illness:
    fitting = [one for one in ILLNESSES if person.age(day) in one.ages and person.sex in one.sexes]
    # Malaria follows the rains.
    rains = 2 if 5 <= day.month <= 10 else 1
    return draw.choices(fitting, [one.weight * (rains if "alaria" in one.diagnosis else 1) for one in fitting])[0]

"""Invented facilities whose duplicates are known, and branches, namesakes and neighbours that only look alike.

For measuring how well duplicates are found. By the seed alone; it knows none of the tables of clinical/duplicates.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from clinical import geography
from medilink.country import KINDS, chance


@dataclass(frozen=True)
class Place:
    """A facility as a delivery has it. `kind` is what was done to it, or why it only looks like another."""

    id: int
    name: str
    state: str
    lga: str
    type: str
    lat: float | None
    lon: float | None
    kind: str = ""
    same_as: int | None = None


_OWN_NAMES = (
    "Saint Mary's;Al-Noor;Hope;Saint Nicholas;Redeemer;Good Shepherd;Al-Amin;Blessed;Mercy;Divine Grace;Royal;"
    "Sunshine;Crystal;Saint Luke's;Unity;Peace;New Life;Faith;Gwarzo;Oladele;Chukwudi;Ebenezer;Rahama;Taimako;Zion;"
    "Graceland;Bethel;Lifeline;Premier;Excel;Dr. Musa;Iya Ibeji;Nneoma;Ibom;Tudun Wada;Sabon Gari;Ojodu;Umudike;Kofar "
    "Ruwa;Old Market;Bridge;Station Road;Airport;Layin Sarki;Mission;Ogbomo;Ugwu;Adeniyi;Fagba;Danja"
)
_OWN = _OWN_NAMES.split(";")


class Places:
    """About `size` facilities in all states, a tenth of them listed twice, a fifth with somebody that looks alike."""

    def __init__(self, seed: int, size: int) -> None:
        self._draw, self._size, self._ids = chance(seed, "branches"), size, count(1)

    def rows(self) -> list[Place]:
        known: dict[tuple[str, str, str], Place] = {}
        while len(known) < self._size:
            one = self._place()
            lot = self._draw.random()
            if (one.name.lower(), one.state, one.lga) in known:
                continue  # the same name again in one LGA would be the same place
            others = [self._duplicate(one)] if lot < 0.1 else []
            if lot > 0.8:
                others = [self._draw.choice(LOOKALIKES)(self, one)]
            for place in (one, *others):
                known.setdefault((place.name.lower(), place.state, place.lga), place)
        return [*known.values()]

    def _place(self) -> Place:
        draw = self._draw
        state = draw.choice(geography.STATES)
        lga = draw.choice(geography.LGAS[state])
        kind, _, names, _ = draw.choices(KINDS, [weight for _, weight, _, _ in KINDS])[0]
        # One way to write each kind: another way is what the dirt makes of it.
        name = f"{draw.choice(_OWN)} {names.split(';')[0]}"
        if kind in ("General Hospital", "Teaching Hospital") and draw.random() < 0.5:
            name = f"{lga} {names.split(';')[0]}"
        return self._new(name, state, lga, kind, *self._somewhere(state))

    def _new(self, *said: object, **also: object) -> Place:
        return Place(next(self._ids), *said, **also)  # type: ignore[arg-type]

    def _somewhere(self, state: str) -> tuple[float | None, float | None]:
        north, east = (degrees + self._draw.uniform(-0.4, 0.4) for degrees in geography.CENTRES[state])
        return (round(north, 6), round(east, 6)) if self._draw.random() < 0.75 else (None, None)

    def _duplicate(self, one: Place) -> Place:
        kinds = self._draw.sample([*DIRT], 2 if self._draw.random() < 1 / 4 else 1)
        again = self._nearby(one, 0.002)
        for kind in kinds:
            again = DIRT[kind](again, self._draw)
        if again.name.lower() == one.name.lower() and again.lga == one.lga:
            again = _abbreviated(again, self._draw)
        return replace(again, id=next(self._ids), kind=" + ".join(sorted(kinds)), same_as=one.id)

    def _nearby(self, one: Place, degrees: float) -> Place:
        """As somebody else measures it; or without coordinates."""
        if one.lat is None or one.lon is None or self._draw.random() < 0.15:
            return replace(one, lat=None, lon=None)
        lat, lon = (round(at + self._draw.uniform(-degrees, degrees), 6) for at in (one.lat, one.lon))
        return replace(one, lat=lat, lon=lon)

    # Which only look alike

    def branch(self, one: Place) -> Place:
        which = self._draw.choice(("Annex", "II", "Unit B", "2", "Branch"))
        near = self._nearby(one, 0.003)
        return replace(near, id=next(self._ids), name=f"{one.name} {which}", kind="branch or unit")

    def other_kind(self, one: Place) -> Place:
        """Under one name and roof: Hope Clinic, Hope Pharmacy."""
        own = one.name.removesuffix(next((w for _, _, w, _ in KINDS if one.name.endswith(w.split(";")[0])), "")).strip()
        kinds = [(kind, names.split(";")[0]) for kind, _, names, _ in KINDS if kind != one.type]
        kind, words = self._draw.choice(kinds)
        for _, _, names, _ in KINDS:
            own = own.removesuffix(names.split(";")[0]).strip()
        near = self._nearby(one, 0.003)
        return replace(near, id=next(self._ids), name=f"{own} {words}", type=kind, kind="another kind at one place")

    def namesake(self, one: Place) -> Place:
        lga = self._draw.choice([lga for lga in geography.LGAS[one.state] if lga != one.lga])
        lat, lon = self._somewhere(one.state)
        return replace(one, id=next(self._ids), lga=lga, lat=lat, lon=lon, kind="namesake in another LGA")

    def neighbour(self, one: Place) -> Place:
        """Of the same kind, next door."""
        own = self._draw.choice([own for own in _OWN if own not in one.name])
        words = next(names.split(";")[0] for kind, _, names, _ in KINDS if kind == one.type)
        return replace(self._nearby(one, 0.002), id=next(self._ids), name=f"{own} {words}", kind="neighbour")


LOOKALIKES: list[Callable[[Places, Place], Place]] = [
    Places.branch,
    Places.other_kind,
    Places.namesake,
    Places.neighbour,
]

Dirty = Callable[[Place, random.Random], Place]
_ABBREVIATIONS = {
    "General Hospital": "Gen. Hosp.;Gen Hospital;GENERAL HOSPITAL;General Hosp",
    "Primary Health Centre": "PHC;Primary Health Center;Primary Health Care Centre;P.H.C.",
    "University Teaching Hospital": "Univ. Teaching Hospital;Teaching Hospital;UNIVERSITY TEACHING HOSPITAL",
    "Health Post": "HEALTH POST;Health-Post",
    "Maternity Home": "Maternity;Maternity Centre",
    "Clinic": "CLINIC;Health Clinic;Clinic.",
    "Pharmacy": "PHARMACY;Pharmacy Ltd",
    "Diagnostics": "Diagnostic Centre;DIAGNOSTICS",
    "Saint": "St.;St",
}


def _abbreviated(place: Place, draw: random.Random) -> Place:
    words = draw.choice([words for words in _ABBREVIATIONS if words in place.name] or ["Saint"])
    return replace(place, name=place.name.replace(words, draw.choice(_ABBREVIATIONS[words].split(";"))))


def _slip(place: Place, draw: random.Random) -> Place:
    name, at = place.name, draw.randrange(1, max(2, len(place.name.split()[0]) - 1))
    slips = [name[:at] + name[at + 1 :], name[:at] + name[at] + name[at:]]
    return replace(place, name=draw.choice([*slips, name[:at] + draw.choice("aeiou") + name[at + 1 :]]))


def _turned(place: Place, draw: random.Random) -> Place:
    """General Hospital, Ikeja; or the LGA put behind the name."""
    behind = place.name.removeprefix(f"{place.lga} ")
    return replace(place, name=f"{behind}{draw.choice((', ', ' '))}{place.lga}")


DIRT: dict[str, Dirty] = {
    "abbreviation": _abbreviated,
    "a slip of the pen": _slip,
    "order of words, LGA in the name": _turned,
    "hyphens and apostrophes": lambda place, _: replace(place, name=place.name.replace("-", " ").replace("'", "")),
    "LGA missing": lambda place, draw: _abbreviated(replace(place, lga=""), draw),
}

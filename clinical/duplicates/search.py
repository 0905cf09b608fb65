"""Finding probable duplicates and keeping them: incremental, in parts that each stand by themselves, one at a time.

A part is some facilities' patients, or the facilities of one state; it is one transaction, so that no search holds a
snapshot for long, and one that breaks off is begun again by the next. A pair that a steward has decided never returns.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from clinical.duplicates import blocking, names, places, scoring
from clinical.duplicates.blocking import Blocked, Keyed
from clinical.duplicates.names import Called
from clinical.duplicates.places import At
from clinical.duplicates.scoring import THRESHOLDS, VERSION, Crowd, Person, Site, Sites, Verdict
from clinical.locks import alone, oldest_writer
from clinical.models import DuplicatePair, DuplicateSearch, Facility, Patient, Table

LOCK = 7_340_216  # of this database, for whoever searches; analytics/marts.py has the one before
AT_ONCE = 20_000  # patients of one part, unless one facility has more
WRITTEN_AT_ONCE = 1_000


ELSEWHERE = "Another process searches for duplicates; there is nothing to do here."


class AlreadyRunning(Exception):
    """Another process searches at this moment."""


class Chosen(NamedTuple):
    """What a part has come to: pairs that are probably one, and the rows that had changed."""

    pairs: list[DuplicatePair]
    changed: set[int]


Say = Callable[[str], object]


def search_all(*, is_full: bool = False, say: Say = lambda _: None) -> list[DuplicateSearch]:
    with alone(LOCK, AlreadyRunning(ELSEWHERE)):
        return [search(table, is_full=is_full, say=say) for table in Table]


def search(table: Table, *, is_full: bool = False, say: Say = lambda _: None) -> DuplicateSearch:
    """Compares what has changed since the last search with everything; all, where there is none by these rules."""
    last = DuplicateSearch.objects.filter(table=table, version=VERSION).order_by("-id").first()
    since = None if is_full or last is None else last.horizon
    record = DuplicateSearch(table=table, is_full=since is None, version=VERSION, started_at=timezone.now())
    record.horizon = oldest_writer()  # before anything is read: what commits meanwhile is looked at the next time
    so_far, record.rows, record.found = Blocked(), 0, 0
    for part in {Table.PATIENTS: _patients, Table.FACILITIES: _facilities}[table](since):
        with transaction.atomic():
            chosen = part(so_far)
            _store(table, chosen)
        record.rows += len(chosen.changed)
        record.found += len(chosen.pairs)
        say(f"{table}: {record.rows:,} rows, {so_far.compared:,} pairs compared, {record.found:,} probable")
    record.blocked, record.compared, record.capped = so_far.blocked, so_far.compared, dict(so_far.capped)
    record.finished_at = timezone.now()
    record.save()
    return record


def _changed(since: datetime | None) -> Q:
    return Q() if since is None else Q(updated_at__gte=since)


# --- Patients

Part = Callable[[Blocked], Chosen]


def _patients(since: datetime | None) -> Iterator[Part]:
    """Whole facilities, state by state, so that the names of one state are counted at a time."""
    changed = Patient.objects.filter(_changed(since)).values("facility")
    sizes = (
        Facility.objects.filter(pk__in=changed)
        .annotate(size=Count("patients", filter=Q(patients__deleted_at=None)))
        .order_by("state", "id")
        .values_list("state", "id", "size")
    )
    for state, facilities in _portions(sizes):
        usual = _counted_names(state)
        for ids in facilities:
            yield lambda so_far, ids=ids, usual=usual: _among_patients(ids, since, usual, so_far)  # type: ignore[misc]


def _portions(sizes: Iterable[tuple[str, int, int]]) -> list[tuple[str, list[list[int]]]]:
    """[(state, [facilities of one part, ...]), ...]"""
    found: dict[str, list[list[int]]] = {}
    room = 0
    for state, pk, size in sizes:
        parts = found.setdefault(state, [])
        if not parts or size > room:
            parts.append([])
            room = AT_ONCE
        parts[-1].append(pk)
        room -= size
    return [*found.items()]


class Usual(NamedTuple):
    people: int
    first_names: Counter[str]
    last_names: Counter[str]


def _counted_names(state: str) -> Usual:
    present = Patient.objects.present().filter(facility__state=state)
    first, last = (_counted(present, column) for column in ("first_name_key", "last_name_key"))
    return Usual(first.total(), first, last)


def _counted(rows: Any, column: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for name, count in rows.order_by().values_list(column).annotate(count=Count("pk")).iterator(10_000):
        counts[names.key(name)] += count
    return counts


COLUMNS = ("id", "facility_id", "first_name", "last_name", "dob", "dob_is_estimated", "sex", "phone", "patient_number")


def _among_patients(facilities: list[int], since: datetime | None, usual: Usual, so_far: Blocked) -> Chosen:
    rows = Patient.objects.filter(facility__in=facilities).order_by()
    changed = {*rows.filter(_changed(since)).values_list("pk", flat=True)}
    people: dict[int, Person] = {}
    home: dict[int, int] = {}
    for pk, at, first, last, *rest in rows.present().values_list(*COLUMNS):
        home[pk], people[pk] = at, Person(pk, Called(first, last), *rest)
    today = timezone.localdate()
    sizes, phones = Counter(home.values()), {at: Counter[str]() for at in facilities}
    for person in people.values():
        if person.phone:
            phones[home[person.id]][person.phone] += 1
    crowds = {
        at: Crowd(sizes[at], usual.people, usual.first_names, usual.last_names, phones[at], today) for at in facilities
    }
    keyed = (Keyed(pk, home[pk], pk in changed, *_keys_of_person(person)) for pk, person in people.items())
    verdicts = (
        (low, high, scoring.patients(people[low], people[high], crowds[home[low]]))
        for low, high in blocking.pairs(keyed, so_far)
    )
    return Chosen(
        [_pair(Table.PATIENTS, *one, at=(home[one[0]],) * 2) for one in _probable("patients", verdicts)], changed
    )


Judged = tuple[int, int, Verdict]


def _probable(table: str, judged: Iterable[Judged]) -> Iterator[Judged]:
    return (one for one in judged if one[2].score >= THRESHOLDS[table])


def _pair(table: Table, low: int, high: int, verdict: Verdict, *, at: tuple[int, int]) -> DuplicatePair:
    places_of = {"facility_id": at[0], "other_facility_id": at[1]}
    said = {"score": round(verdict.score, 2), "evidence": verdict.evidence, "version": VERSION}
    return DuplicatePair(table=table, low_id=low, high_id=high, **places_of, **said)


def _keys_of_person(person: Person) -> tuple[str, list[tuple[str, str, str]]]:
    """The name by which likeness is measured, and the keys. Neither the order of the names nor that of day and month
    counts in any of them."""
    words = sorted(map(names.canonical, names.fold(person.called.first) + names.fold(person.called.last)))
    name, born = " ".join(words), person.dob
    early, late = sorted((born.day, born.month))
    sounds = sorted({names.sound(word) for word in words if len(word) > 1})
    keys = [("date of birth", f"{born.year}{early:02}{late:02}", name)]
    keys += [("name and year of birth", f"{sound} {born.year}", name) for sound in sounds]
    keys += [("name and birthday", f"{sound} {early:02}{late:02}", name) for sound in sounds]
    keys += [("names", " ".join(sounds), born.isoformat())] if sounds else []
    keys += [("phone", person.phone, name)] if person.phone else []
    number = "".join(names.fold(person.number or ""))
    keys += [("patient number", number, name)] if number else []
    return name, keys


# --- Facilities


def _facilities(since: datetime | None) -> Iterator[Part]:
    for state in Facility.objects.filter(_changed(since)).order_by("state").values_list("state", flat=True).distinct():
        yield lambda so_far, state=state: _among_facilities(state, since, so_far)  # type: ignore[misc]


def _among_facilities(state: str, since: datetime | None, so_far: Blocked) -> Chosen:
    rows = Facility.objects.filter(state=state).order_by()
    changed = {*rows.filter(_changed(since)).values_list("pk", flat=True)}
    sites = {
        pk: Site(pk, At(name, lga, state), lga_key, (float(lat), float(lon)) if lat is not None else None, *rest)
        for pk, name, lga, lga_key, lat, lon, *rest in rows.present().values_list(
            "id", "name", "lga_name", "lga_key", "lat", "lon", "type", "hfr_code"
        )
    }
    usual = Sites(len(sites), dict(Counter(places.take_apart(*site.at) for site in sites.values())))
    keyed = (Keyed(pk, 0, pk in changed, *_keys_of_site(site)) for pk, site in sites.items())
    verdicts = (
        (low, high, scoring.facilities(sites[low], sites[high], usual)) for low, high in blocking.pairs(keyed, so_far)
    )
    return Chosen([_pair(Table.FACILITIES, *one, at=one[:2]) for one in _probable("facilities", verdicts)], changed)


CELLS = 50  # to a degree: each 2 km wide


def _keys_of_site(site: Site) -> tuple[str, list[tuple[str, str, str]]]:
    named = places.take_apart(*site.at)
    name = " ".join((*names.plain_words(site.at.name), *named.kinds))
    keys = [("LGA", "".join(names.fold(site.lga)), name)] if site.lga else []
    keys += [("name", " ".join(named.own), name)] if named.own else []
    keys += [("word of the name", names.sound(word), name) for word in named.own if len(word) > 3]
    if site.point:
        # Four grids, each shifted by half a cell: who is within half a cell shares a cell of one of them.
        north, east = (degrees * CELLS for degrees in site.point)
        shifts = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))
        keys += [("place", f"{int(north + up)} {int(east + on)} {up} {on}", name) for up, on in shifts]
    code = "".join(names.fold(site.code or ""))
    keys += [("HFR code", code, name)] if code else []
    return name, keys


# --- Keeping


def _store(table: Table, chosen: Chosen) -> None:
    """Open pairs of rows that have changed are as they are found now: new, scored anew, or gone. Others stay."""
    known = DuplicatePair.objects.filter(table=table).filter(
        Q(low_id__in=chosen.changed) | Q(high_id__in=chosen.changed)
    )
    found = {(pair.low_id, pair.high_id) for pair in chosen.pairs}
    gone, decided = [], set()
    for pk, low, high, state in known.values_list("pk", "low_id", "high_id", "state"):
        if state != DuplicatePair.State.OPEN:
            decided.add((low, high))
        elif (low, high) not in found:
            gone.append(pk)
    DuplicatePair.objects.waiting().filter(pk__in=gone).delete()
    DuplicatePair.objects.bulk_create(
        [pair for pair in chosen.pairs if (pair.low_id, pair.high_id) not in decided],
        batch_size=WRITTEN_AT_ONCE,
        update_conflicts=True,
        unique_fields=["table", "low_id", "high_id"],
        update_fields=["score", "evidence", "version", "facility", "other_facility"],
    )

"""A large delivery full of typing errors, cleared by one decision for each family of them."""

import itertools

import pytest

from clinical.models import Facility, Patient
from ingestion import causes, rulemaking, stewards
from ingestion.models import RejectedRow, Rule
from ingestion.rulemaking import Proposal
from tests.deliveries import deliver, last_batch, night

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bucket")]
STATES = ("KANO", "LAGOS", "FCT", "OYO")
FAMILIES_OF_NAMES, WRONG = 30, 10  # of facilities; one row in ten bears an error
SEXES = {"woman": "F", "femme": "F", "girl": "F", "man": "M", "boy": "M"}
SPELLINGS = {"Kanoo": "KANO", "Lagoss": "LAGOS", "Abujaa": "FCT", "Oyoo": "OYO", "Laggos": "LAGOS"}
HEADER = "facility_name,first_name,last_name,sex,dob,phone,facility_state\n"


def facilities() -> list[tuple[str, str]]:
    return [(f"Health Centre {n:03}", STATES[n % len(STATES)]) for n in range(100)]


def delivered(rows: int) -> tuple[str, str]:
    """The file as it comes, and as it should have been."""
    typos = itertools.cycle(
        [
            *((n, "", "") for n in range(FAMILIES_OF_NAMES)),
            *((None, s, "") for s in SEXES),
            *((None, "", s) for s in SPELLINGS),
        ]
    )
    as_it_is, as_meant = [HEADER], [HEADER]
    for number in range(rows):
        name, state = facilities()[number % 100]
        sex = "F" if number % 2 else "M"
        person = f"Person{number % 997},Number{number}"
        right = (name, sex, state)
        wrong = right
        if number % WRONG == 0:
            which, said_sex, said_state = next(typos)
            if which is not None:
                right = (*facilities()[which][:1], sex, facilities()[which][1])
                wrong = (f"Helth Center {which:03}", right[1], right[2])
            elif said_sex:
                right, wrong = (name, SEXES[said_sex], state), (name, said_sex, state)
            else:
                home = next(f for f in facilities() if f[1] == SPELLINGS[said_state])
                right, wrong = (home[0], sex, home[1]), (home[0], sex, said_state)
        for lines, (at, gender, where) in ((as_it_is, wrong), (as_meant, right)):
            lines.append(f"{at},{person},{gender},1990-01-01,,{where}\n")
    return "".join(as_it_is), "".join(as_meant)


def clear(alice) -> int:
    """One decision after the other, those first that free most, as the desk offers them; returns how many."""
    meant = dict(SEXES) | SPELLINGS
    decisions = 0
    while found := causes.groups(RejectedRow.objects.all(), most=1):
        (group,) = found
        facility = None
        if group.about == "facility":
            facility = Facility.objects.get(name=f"Health Centre {group.value[-3:]}")
        value = "" if facility else meant[group.value]
        proposal = Proposal(group.about, group.value, facility=facility, value=value)
        preview = rulemaking.preview(proposal, by=alice)
        rule = rulemaking.save(proposal, by=alice)
        assert preview.freed == preview.waiting == group.freed
        rulemaking.apply(rule, by=alice)
        decisions += 1
    return decisions


def patients() -> set:
    return {*Patient.objects.values_list("facility__name", "facility__state", "last_name", "sex")}


def _cleared(alice, rows: int) -> None:
    as_it_is, as_meant = delivered(rows)
    lines = "".join(f"{name},{state},,,,Health Centre\n" for name, state in facilities())
    deliver("facilities-2026-11-20.csv", "name,state,lga,lat,lon,type\n" + lines)
    deliver("patients-2026-11-20.csv", as_it_is)
    night()
    if last_batch("patients").status == "held":
        stewards.release(last_batch("patients"), release_as="loaded", by=alice)
        night()
    wrong = -(-rows // WRONG)
    assert RejectedRow.objects.filter(state="open").count() == wrong
    assert clear(alice) == 40
    assert not RejectedRow.objects.filter(state="open").exists()
    cleared = patients()
    assert len(cleared) == rows
    rule = Rule.objects.filter(about="facility").earliest("id")
    came_in = rule.uses.count()
    assert rulemaking.take_back(rule, why="To see that exactly its rows go.", by=alice) == came_in
    waiting = RejectedRow.objects.filter(state="open")
    assert {row.raw["facility_name"] for row in waiting} == {rule.text}
    assert waiting.count() == came_in == rows - len(patients())
    rulemaking.apply(rulemaking.save(Proposal("facility", rule.text, facility=rule.facility), by=alice), by=alice)
    deliver("patients-meant-2026-11-21.csv", as_meant)
    night()
    assert last_batch("patients").unchanged == rows, "it was all as it should have been"
    assert patients() == cleared


def test_forty_families_of_typing_errors_are_cleared_in_forty_decisions(alice):
    _cleared(alice, 2_000)


@pytest.mark.drill
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_rows_are_cleared_in_forty_decisions(alice):
    _cleared(alice, 100_000)

from itertools import pairwise

import pytest

from clinical import geography, values

COUNTS = (
    "ABIA 17,ADAMAWA 21,AKWA IBOM 31,ANAMBRA 21,BAUCHI 20,BAYELSA 8,BENUE 23,BORNO 27,CROSS RIVER 18,DELTA 25,"
    "EBONYI 13,EDO 18,EKITI 16,ENUGU 17,FCT 6,GOMBE 11,IMO 27,JIGAWA 27,KADUNA 23,KANO 44,KATSINA 34,KEBBI 21,"
    "KOGI 21,KWARA 16,LAGOS 20,NASARAWA 13,NIGER 25,OGUN 20,ONDO 18,OSUN 30,OYO 33,PLATEAU 17,RIVERS 23,"
    "SOKOTO 23,TARABA 16,YOBE 17,ZAMFARA 14"
)


def test_there_are_37_states_with_774_lgas_as_many_in_each_as_the_constitution_lists():
    counts = ",".join(f"{state} {len(geography.LGAS[state])}" for state in geography.STATES)
    assert counts == COUNTS
    assert sum(map(len, geography.LGAS.values())) == 774


def test_states_are_sorted_so_that_a_choice_list_and_a_constraint_do_not_change_by_accident():
    assert all(one < next_one for one, next_one in pairwise(geography.STATES))


def test_every_centre_is_a_valid_point():
    assert all(values.point(str(lat), str(lon))[2] is None for lat, lon in geography.CENTRES.values())


@pytest.mark.parametrize("state", geography.STATES)
def test_every_lga_is_found_by_each_of_its_spellings_and_no_spelling_names_two(state):
    spellings = geography._LGA_ALIASES.get(state, {})
    pairs = [(name, name) for name in geography.LGAS[state]]
    pairs += [(one, name) for name, several in spellings.items() for one in several.split(";")]
    keys = [geography.key(spelling) for spelling, _ in pairs]
    assert [geography.find_lga(spelling, state) for spelling, _ in pairs] == [name for _, name in pairs]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("LAGOS", "LAGOS"),
        ("lagos", "LAGOS"),
        ("Lagos State", "LAGOS"),
        ("lagos  STATE", "LAGOS"),
        ("Akwa-Ibom", "AKWA IBOM"),
        ("akwa_ibom state", "AKWA IBOM"),
        ("AkwaIbom", "AKWA IBOM"),
        ("Cross  River", "CROSS RIVER"),
        ("River", "RIVERS"),
        ("River State", "RIVERS"),
        ("Nassarawa", "NASARAWA"),
        ("Nassarawa State", "NASARAWA"),
        ("Ọ̀yọ́", "OYO"),
        ("Ọ̀ṣun State", "OSUN"),
        ("FCT", "FCT"),
        ("F.C.T.", "FCT"),
        ("FCT - Abuja", "FCT"),
        ("FCT, Abuja", "FCT"),
        ("abuja", "FCT"),
        ("Abuja (FCT)", "FCT"),
        ("Federal Capital Territory", "FCT"),
        ("Abuja Federal Capital Territory", "FCT"),
        ("NG-LA", "LAGOS"),
        ("ng-fc", "FCT"),
        ("NG-KE", "KEBBI"),
        ("NG-KB", "KEBBI"),
        ("KN", "KANO"),
    ],
)
def test_a_state_is_known_by_any_spelling_of_the_tables(name, state):
    assert geography.find_state(name) == state


@pytest.mark.parametrize("code", geography._ISO.split("; "))
def test_every_state_has_its_iso_code(code):
    suffix, state = code.split(" ", 1)
    assert geography.find_state(f"NG-{suffix}") == state


def test_as_many_iso_codes_as_states():
    assert sorted(entry.split(" ", 1)[1] for entry in geography._ISO.split("; ")) == sorted(geography.STATES)


@pytest.mark.parametrize(
    "name",
    ["", "State", "Nigeria", "Accra", "Ikeja", "Lagos Kano", "Lagos2", "NG", "GH-AA", "拉各斯", "LAGOS拉"],
)
def test_a_state_is_unknown_where_no_table_has_it(name):
    assert geography.find_state(name) is None


@pytest.mark.parametrize(
    ("name", "state", "official"),
    [
        ("jema'a", "KADUNA", "Jema'a"),
        ("JEMAA", "KADUNA", "Jema'a"),
        ("Jema’a LGA", "KADUNA", "Jema'a"),  # noqa: RUF001 a typographic apostrophe, as word processors write it
        ("Obio-Akpor", "RIVERS", "Obio/Akpor"),
        ("OBIO / AKPOR L.G.A.", "RIVERS", "Obio/Akpor"),
        ("Eti Osa Local Government", "LAGOS", "Eti-Osa"),
        ("Ikeja Local Government Area", "LAGOS", "Ikeja"),
        ("Shomolu", "LAGOS", "Somolu"),
        ("AMAC", "FCT", "Abuja Municipal"),
        ("Bwari Area Council", "FCT", "Bwari"),
        ("Dambatta", "KANO", "Danbata"),
        ("Yewa North", "OGUN", "Egbado North"),
        ("Ọ̀yọ́ East", "OYO", "Oyo East"),
        ("Nassarawa", "KANO", "Nasarawa"),
        ("Kauru", "KADUNA", "Kauru"),
        ("Kaura", "KADUNA", "Kaura"),
        ("Ikeja", "KANO", None),
        ("Surulere", "KANO", None),
        ("Springfield", "LAGOS", None),
        ("", "LAGOS", None),
        ("LGA", "LAGOS", None),
        ("Ikeja", "Lagos", None),  # a state as stored is upper-case
    ],
)
def test_an_lga_is_compared_by_its_official_name_in_its_state(name, state, official):
    assert geography.find_lga(name, state) == official


@pytest.mark.parametrize(
    ("name", "official"),
    [
        ("ikeja", "Ikeja"),
        ("Surulere", "Surulere"),  # two states, one spelling
        ("Municipal", "Abuja Municipal"),
        ("Yakuur", "Yakurr"),
        ("Springfield", None),
    ],
)
def test_an_lga_without_a_state_is_known_where_all_states_agree(name, official):
    assert geography.find_lga(name, None) == official


def test_an_lga_without_a_state_is_unknown_where_states_disagree(monkeypatch):
    monkeypatch.setitem(geography._LGAS_BY_KEY, "KANO", {"somolu": "Shomolu"})
    assert geography.find_lga("Somolu", None) is None

"""What words mean: tables of cases over the delivered map, without a database."""

import re

import pytest

from clinical.terms import shipped, words
from clinical.terms.proposals import proposals
from clinical.terms.shipped import Kind

DIAGNOSES = shipped.spellings(Kind.DIAGNOSIS, 1)
MEDICINES = shipped.spellings(Kind.MEDICATION, 1)


def diagnoses(text):
    parts = words.diagnoses(text, DIAGNOSES.get)
    return [(DIAGNOSES[part.key].code if part.key in DIAGNOSES else part.text, str(part.status)) for part in parts]


def medicines(text):
    parts = words.medications(text, MEDICINES.get)
    return [(MEDICINES[part.key].code if part.key in MEDICINES else part.text, part.dose) for part in parts]


def sure(text):
    return [code for code, status in diagnoses(text) if status == "confirmed"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Malaria", ["B54"]),
        ("  MALARIA. ", ["B54"]),
        ("HTN", ["I10"]),
        ("BP high", ["R03.0"]),
        ("PUD", ["K27.9"]),
        ("URTI", ["J06.9"]),
        ("RTA", ["V89.2"]),
        ("Anemia", ["D64.9"]),
        ("Anæmia", ["D64.9"]),
        ("diarrhea", ["A09.9"]),
        ("Peptic ulcers", ["K27.9"]),
        ("Known hypertensive", ["I10"]),
        ("k/c/o sickle cell disease", ["D57.1"]),
        ("RVD +ve", ["Z21"]),
        ("HIV/AIDS", ["B24"]),
        ("malaria/typhoid", ["B54", "A01.0"]),
        ("Hypertension and diabetes", ["I10", "E14.9"]),
        ("Malaria; something else", ["B54"]),
        ("malaria in pregnancy", ["O98.6"]),
    ],
)
def test_a_text_means_what_it_says(text, codes):
    assert sure(text) == codes


@pytest.mark.parametrize(
    "text",
    [
        *("BP", "ulcer", "HIV", "CAP", "Burn of hand, first degree dorsum", "Malarya", "12", ""),
        *("Age", "AGE", "ICH", "AF", "PTB", "LHF", "EVD", "PID", "CLD", "SSI", "RTC", "SCD", "SCA", "C/S", "SVD"),
        *("bacterial vaginosis", "urethritis", "lupus", "clubfoot", "acne vulgaris", "periodontitis", "apollo"),
    ],
)
def test_a_word_that_is_not_sure_to_mean_one_thing_has_no_code(text):
    assert sure(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("? malaria", [("B54", "provisional")]),
        ("malaria?", [("B54", "provisional")]),
        ("r/o typhoid", [("A01.0", "provisional")]),
        ("suspected lassa fever", [("A96.2", "provisional")]),
        ("r/o malaria/typhoid", [("B54", "provisional"), ("A01.0", "provisional")]),
        ("Malaria, ?typhoid", [("B54", "confirmed"), ("A01.0", "provisional")]),
        ("no malaria", [("B54", "refuted")]),
        ("malaria negative", [("B54", "refuted")]),
        ("malaria -ve", [("B54", "refuted")]),
        ("no history of asthma", [("J45.9", "refuted")]),
        ("h/o asthma", [("J45.9", "history")]),
        ("family history of diabetes", [("E14.9", "history")]),
        ("RVD-", [("B24", "refuted")]),
        ("RVD -", [("B24", "refuted")]),
        ("RVD(-)", [("B24", "refuted")]),
        ("RVD (\u2013)", [("B24", "refuted")]),
        ("RVD \u2212", [("B24", "refuted")]),
        ("RVD - - -.", [("B24", "refuted")]),
        ("RVD --", [("B24", "refuted")]),
        ("RVD-ve", [("B24", "refuted")]),
        ("Malaria: -", [("B54", "refuted")]),
        ("Malaria [-]", [("B54", "refuted")]),
        ("HTN -, DM -", [("I10", "refuted"), ("E14.9", "refuted")]),
        ("Diabetes (-), Hypertension (+)", [("E14.9", "refuted"), ("I10", "confirmed")]),
        ("-ve malaria", [("B54", "refuted")]),
        ("nil malaria", [("B54", "refuted")]),
        ("malaria no", [("B54", "refuted")]),
        ("not a k/c of HTN", [("I10", "refuted")]),
        ("denies asthma", [("J45.9", "refuted")]),
        ("typhoid excluded", [("A01.0", "refuted")]),
        ("malaria; excluded", [("B54", "refuted")]),
        ("malaria not detected", [("B54", "refuted")]),
        ("resolved malaria", [("B54", "history")]),
        ("post-malaria", [("B54", "history")]),
        ("treated malaria last month", [("B54", "history")]),
        ("FHx DM", [("E14.9", "history")]),
        ("mother has DM", [("E14.9", "history")]),
        ("prevention of malaria", [("B54", "history")]),
        ("to r/o malaria", [("B54", "provisional")]),
        ("tro malaria", [("B54", "provisional")]),
        ("rule-out malaria", [("B54", "provisional")]),
        ("likely malaria", [("B54", "provisional")]),
        ("impression: malaria", [("B54", "provisional")]),
        ("differential: malaria", [("B54", "provisional")]),
        ("malaria??", [("B54", "provisional")]),
        ("Malaria. Typhoid excluded", [("B54", "confirmed"), ("A01.0", "refuted")]),
        ("Malaria. ?Typhoid.", [("B54", "confirmed"), ("A01.0", "provisional")]),
        ("malaria\uff1f", [("B54", "provisional")]),
    ],
)
def test_what_is_suspected_denied_or_past_is_no_diagnosis(text, found):
    assert diagnoses(text) == found


@pytest.mark.parametrize(
    "text",
    [
        *("no malaria and typhoid", "malaria, typhoid negative", "malaria not confirmed", "malaria ? typhoid"),
        *("never had malaria, typhoid", "malaria vaccine", "malaria is ruled out"),
        *("malaria; typhoid; excluded", "malaria\ntyphoid\n(-)", "malaria; typhoid; ?", "malaria, typhoid, ?"),
        *("differential: malaria; typhoid", "Denies:\nasthma\ndiabetes", "malaria NAD", "mother diabetic", "HTN - no"),
        *(
            "Malaria. Now resolved",
            "Malaria. Typhoid. Both excluded",
            "Impression: malaria. Typhoid",
            "Malaria. RDT was -",
        ),
        *("HTN - DM +", "hypertension +/- diabetes", "Malaria -/+ typhoid", "s/p appendicectomy"),
    ],
)
def test_where_it_cannot_be_told_of_what_a_qualifier_is_nothing_is_coded(text):
    assert sure(text) == []


SIGNS = [
    *("-", "--", "\u2010", "\u2013", "\u2014", "\u2212", "\u207b", "\uff0d", "(-)", "( \u2013 )", "[-]"),
    *("+/-", "+-", "+ / \u2013", "-/+", "\u00b1", "\u2213", "\u00ac", "~", "!", "<", "=", "*", "#", "|", "\\"),
    *(
        "[ ]",
        "[]",
        "( )",
        "\u2610",
        "\u2611",
        "\u2612",
        "\u2713",
        "\u2717",
        "\u25a1",
        "\u2705",
        "___",
        "....",
        "\u2026",
    ),
    *("\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\x00", "\u0336", "\u20e0", "\u061f"),
]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("word", ["RVD", "malaria", "diabetes mellitus"])
def test_nothing_is_sure_beside_a_sign_that_the_key_of_the_word_does_not_have(word, sign):
    for text in (f"{sign}{word}", f"{sign} {word}", f"{word}{sign}", f"{word} {sign}", f"{word}: {sign}."):
        assert sure(text) == [], text
        assert sure(f"{text}, {text}") == [], text
    for text in (f"{word} {sign} typhoid", f"{word}{sign}, {sign}typhoid", f"{word} {sign}/typhoid"):
        assert sure(text) == [], text


@pytest.mark.parametrize("sign", SIGNS)
def test_no_medicine_is_sure_beside_such_a_sign(sign):
    for text in (f"{sign} paracetamol", f"paracetamol {sign}", f"paracetamol{sign}", f"paracetamol 500mg tds {sign}"):
        parts = words.medications(text, MEDICINES.get)
        assert [part for part in parts if part.status == "confirmed"] == [], text


@pytest.mark.parametrize("qualifier", [*words.BEFORE, *words.AFTER])
def test_no_qualifier_but_a_neutral_one_leaves_a_diagnosis(qualifier):
    neutral = words.BEFORE.get(qualifier, ...) is None or words.AFTER.get(qualifier, ...) is None
    for text in (
        f"{qualifier} malaria",
        f"malaria {qualifier}",
        f"malaria, {qualifier} typhoid",
        f"{qualifier} malaria; x",
    ):
        assert neutral or set(sure(text)) <= ({"B54"} if text.startswith("malaria, ") else set()), text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Amlodipine 5mg od", [("amlodipine", "5mg od")]),
        ("Artemether-Lumefantrine; Paracetamol", [("artemether-lumefantrine", ""), ("paracetamol", "")]),
        ("Tab PCM 1g tds x 3/7, Cap Amoxil 500mg", [("paracetamol", "1g 3/7 tab tds x"), ("amoxicillin", "500mg cap")]),
        ("IV Ceftriaxone 1g 12 hourly", [("ceftriaxone", "1g 12 hourly iv")]),
        ("Vitamin A 200,000 IU", [("retinol", "200,000 IU")]),
        ("Meperidine Hydrochloride 50 MG Oral Tablet", [("pethidine", "50 MG oral tablet")]),
        ("Ibuprofen 100 MG/5ML suspension", [("ibuprofen", "100 MG/5ML suspension")]),
        ("Paracetamol - 500mg 1-2 tabs - tds", [("paracetamol", "500mg 1-2 tabs tds")]),
        ("Amlodipine\u20135mg od [Norvasc]", [("amlodipine", "5mg od")]),
        ("Insulin soluble 10 units", [("soluble-insulin", "10 units")]),
        ("Inj Soluble insulin 10 units sc", [("soluble-insulin", "10 units inj soluble sc")]),
        ("Inj insulin 10 units sc", [("insulin", "10 units inj sc")]),
        ("ORS; Zinc 20 mg", [("oral-rehydration-salts", ""), ("zinc", "20 mg")]),
    ],
)
def test_a_medicine_is_found_beside_its_dose(text, found):
    assert medicines(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "stop metformin",
        "allergic to penicillin V",
        "no paracetamol",
        "? artesunate",
        "Vitamin",
        "Amlodipine 5mg [stopped]",
        "HCT",
        "INH",
        "AZT",
        "anti-tetanus serum",
    ],
)
def test_what_is_not_given_is_no_medicine(text):
    assert [part for part in words.medications(text, MEDICINES.get) if part.status == "confirmed"] == []


# --- The delivered map


def test_each_version_is_as_it_was_when_it_was_delivered():
    assert {version: shipped.digest(version) for version in shipped.versions()} == shipped.versions()


def test_the_map_is_as_large_as_it_should_be():
    sizes = {kind: (len(shipped.concepts(kind, 1)), len(shipped.spellings(kind, 1))) for kind in Kind}
    assert sizes[Kind.DIAGNOSIS] > (500, 1300)
    assert sizes[Kind.MEDICATION] > (200, 500)


@pytest.mark.parametrize("kind", Kind)
def test_every_spelling_means_itself_and_no_qualifier(kind):
    known = shipped.spellings(kind, 1)
    read = words.diagnoses if kind == Kind.DIAGNOSIS else words.medications
    for coding, spellings in shipped.concepts(kind, 1).values():
        for word in spellings:
            assert [known[part.key] for part in read(word, known.get) if part.status == "confirmed"] == [coding], word


def test_every_code_has_the_form_of_its_system():
    assert all(re.fullmatch(r"[A-Z]\d\d(\.\d)?", coding.code) for coding in DIAGNOSES.values())
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", coding.code) for coding in MEDICINES.values())


def test_a_misspelt_word_is_proposed_to_mean_what_is_like_it():
    assert proposals(Kind.DIAGNOSIS, "tonsilitis")[0].coding.code == "J03.9"
    assert proposals(Kind.MEDICATION, "amlodipin besilat")[0].coding.code == "amlodipine"
    assert proposals(Kind.DIAGNOSIS, "zqx") == []

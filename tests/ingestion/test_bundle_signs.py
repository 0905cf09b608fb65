"""Vital signs of a bundle in words: whatever a living person may have is read back as it was sent."""

from decimal import Decimal

import pytest

from clinical.vitals.signs import LIMITS
from ingestion.fhir.elements import Element
from ingestion.fhir.observations import FORMS, PRESSURE, are_read_back, sign, words
from tests.ingestion.bundles import LOINC, UCUM


def sent(code, value, unit):
    found = []
    quantity = {"valueQuantity": {"value": value, "system": UCUM, "code": unit}}
    if code == PRESSURE:
        parts = [("8480-6", quantity), ("8462-4", {"valueQuantity": quantity["valueQuantity"] | {"value": value - 30}})]
        quantity = {"component": [{"code": {"coding": [{"system": LOINC, "code": c}]}} | q for c, q in parts]}
    made = sign(Element(quantity, "Observation", found), code)
    assert found == []
    return made


CASES = [(code, unit) for code, form in FORMS.items() for unit in form.units]


@pytest.mark.parametrize(("code", "unit"), CASES)
def test_each_sign_is_read_back_at_both_ends_and_in_the_middle(code, unit):
    low, high = LIMITS["8480-6" if code == PRESSURE else code, unit]
    values = {high.to_integral_value(), ((low + high) / 2).to_integral_value()}
    if code != PRESSURE:
        values.add(low.to_integral_value(rounding="ROUND_CEILING"))
    refused = [value for value in values if not are_read_back([sent(code, value, unit)])]
    assert refused == [], [words([sent(code, value, unit)]) for value in refused]


def test_a_fraction_is_neither_rounded_nor_padded():
    assert words([sent("8310-5", Decimal("37.20"), "Cel"), sent("29463-7", Decimal("3.25"), "kg")]) == (
        "Temp 37.2 C, Weight 3.25 kg"
    )
    assert are_read_back([sent("8310-5", Decimal("37.25"), "Cel")])
    assert not are_read_back([sent("29463-7", Decimal("3.2561"), "kg")])

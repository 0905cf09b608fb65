"""Organisation units from a list as DHIS2 exports it: matched by the code of the facility registry."""

import csv
from collections.abc import Iterable
from typing import NamedTuple

from django.db import transaction

from analytics.dhis2.mapping import UID
from analytics.dhis2.models import OrgUnit
from clinical.models import Facility


class Taken(NamedTuple):
    """`unknown`: lines without a facility of that code, or of which several have it."""

    mapped: int
    unknown: int
    wrong: int


@transaction.atomic
def take(lines: Iterable[str]) -> Taken:
    """Columns `hfr_code` and `org_unit`; what is not in the list stays as it is."""
    known: dict[str, list[int]] = {}
    for pk, code in Facility.objects.exclude(hfr_code=None).exclude(hfr_code="").values_list("pk", "hfr_code"):
        known.setdefault(str(code), []).append(pk)
    wanted: dict[int, str] = {}
    unknown = wrong = 0
    for line in csv.DictReader(lines):
        code, uid = (str(line.get(name) or "").strip() for name in ("hfr_code", "org_unit"))
        facilities = known.get(code, [])
        if not UID.fullmatch(uid) or uid in wanted.values():
            wrong += 1
        elif len(facilities) != 1:
            unknown += 1
        else:
            wanted[facilities[0]] = uid
    OrgUnit.objects.filter(uid__in=wanted.values()).delete()
    for facility, uid in wanted.items():
        OrgUnit.objects.update_or_create(facility_id=facility, defaults={"uid": uid})
    return Taken(len(wanted), unknown, wrong)

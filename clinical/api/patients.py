"""/api/patients."""

from django.db.models import Q
from django.utils import timezone
from django_filters import FilterSet

from clinical.api import filters
from clinical.api.resource import Listing, Row, orders
from clinical.models import Patient

AGES = {"Infant": (0, 1), "Child": (1, 13), "Adolescent": (13, 18), "Adult": (18, 65), "Senior": (65, None)}


def _of_age(group: str) -> Q:
    youngest, older = AGES[group]
    today = timezone.localdate()
    born = Q(dob__lte=filters.born_before(youngest, today))
    return born & Q(dob__gt=filters.born_before(older, today)) if older else born


class PatientFilter(FilterSet):
    facility_id = filters.identifier("facility_id")
    sex = filters.one_of("sex", Patient.Sex.values)
    age_group = filters.one_of("dob", AGES)
    age_group.condition = _of_age
    dob_after, dob_before = filters.days("dob", is_masked=True)


class PatientViewSet(Listing):
    resource = "patients"
    queryset = Patient.objects.all()
    columns = (
        *("id", "facility_id", "first_name", "last_name", "sex", "dob", "phone", "patient_number"),
        *("created_at", "updated_at"),
    )
    masked = frozenset({"first_name", "last_name", "phone", "patient_number", "dob"})
    orders = orders("dob", personal="dob")
    tables = ("patients",)
    filterset_class = PatientFilter

    def mask(self, row: Row) -> Row:
        return super().mask(row) | {"birth_year": row["dob"].year}

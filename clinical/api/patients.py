"""/api/patients and the search for one."""

from typing import Any

from django.contrib.postgres.search import TrigramSimilarity
from django.db.models import F, Q, TextField, Value
from django.db.models.functions import Concat
from django.utils import timezone
from django_filters import FilterSet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_serializer, inline_serializer
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from clinical import finding, reading
from clinical.api import filters, lists, parameters
from clinical.api.fields import Dob, Id, Name, Phone, Sex, WholeNumber
from clinical.api.refusals import Duplicate
from clinical.api.resource import Row, orders
from clinical.api.writing import Body, Resource, Strict, judged
from clinical.audit import reads
from clinical.models import Facility, Patient, PatientAlias

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


@extend_schema_serializer(
    component_name="Patient",
    examples=[
        OpenApiExample(
            "Patient",
            {"facility_id": 1, "first_name": "Example", "last_name": "Person", "sex": "F", "dob": "1990-05-01"},
            request_only=True,
        )
    ],
)
class PatientBody(Body):
    facility_id = Id()
    first_name = Name("first_name")
    last_name = Name("last_name")
    sex = Sex()
    dob = Dob()
    phone = Phone(required=False)
    patient_number = Name("patient_number", required=False)
    dob_is_estimated = serializers.BooleanField(read_only=True)

    def validate(self, attrs: Row) -> Row:
        attrs = (self.defaults() | attrs) if not self.partial else attrs
        if "facility_id" in attrs and attrs["facility_id"] != self.after({}, "facility_id"):
            attrs["facility_id"] = self.find(Facility, attrs["facility_id"], "facility_id").pk
        if "dob" in attrs:
            attrs["dob"], attrs["dob_is_estimated"] = attrs["dob"]
        if {"facility_id", "first_name", "last_name", "dob"} & attrs.keys():
            self._refuse_former_identity(attrs)
        return attrs

    def _refuse_former_identity(self, attrs: Row) -> None:
        """One by which files still find another patient."""
        facility, first, last, dob = (
            self.after(attrs, name) for name in ("facility_id", "first_name", "last_name", "dob")
        )
        same = {"first_name_key": filters.key(Value(first)), "last_name_key": filters.key(Value(last)), "dob": dob}
        if PatientAlias.objects.filter(facility=facility, **same).exclude(patient=self.pk).exists():
            raise Duplicate


class SearchBody(Strict):
    """Who is looked for: part of the name, a whole phone number, or a date of birth with a name."""

    name = Name("first_name", required=False)
    phone = Phone(required=False)
    dob = Dob(required=False)
    facility_id = Id(required=False)
    page = WholeNumber(required=False, default=1, min_value=1, max_value=1000)
    per_page = WholeNumber(required=False, default=lists.PER_PAGE, min_value=1, max_value=lists.MOST_PER_PAGE)

    def validate(self, attrs: Row) -> Row:
        name = attrs.get("name")
        if name and sum(map(str.isalpha, name)) < 3:
            raise parameters.refused("name", "too_short", "Needs three letters at least.")
        if not name and not attrs.get("phone"):
            raise parameters.refused("name", "required", "Give a name of three letters or a whole phone number.")
        return attrs


class PatientViewSet(Resource):
    """People as one facility knows them, each known by facility, names and date of birth."""

    resource = "patients"
    model = Patient
    columns = (
        *("id", "facility_id", "first_name", "last_name", "sex", "dob", "phone", "patient_number", "dob_is_estimated"),
        *("created_at", "updated_at"),
    )
    instead = ("birth_year",)
    masked = frozenset({"first_name", "last_name", "phone", "patient_number", "dob"})
    orders = orders("dob", personal="dob")
    tables = ("patients",)
    table = "patients"
    identities = frozenset({"patients_identity"})
    serializer_class = PatientBody
    filterset_class = PatientFilter

    def _flat_columns(self) -> list[str]:
        return [*self.columns] if self.is_clear else [*self.columns, *self.instead]

    def mask(self, row: Row) -> Row:
        return super().mask(row) | {"birth_year": row["dob"].year}

    @extend_schema(
        request=SearchBody,
        responses=inline_serializer(
            "FoundPatients",
            {
                "next": serializers.IntegerField(allow_null=True, help_text="the page to ask for"),
                "previous": serializers.IntegerField(allow_null=True),
                "results": PatientBody(many=True),
            },
        ),
    )
    @action(detail=False, methods=["post"])
    def search(self, request: Request) -> Response:
        """Best match first: whoever has every word of the name, by how much of their name it is."""
        wanted = judged(request, SearchBody)
        rows = self.clearly_visible("name", self.present())
        if wanted.get("facility_id"):
            rows = rows.filter(facility_id=wanted["facility_id"])
        if wanted.get("phone"):
            rows = rows.filter(phone=wanted["phone"])
        if wanted.get("dob"):
            rows = rows.filter(dob=wanted["dob"][0])
        if wanted.get("name"):
            rows = _named(rows, wanted["name"])
        cut = lists.Cut(wanted["per_page"], wanted["page"], None)
        best_first = (F("likeness").desc(), "id") if wanted.get("name") else ("id",)
        found, has_next = cut.split([*cut.window(rows.order_by(*best_first))])
        reading.shown(self.user, self.resource, len(found))
        represent, said = self.represent(), {name: str(wanted[name]) for name in request.data}
        return Response(
            {
                "next": cut.page + 1 if has_next else None,
                "previous": cut.page - 1 if cut.page > 1 else None,
                "results": self.told(found, represent, "search", **reads.query_of(said)),
            }
        )


WHOLE_NAME = Concat("first_name_key", Value(" "), "last_name_key", output_field=TextField())


def _named(rows: Any, name: str) -> Any:
    return finding.named(rows, name.split()).alias(
        likeness=TrigramSimilarity(WHOLE_NAME, filters.key(Value(name)))  # type: ignore[arg-type]  # an expression will do
    )

"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from rest_framework.routers import SimpleRouter

from clinical.api.events import MedicalRecordViewSet, TriageVisitViewSet
from clinical.api.facilities import FacilityViewSet
from clinical.api.patients import PatientViewSet
from medilink import health

api = SimpleRouter()
api.trailing_slash = "/?"  # with and without, and no redirect that would lose a body
api.register("facilities", FacilityViewSet, basename="facilities")
api.register("patients", PatientViewSet, basename="patients")
api.register("medical-records", MedicalRecordViewSet, basename="medical-records")
api.register("triage-visits", TriageVisitViewSet, basename="triage-visits")

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/", include(api.urls)),
    path("health", health.health),
    path("livez", health.livez),
    path("readyz", health.readyz),
]

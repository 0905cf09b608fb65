"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from rest_framework.routers import SimpleRouter

from clinical import api as clinical
from medilink import health

api = SimpleRouter()
api.trailing_slash = "/?"  # with and without, and no redirect that would lose a body
api.register("facilities", clinical.FacilityViewSet)
api.register("patients", clinical.PatientViewSet)
api.register("medical-records", clinical.MedicalRecordViewSet)
api.register("triage-visits", clinical.TriageVisitViewSet)

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/", include(api.urls)),
    path("health", health.health),
    path("livez", health.livez),
    path("readyz", health.readyz),
]

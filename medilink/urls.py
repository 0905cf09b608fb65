"""Every address of the site."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from rest_framework.routers import SimpleRouter

from analytics.api.dhis2 import Monthly
from analytics.api.dictionary import Dictionary
from analytics.api.events import RecordFactViewSet, VisitFactViewSet
from analytics.api.facilities import FacilityDimensionViewSet, FacilityPerformanceViewSet, FacilityStats
from analytics.api.idsr import Notifiable
from analytics.api.metrics import MetricCatalogue
from analytics.api.patients import PatientDimensionViewSet, PatientSummaryViewSet
from analytics.api.reports import ReportViewSet
from analytics.api.trends import ConditionAnalysisViewSet, ConditionCodesViewSet, TriageTrendViewSet
from analytics.dashboard.page import Dashboard, FigureCSV
from clinical.api.audit import AuditViewSet
from clinical.api.events import MedicalRecordViewSet, TriageVisitViewSet
from clinical.api.facilities import FacilityViewSet
from clinical.api.patients import PatientViewSet
from clinical.api.vitals import SecondLookViewSet, VisitVitals
from ingestion.api.batches import BatchViewSet
from ingestion.api.contract import ContractFile, ContractPage
from ingestion.api.passports import (
    BatchLine,
    FacilityPassport,
    MedicalRecordPassport,
    PatientPassport,
    TriageVisitPassport,
)
from ingestion.api.rejected import RejectedRowViewSet
from medilink import account, fhir, health, metrics
from medilink.api import index, login
from medilink.subject_desk import rights

admin.autodiscover()
api = SimpleRouter()
api.trailing_slash = "/?"  # with and without, and no redirect that would lose a body
api.register("facilities", FacilityViewSet, basename="facilities")
api.register("patients", PatientViewSet, basename="patients")
api.register("medical-records", MedicalRecordViewSet, basename="medical-records")
api.register("triage-visits", TriageVisitViewSet, basename="triage-visits")
api.register("triage-visits", VisitVitals, basename="vitals-of-triage-visits")
api.register("triage-second-look", SecondLookViewSet, basename="triage-second-look")
api.register("batches", BatchViewSet, basename="batches")
api.register("rejected-rows", RejectedRowViewSet, basename="rejected-rows")
api.register("audit-events", AuditViewSet, basename="audit-events")
for name, passport in (
    ("facilities", FacilityPassport),
    ("patients", PatientPassport),
    ("medical-records", MedicalRecordPassport),
    ("triage-visits", TriageVisitPassport),
    ("batches", BatchLine),
):
    api.register(name, passport, basename=f"passports-of-{name}")
for name, view in (
    ("facilities", FacilityDimensionViewSet),
    ("patients", PatientDimensionViewSet),
    ("medical-records", RecordFactViewSet),
    ("triage-visits", VisitFactViewSet),
    ("patient-summary", PatientSummaryViewSet),
    ("facility-performance", FacilityPerformanceViewSet),
    ("triage-trends", TriageTrendViewSet),
    ("condition-analysis", ConditionAnalysisViewSet),
    ("condition-codes", ConditionCodesViewSet),
    ("reports", ReportViewSet),
):
    api.register(f"analytics/{name}", view, basename=f"analytics-{name}")

handler400 = "medilink.api.errors.bad_request"
handler403 = "medilink.api.errors.forbidden"
handler404 = "medilink.api.errors.not_found"
handler500 = "medilink.api.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include(api.urls)),  # first, because each address above costs those below
    re_path(r"^api/analytics/facility-stats/?$", FacilityStats.as_view()),
    re_path(r"^api/analytics/dhis2/?$", Monthly.as_view()),
    re_path(r"^api/analytics/idsr/?$", Notifiable.as_view()),
    re_path(r"^api/auth/token/?$", login.LogIn.as_view()),
    re_path(r"^api/auth/refresh/?$", login.Refresh.as_view()),
    re_path(r"^api/auth/revoke/?$", login.Revoke.as_view()),
    re_path(r"^api/schema/?$", index.Description.as_view(), name="schema"),
    re_path(r"^api/docs/dictionary/?$", Dictionary.as_view(), name="dictionary"),
    re_path(r"^api/docs/metrics/?$", MetricCatalogue.as_view(), name="metrics_catalogue"),
    re_path(r"^api/docs/contract/?$", ContractPage.as_view(), name="contract"),
    path("api/contract/<str:name>", ContractFile.as_view(), name="contract_file"),
    re_path(r"^api/docs/?$", index.Docs.as_view(), name="docs"),
    *fhir.urlpatterns,
    path("", index.Index.as_view()),
    path("dashboard", Dashboard.as_view(), name="dashboard"),
    path("dashboard/<slug:chart>.csv", FigureCSV.as_view(), name="dashboard_csv"),
    path("admin/login/", account.log_in),
    path("admin/logout/", account.log_out),
    path("admin/second-factor/", account.SecondFactorStep.as_view(), name="second_factor"),
    path("admin/first-password/", account.FirstPasswordStep.as_view(), name="first_password"),
    path("admin/password_change/", account.change_password),
    path("admin/account/", account.account, name="account"),
    path("admin/account/second-factor/", account.set_up_factor, name="set_up_factor"),
    path("admin/account/end-login/", account.end_login, name="end_login"),
    path("admin/clinical/patient/<int:object_id>/rights/", admin.site.admin_view(rights), name="patient_rights"),
    path("admin/", admin.site.urls),
    path("metrics", metrics.Metrics.as_view()),
    path("health", health.health),
    path("livez", health.livez),
    path("readyz", health.readyz),
]

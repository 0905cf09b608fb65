"""The wiring of /fhir: the clinical types, those of the files, and their addresses."""

from django.urls import re_path

from clinical.fhir import catalogue  # noqa: F401  it fills the registry
from clinical.fhir.bulk import doors as bulk
from clinical.fhir.registry import registry
from clinical.fhir.routes import routes
from clinical.smart import doors as smart
from ingestion.api.bundles import Transaction
from ingestion.fhir import provenance

registry.add(provenance.KIND)
registry.interactions.append("transaction")
transaction = re_path(r"^fhir/?$", Transaction.as_view(), name="fhir-transaction")
urlpatterns = routes([transaction, *bulk.routes(), *smart.routes()])

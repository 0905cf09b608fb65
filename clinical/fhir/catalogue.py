"""All types of resource that clinical rows make; medilink/fhir.py adds those of the files."""

from clinical.fhir import audit_events, conditions, encounters, groups, medications, people, places, vitals
from clinical.fhir.registry import registry

registry.add(places.ORGANIZATION, places.LOCATION, people.KIND, encounters.KIND, conditions.KIND, vitals.KIND)
registry.add(medications.KIND, groups.KIND, audit_events.KIND)

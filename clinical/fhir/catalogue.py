"""All types of resource that clinical rows make; medilink/fhir.py adds those of the files."""

from clinical.fhir import encounters, groups, people
from clinical.fhir.registry import registry

registry.add(people.KIND, encounters.KIND, groups.KIND)

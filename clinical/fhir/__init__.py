"""FHIR R4 (4.0.1) at /fhir: our rows as resources, read and searched. Nothing is said that no row says."""

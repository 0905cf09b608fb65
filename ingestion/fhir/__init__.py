"""What FHIR tells of files: where a resource comes from."""

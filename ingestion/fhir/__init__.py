"""FHIR and files: where a resource comes from (provenance), and bundles that become rows of the datasets.

A transaction Bundle goes the way of a file's rows. elements, bundles, people, encounters and observations are pure;
references asks the tables who is meant; loading is the transaction.
"""

"""FHIR in: a transaction Bundle becomes rows of the datasets, and those go the way of the rows of a file.

elements, bundles, people, encounters and vitals are pure; references asks the tables who is meant; loading is the
transaction.
"""

"""The delivery contract for the makers of the app that sends the files: as schemas, samples and errors with their cure.

Made from what validates (ingestion/datasets.py, clinical/values.py, ingestion/refusals.py). It judges nothing itself.
"""

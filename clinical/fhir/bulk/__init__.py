"""Bulk data: everything that somebody may have, as files of NDJSON, made by workers and fetched by who asked for it.

What is in an export is decided by one instant, and its parts are as one snapshot of the database would make them, also
where a second worker goes on behind a first one that has died.
"""

"""Backups of the whole database: pg_dump's own format, sealed on its way out, and given back only whole.

Snapshots of the database server are the other way; this one also leaves its account. Keys are not in it: keep them
apart.
"""

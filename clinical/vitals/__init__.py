"""Vital signs out of the words of a visit: what was read, and what was not understood, verbatim. Pure.

A value is taken where its words leave no doubt; a doubtful one stays text. A value that cannot be is flagged and kept.
"""

from clinical.vitals.parser import VERSION, Reading, parse
from clinical.vitals.signs import Flag, Sign

__all__ = ["VERSION", "Flag", "Reading", "Sign", "parse"]

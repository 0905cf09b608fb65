"""What the words of events mean: diagnoses in ICD-10, medicines by their generic names. Never a guess.

`codings(kind, texts)` and `meanings(kind, texts)` are what others ask. Words are compared whole (words.py); what is
merely alike is proposed to a steward (proposals.py), whose decision is kept for ever (decisions.py).
"""

from clinical.terms.mapping import Meaning, codings, current, meanings, of_version
from clinical.terms.shipped import Coding, Kind
from clinical.terms.words import Status

__all__ = ["Coding", "Kind", "Meaning", "Status", "codings", "current", "meanings", "of_version"]

"""What the words of events mean: diagnoses in ICD-10, medicines by their generic names. Never a guess.

`codings(kind, texts)` is what others ask. Words are compared whole (words.py); what is merely alike is proposed to a
steward (proposals.py), whose decision is kept for ever (decisions.py).
"""

from clinical.terms.mapping import codings, current, of_version
from clinical.terms.shipped import Coding, Kind

__all__ = ["Coding", "Kind", "codings", "current", "of_version"]

"""The audit: who does what, who reads what, who was refused; sealed, so that nothing of it can be changed unseen.

`deeds` are noted in their transaction, `reads` before the answer leaves (medilink/noting.py); `partitions` holds the
months, `seals` the chain of digests, `questions` what is asked of it.
"""

from clinical.audit.deeds import acting, erase, note, note_file, putting_back, set_local, under, unhurried

__all__ = ["acting", "erase", "note", "note_file", "putting_back", "set_local", "under", "unhurried"]

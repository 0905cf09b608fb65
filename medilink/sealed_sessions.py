"""Browsers' sessions as the database keeps them: sealed, since a session holds what was searched for and told.

Bound to its key, so that no session can be put in place of another, and signed as Django does it, so that the end of a
SECRET_KEY ends them. Where a session's key is taken out of DATA_KEYS, whoever has it logs in anew.
"""

import base64
from typing import Any

from django.contrib.sessions.backends import db

from clinical import sealing

SEALED = "sealed"


class SessionStore(db.SessionStore):
    """The name is Django's (SESSION_ENGINE)."""

    def encode(self, session_dict: dict[str, Any]) -> str:
        plain = self.serializer().dumps(session_dict)
        return super().encode({SEALED: base64.b64encode(sealing.seal(plain, self._place())).decode()})

    def decode(self, session_data: bytes | str) -> dict[str, Any]:
        sealed = super().decode(session_data).get(SEALED)
        if sealed is None:  # not signed by us, or of before sessions were sealed
            return {}
        try:
            plain = sealing.unseal(base64.b64decode(sealed), self._place())
        except sealing.SealingError:  # of another session, or under a key that is gone
            return {}
        kept: dict[str, Any] = self.serializer().loads(plain)
        return kept

    def _place(self) -> str:
        return f"django_session\x1fsession_data\x1f{self.session_key}"

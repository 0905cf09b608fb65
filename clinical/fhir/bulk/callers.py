"""As whom an export is carried out and handed over: who asked for it, as narrow as then, and no wider than now."""

from typing import Any

from django.db import connection

from clinical import logins
from clinical.access import NOBODY, Access, Grant, Role, narrowed
from clinical.models import Facility, FhirExport, ProgramToken, User


def of_export(export: FhirExport) -> User | None:
    """None where they may do nothing any more, or the key by which it was asked for has ended."""
    user: User = User.objects.get(pk=export.user_id)
    if export.client_id and export.client and export.client.ended_at:
        return None
    if export.token:
        user.access = _narrowed(user, export.token)
    return user if user.access.grants else None


def grants_of(user: User) -> list[list[Any]]:
    return sorted([str(one.role), one.state, one.lga, one.facility_id or 0] for one in user.access.grants)


def is_still_theirs(export: FhirExport) -> bool:
    """Whether what was read for them then would be read for them now; and nobody has got the right to be left out."""
    user = of_export(export)
    now = grants_of(user) if user else []
    return all(one in now for one in export.grants) and not _is_anybody_gone(export.transaction_at)


def _is_anybody_gone(since: Any) -> bool:
    """Erased or restricted since: an export that may tell of them is void, whoever it was."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT is_anybody_restricted(%s) OR is_anybody_erased(%s)", [since, since])
        return bool(cursor.fetchone()[0])


def _narrowed(user: User, token: ProgramToken) -> Access:
    if logins.state_of(token) != "alive":
        return NOBODY
    known = [pk for pk in (token.facility_id, *(pair.facility_id for pair in user.access.grants)) if pk]
    places = {one.pk: one for one in Facility.objects.filter(pk__in=known)}

    def placed(role: Role, state: str, lga: str, facility_id: int | None) -> Grant:
        at = places.get(facility_id) if facility_id else None
        return Grant(role, at.state if at else state, at.lga_key if at else lga, facility_id)

    pairs = [placed(*pair) for pair in user.access.grants]
    if user.is_superuser:
        pairs = [Grant(Role(token.role))] if token.role else [*user.access.grants]
    limit = placed(Role.STEWARD, token.state, token.lga_key, token.facility_id)
    return narrowed(pairs, token.role, limit.state, limit.lga, limit.facility_id, is_read_only=True)

"""Log-ins and what comes before them: who was let in or not, who holds which role, whose token is good.

By signals, because Django's own views and forms do some of it. What somebody typed as a name is not kept: people type
passwords there.
"""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from clinical import requests
from clinical.audit.deeds import note
from clinical.models import AuditEvent, Membership, ProgramToken, User

USERS = User._meta.db_table


def _by() -> User | None:
    """Whoever asks for it; from the command line nobody does."""
    asked = requests.asked.get()
    return asked.caller() if asked else None


@receiver(user_logged_in)
def _let_in(user: User, **_: Any) -> None:
    note(user, "log_in", USERS, user.pk)


@receiver(user_logged_out)
def _gone(user: User | None, **_: Any) -> None:
    if user is not None:
        note(user, "log_out", USERS, user.pk)


@receiver(user_login_failed)
def _refused(credentials: dict[str, Any], **_: Any) -> None:
    known = User.objects.filter(username=credentials.get("username")).values_list("pk", flat=True).first()
    note(None, "log_in", USERS, known, outcome=AuditEvent.Outcome.DENIED)
    if asked := requests.asked.get():
        asked.is_noted = True


@receiver(post_save, sender=Membership)
def _granted(instance: Membership, **_: Any) -> None:
    note(_by(), "grant", Membership._meta.db_table, instance.pk, **_pair(instance))


@receiver(post_delete, sender=Membership)
def _withdrawn(instance: Membership, **_: Any) -> None:
    note(_by(), "withdraw", Membership._meta.db_table, instance.pk, **_pair(instance))


def _pair(held: Membership) -> dict[str, Any]:
    where = {name: value for name in ("state", "lga", "facility_id") if (value := getattr(held, name))}
    return {"user_id": held.user_id, "role": str(held.role)} | where


@receiver(post_save, sender=ProgramToken)
def _issued(instance: ProgramToken, created: bool, **_: Any) -> None:
    if created:
        note(_by(), "issue_token", ProgramToken._meta.db_table, instance.pk, user_id=instance.user_id)


@receiver(post_save, sender=User)
def _account(instance: User, created: bool, update_fields: Any = None, **_: Any) -> None:
    """Not that somebody has logged in, which Django writes into the account, too."""
    changed = {*(update_fields or ())}
    if changed != {"last_login"}:
        flags = {name: getattr(instance, name) for name in ("is_active", "is_staff", "is_superuser")}
        note(_by(), "create" if created else "update", USERS, instance.pk, **flags)

"""The second wall: PostgreSQL's row-level security, for the role that the web connects as (migration 0010).

Each statement of the web says for whom it stands. What it says is signed with a key that the database knows and the
web's role cannot read there, and holds until the end of its transaction, so that a statement which slipped past us
sees nothing, whatever scope it makes up. The policies ask the memberships themselves: they do not rely on
clinical/access.py, only on its table of roles. Workers and commands connect as the owner, whom no policy binds.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

ROLE = "medilink_web"
APPLICATION = 0  # in place of a user's id: our own work, for a deed that was allowed already
SETTING = "medilink.scope"
MINUTES = 15  # an answer takes less; a stream of rows has been planned by then
CONTROL = ("SAVEPOINT", "RELEASE", "ROLLBACK")  # run in a transaction that has failed, where nothing else may

_stands_for: ContextVar[int | None] = ContextVar("stands_for", default=None)


def stand_for(user_id: int | None) -> None:
    """From now on, in this thread: set anew with each request."""
    _stands_for.set(user_id)


def who() -> int | None:
    return _stands_for.get()


@contextmanager
def standing_for(user_id: int | None) -> Iterator[None]:
    before = _stands_for.set(user_id)
    try:
        yield
    finally:
        _stands_for.reset(before)


@contextmanager
def lifted() -> Iterator[None]:
    """For a deed that the caller was found to be allowed, and that needs rows which the caller may not see.

    Loading code must see every facility of a name, or it would take the one in sight for the one that is meant.
    """
    with standing_for(APPLICATION):
        yield


def signing_keys() -> list[bytes]:
    """Of the secrets that are in use; the first one signs."""
    return [_key(str(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]


@lru_cache(maxsize=16)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"row security " + secret.encode()).digest()


def say(cursor: Any) -> None:
    """For the rest of this transaction it stands for whom it stands for now, also once the request is over."""
    user_id = _stands_for.get()
    cursor.execute("SELECT set_config(%s, %s, true)", [SETTING, "" if user_id is None else claim(user_id)])


@lru_cache(maxsize=4096)
def _claim(user_id: int, ends: int, key: bytes) -> str:
    said = f"{user_id}:{ends}"
    return f"{said}:{hashlib.sha256(key + hashlib.sha256(key + said.encode()).digest()).hexdigest()}"


def claim(user_id: int) -> str:
    """Good for a quarter of an hour at most."""
    ends = (int(time.time()) // 60 + MINUTES) * 60
    return _claim(user_id, ends, signing_keys()[0])


def guard(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """A wrapper of Django's for every statement: said in one message with it, so that it costs no round trip.

    Several statements of one message are one transaction, and also for a pooler they are not to be parted.
    """
    user_id = _stands_for.get()
    if user_id is None or sql.startswith(CONTROL):
        return execute(sql, params, many, context)
    if many or context["cursor"].cursor.name:  # a server's cursor: nothing can stand before its declaration
        return _said_apart(claim(user_id), execute, sql, params, many, context)
    return execute(f"SET LOCAL {SETTING} = '{claim(user_id)}';{sql}", params, many, context)


def _said_apart(said: str, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
    with transaction.atomic(using=context["connection"].alias, savepoint=False):
        with context["connection"].connection.cursor() as cursor:
            cursor.execute("SELECT set_config(%s, %s, true)", [SETTING, said])
        return execute(sql, params, many, context)


def put_up(connection: Any, **_: Any) -> None:
    """For each new connection of the web: refuses one that no policy binds, or that does not know our signature."""
    try:
        with connection.connection.cursor() as cursor:
            _check(cursor)
    except BaseException:
        connection.close()  # Django would go on with it
        raise
    if guard not in connection.execute_wrappers:
        connection.execute_wrappers.append(guard)


def _check(cursor: Any) -> None:
    cursor.execute("SELECT current_user, to_regprocedure('scope_user()') IS NULL")
    user, is_unmigrated = cursor.fetchone()
    if user != ROLE:
        raise ImproperlyConfigured(
            "The web is connected as a database user whom no row-level security binds. Make the role "
            f"{ROLE} with `manage.py create_web_role` and put its address into DATABASE_WEB_URL."
        )
    if is_unmigrated:  # /readyz says so
        return
    # One message, one transaction: a pooler gives the claim to nobody else.
    cursor.execute(f"SELECT set_config('{SETTING}', %s, true); SELECT scope_user()", [claim(APPLICATION)])
    if cursor.fetchone()[0] != APPLICATION:
        raise ImproperlyConfigured("The database does not know this SECRET_KEY; run `manage.py migrate`.")

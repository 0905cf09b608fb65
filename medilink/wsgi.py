"""What the web server runs: the site, on connections of the web's own role."""

import gc
import logging
import os
from contextlib import suppress
from typing import Any

import environ
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application
from django.db import OperationalError, connection
from django.db.backends.signals import connection_created

from clinical import row_security
from clinical.locks import is_pooled

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
application = get_wsgi_application()
logger = logging.getLogger(__name__)


def _limit_statements(connection: Any, **_: Any) -> None:
    """Nobody waits longer for a page; workers and commands are no web.

    Behind a pooler that parts transactions nothing may be left in a session: no setting, prepared statement or cursor.
    There the limit is the role's own (medilink/web_role.py), as it was when `migrate` ran last.
    """
    if is_pooled(connection):
        connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
        _see_the_roles_limit(connection)
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(settings.DB_STATEMENT_TIMEOUT_MS)])


def _see_the_roles_limit(connection: Any) -> None:
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'")
        (limit,) = cursor.fetchone()
    if limit != settings.DB_STATEMENT_TIMEOUT_MS:
        logger.warning(
            "Behind the pooler statements end after %s ms, and DB_STATEMENT_TIMEOUT_MS is %s: run `manage.py migrate`"
            " with it, then RECONNECT at the pooler.",
            limit or "no",
            settings.DB_STATEMENT_TIMEOUT_MS,
        )


def _connect_as_the_web() -> None:
    """As a role that owns nothing, or not at all. An embedded server lets everybody of this machine's user in."""
    if settings.DATABASE_WEB_URL:
        own = environ.Env.db_url_config(settings.DATABASE_WEB_URL)
        own["OPTIONS"] = connection.settings_dict["OPTIONS"] | own.get("OPTIONS", {})
        connection.settings_dict |= own
    elif settings.EMBEDDED:
        connection.settings_dict["USER"] = row_security.ROLE
    else:
        raise ImproperlyConfigured(
            "DATABASE_WEB_URL is missing: as whom the web connects. `manage.py create_web_role` makes the role."
        )
    connection_created.connect(row_security.put_up)
    connection_created.connect(_limit_statements)
    with suppress(OperationalError):  # away for the moment; each connection is looked at again
        connection.ensure_connection()
    connection.close()


_connect_as_the_web()
gc.freeze()  # what lives as long as the process need not be looked through again and again

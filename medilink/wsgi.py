"""What the web server runs: the site, on connections of the web's own role."""

import gc
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

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
application = get_wsgi_application()


def _limit_statements(connection: Any, **_: Any) -> None:
    """Nobody waits longer for a page; workers and commands are no web."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(settings.DB_STATEMENT_TIMEOUT_MS)])


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

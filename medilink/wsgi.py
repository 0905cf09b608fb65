"""What the web server runs."""

import os
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db.backends.signals import connection_created

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
application = get_wsgi_application()


def _limit_statements(connection: Any, **_: Any) -> None:
    """Nobody waits longer for a page; workers and commands are no web."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(settings.DB_STATEMENT_TIMEOUT_MS)])


connection_created.connect(_limit_statements)

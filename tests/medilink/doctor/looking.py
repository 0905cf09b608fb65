"""To look as the doctor does, in this thread, and to break what it looks at."""

from contextlib import closing, contextmanager

import psycopg2
from django.db import connection

from medilink.doctor import checks, examination

ALL_BUT_WORKERS = [subject for subject in checks.LANES if subject != "broker"]


def found(*only, gravity=None):
    """The codes, each once. Without names of subjects: of everything but the broker, whose worker is long in coming."""
    result = examination.examine(only or ALL_BUT_WORKERS, is_thorough=True)
    return sorted({one.kind.code for one in result.findings if gravity in (None, one.kind.gravity)})


def ran(name):
    return examination.examine([name], is_thorough=True).findings[0]


def sql(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters or None)


@contextmanager
def session(**params):
    """Another one, beside ours."""
    with closing(psycopg2.connect(**connection.get_connection_params() | params)) as other:
        yield other

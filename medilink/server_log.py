"""What PostgreSQL may write into its own log: no statement and no error of one, since both hold patients' data.

What fails is told by our own log, with its SQLSTATE and place (medilink/logs.py).
"""

from collections.abc import Sequence
from typing import Any

from django.core.checks import CheckMessage, Tags, Warning, register
from django.db import OperationalError, connection

# Even the first line of an error may quote a value: invalid input syntax for type date: "Amina Bello". What ends the
# server or a connection, checkpoints and the like (LOG and above) are written.
QUIET = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
AS_QUIET = {"log_min_messages": {"log", "fatal", "panic"}}  # beside what QUIET says


@register(Tags.database)
def is_quiet(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Asked by `migrate` and by `check --database default`: a server of others has settings of its own."""
    if not databases:
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [[*QUIET]])
            found = dict(cursor.fetchall())
    except OperationalError:  # commands that only look at the code have no database
        return []
    loud = [name for name, said in QUIET.items() if found.get(name, said) not in {said, *AS_QUIET.get(name, ())}]
    return [
        Warning(
            "The database server may write patients' data into its own log: " + ", ".join(loud),
            hint="Set " + ", ".join(f"{name} = {QUIET[name]}" for name in loud) + ", and load no auto_explain.",
            id="medilink.W001",
        )
    ] * bool(loud)

"""The Celery application. What runs when stands in the database (django-celery-beat), for stewards to change."""

import os
import socket
from typing import Any

from celery import Celery
from celery.signals import beat_init
from django.db import connection

BEAT = "medilink beat"
LONGEST = 63  # what PostgreSQL keeps of a session's name

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
app = Celery("medilink")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@beat_init.connect
def _name_session(**_: Any) -> None:
    """So that the database can tell how many beats there are (medilink/doctor): they see nothing of one another."""
    name = f"{BEAT} {os.getpid()} {socket.gethostname()}"[:LONGEST]
    connection.settings_dict["OPTIONS"] = connection.settings_dict["OPTIONS"] | {"application_name": name}
    connection.close()

"""The Celery application. What runs when stands in the database (django-celery-beat), for stewards to change."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "medilink.settings")
app = Celery("medilink")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

"""An installation in which nothing is wrong, but what a test breaks."""

import pytest
from django.utils import timezone
from django_celery_beat.models import PeriodicTask


@pytest.fixture
def well(db, bucket):
    """As it is while beat runs."""
    PeriodicTask.objects.update(last_run_at=timezone.now())

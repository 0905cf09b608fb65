"""The backup of a night, under a name that tells when it was made. Old ones are left to the place's own rules."""

import logging

from django.conf import settings
from django.utils import timezone

from medilink.backups import dump, places, postgres, sealed
from medilink.models import Backup

logger = logging.getLogger(__name__)


def make() -> Backup | None:
    """None where it went wrong, which is in the list of backups."""
    place = f"{settings.BACKUP_URL.rstrip('/')}/medilink-{timezone.now():%Y-%m-%dT%H%M%SZ}.backup"
    try:
        return dump.make(place)
    except (dump.Broken, places.NotReachable, postgres.NoProgram, sealed.NotABackup) as error:
        logger.error("The backup went wrong: %s", type(error).__name__)
        return None

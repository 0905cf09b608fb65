"""How long ago a night went well, for alarms that know no Prometheus (terraform/user_data.sh)."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Max
from django.utils.timezone import now

from ingestion.models import IngestRun
from medilink.alerts import GOOD


class Command(BaseCommand):
    help = "Prints how many seconds ago a run ended well; fails where none ever did."

    def handle(self, **options: Any) -> None:
        ended = IngestRun.objects.filter(status__in=GOOD).aggregate(Max("finished_at"))["finished_at__max"]
        if ended is None:
            raise CommandError("No run has ended well yet.")
        self.stdout.write(f"{(now() - ended).total_seconds():.0f}")

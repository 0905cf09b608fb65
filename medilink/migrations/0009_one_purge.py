"""Old log-ins are forgotten by the purge, as all else that is kept no longer."""

from typing import Any

from django.db import migrations


def end(apps: Any, _schema_editor: Any) -> None:
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name="Forget old log-ins").delete()


class Migration(migrations.Migration):
    dependencies = [("medilink", "0008_audit")]
    operations = [migrations.RunPython(end, migrations.RunPython.noop)]

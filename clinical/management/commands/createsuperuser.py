"""Django's own, which takes any password where nobody is asked (--noinput)."""

import os
from typing import Any

from django.contrib.auth.management.commands import createsuperuser
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError


class Command(createsuperuser.Command):
    def handle(self, *args: Any, **options: Any) -> Any:
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD")
        if not options["interactive"] and given is not None:
            try:
                validate_password(given)
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
        return super().handle(*args, **options)

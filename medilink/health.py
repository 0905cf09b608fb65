"""Whether this process lives, reaches its database, and fits it. Public, so it names no host and no error."""

from datetime import UTC, datetime
from functools import cache

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe


@require_safe
@never_cache
def health(request: HttpRequest) -> JsonResponse:
    is_connected = _database_answers()
    return JsonResponse(
        {
            "status": "healthy" if is_connected else "unhealthy",
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "database": "connected" if is_connected else "disconnected",
        },
        status=200 if is_connected else 503,
    )


@require_safe
@never_cache
def livez(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "alive"})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    is_ready = _database_answers() and _is_migrated()
    return JsonResponse({"status": "ready" if is_ready else "not ready"}, status=200 if is_ready else 503)


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return False
    return True


def _is_migrated() -> bool:
    try:
        return not pending()
    except Error:
        return False


def pending() -> frozenset[tuple[str, str]]:
    """Migrations of this code that the database does not have; those that it has beyond are a newer version's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations")
        return _needed() - {*cursor.fetchall()}


@cache
def _needed() -> frozenset[tuple[str, str]]:
    """They stay the same as long as the process lives, and a probe comes every few seconds."""
    return frozenset(MigrationLoader(None).graph.nodes)

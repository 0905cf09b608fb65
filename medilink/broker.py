"""Redis as Celery's broker, where losing the connection does not end the worker, and only our tasks are taken.

With kombu 5.7 a channel whose connection is closed still tries to give back and to acknowledge the messages of tasks at
work, and stumbles over the connection that it has no longer: an AttributeError, which ends the worker. Said as what it
is, a lost connection, it is logged and the worker goes on; the messages come again, and tasks may come twice.
"""

import logging
from typing import Any

from celery.worker.consumer import Consumer
from django.conf import settings
from kombu.transport import redis
from redis import Redis
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
OURS = ("medilink.", "analytics.", "ingestion.", "clinical.")
REFUSED = "medilink:refused-messages"


class Channel(redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection.client is None:
            raise ConnectionLost("This channel's connection was closed.")
        return super()._connparams(asynchronous)


class Transport(redis.Transport):
    Channel = Channel


class Refusing(Consumer):
    """A worker takes messages in JSON that name a task of ours; others are thrown away, counted, and nowhere quoted."""

    def update_strategies(self) -> None:
        super().update_strategies()
        for name in [name for name in self.strategies if not name.startswith(OURS)]:
            del self.strategies[name]  # Celery's own could call any task with anything

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, "its content is not allowed")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._refuse(message, "it is no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, "its task is none of ours")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, "it is malformed")

    def _refuse(self, message: Any, why: str) -> None:
        logger.error("A message was refused: %s", why)
        message.reject_log_error(logger, self.connection_errors)
        try:
            counters().incr(REFUSED)
        except RedisError as error:
            logger.warning("It was not counted: %s", type(error).__name__)


def counters() -> "Redis":
    return Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)

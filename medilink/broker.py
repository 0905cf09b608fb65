"""Redis as Celery's broker, where losing the connection does not end the worker.

With kombu 5.7 a channel whose connection is closed still tries to give back and to acknowledge the messages of tasks at
work, and stumbles over the connection that it has no longer: an AttributeError, which ends the worker. Said as what it
is, a lost connection, it is logged and the worker goes on; the messages come again, and tasks may come twice.
"""

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as ConnectionLost


class Channel(redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection.client is None:
            raise ConnectionLost("This channel's connection was closed.")
        return super()._connparams(asynchronous)


class Transport(redis.Transport):
    Channel = Channel

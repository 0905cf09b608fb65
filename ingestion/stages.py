"""At which batch and run this thread works, and in which stage: for the log, and for whoever watches the stages."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar

FETCHING, READING, READING_AHEAD = "fetching", "reading", "reading_ahead"
RESOLVING, MERGING, ARCHIVING = "resolving", "merging", "archiving"
Watcher = Callable[[str, str, int], AbstractContextManager[None]]

batch_id: ContextVar[int | None] = ContextVar("batch_id", default=None)
run_id: ContextVar[int | None] = ContextVar("run_id", default=None)
watchers: list[Watcher] = []  # each is told the stage, the dataset and the batch, and lasts as long as the stage


@contextmanager
def of_batch(number: int) -> Iterator[None]:
    token = batch_id.set(number)
    try:
        yield
    finally:
        batch_id.reset(token)


@contextmanager
def of_run(number: int) -> Iterator[None]:
    token = run_id.set(number)
    try:
        yield
    finally:
        run_id.reset(token)


@contextmanager
def stage(name: str, dataset: str, batch: int) -> Iterator[None]:
    with ExitStack() as stack:
        for watcher in watchers:
            stack.enter_context(watcher(name, dataset, batch))
        yield

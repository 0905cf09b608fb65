"""The production stack without embedded parts, started whole: drills, since each takes minutes."""

import time

import pytest

from tests.lab.cluster import eventually
from tests.stack import production, rolling, smoke

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def stack():
    if lacking := production.missing():
        pytest.skip(f"this machine lacks {', '.join(lacking)}")
    one = production.Stack()
    yield one
    one.close()


@pytest.mark.parametrize("step", smoke.STEPS, ids=lambda step: step.__name__)
def test_right_after_its_start(stack, step):
    step(stack)


def test_each_is_restarted_under_load_and_nobody_notices(stack):
    rolled = rolling.restart_each(stack, rounds=2, files=60)
    print(rolled.told())
    assert rolled.errors == {}
    assert rolled.wrong == []


def test_a_web_that_crashes_is_not_noticed_by_who_reads_or_names_a_key(stack):
    with rolling.under_load(stack) as seen:
        for _ in range(2):
            time.sleep(3)  # how long they are under load before it happens
            stack.kill("web2")
            time.sleep(3)
            stack.start_web(2)
            eventually(lambda: stack.is_ready(2), patience=120)
    assert seen.errors == {}
    assert len(seen.times) > 100
    assert rolling.wrong(stack, seen.made) == []

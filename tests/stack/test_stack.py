"""The production stack without embedded parts, started whole: drills, since each takes minutes."""

import pytest

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

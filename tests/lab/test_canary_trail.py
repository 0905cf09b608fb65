"""A patient with words of her own in every field goes through all that fails; where none may be left, none is."""

import pytest

from tests.lab import canary, sinks, trail


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_she_is_heard_of_nowhere_but_where_patients_are(cluster, tmp_path, capsys):
    with trail.begun(cluster) as done:
        for step in (trail.deliver, trail.call, trail.sit_at_the_desk, trail.break_the_worker, trail.tell):
            step(done)
        trail.walk_about(done)
        trail.use_commands(done, tmp_path)
        found = trail.leaks(done)
        with capsys.disabled():
            print(f"\n{len(found)} sinks, {done.events.total()} events of {len(done.events)} kinds, hits: ", end="")
            print(sum(map(len, found.values())))
        assert {sink: hits for sink, hits in found.items() if hits} == {}
        assert trail.is_empty(done) == []
        assert {*sinks.columns_that_tell(done.sql)} == canary.HERS
        trail.plant(done)
        assert [sink for sink, hits in trail.leaks(done).items() if not hits] == []

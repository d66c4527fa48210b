"""What a worker tells part-way is handed on, and the worker is not taken for idle."""

from multiprocessing import Pipe
from types import SimpleNamespace
from typing import Any

from streamledger.readmodel.rebuild.units import Unit
from streamledger.readmodel.rebuild.worker import Done
from streamledger.readmodel.rebuild.worker_pool import WorkerPool


def test_a_worker_that_tells_part_way_gets_no_second_unit_before_it_is_done() -> None:
    ours, theirs = Pipe()
    alive, _held = Pipe()  # never ready to be read, as the sentinel of a process that lives
    pool = WorkerPool.__new__(WorkerPool)
    process: Any = SimpleNamespace(sentinel=alive)
    vars(pool).update(_check=lambda: None, _idle=[ours], _busy={}, _processes={ours: process})
    units = [Unit(100_000, ((0, 0, 5),)), Unit(1, ((0, 5, 5),))]
    found = pool.work(iter(units), {}, 1)
    for events in (30, 40):
        theirs.send(Done(events=events, goes_on=True))
        assert next(found).events == events
    assert theirs.recv() == units[0]
    assert not theirs.poll()
    theirs.send(Done(events=30))
    assert next(found).events == 30
    theirs.send(Done(events=1))
    assert next(found).events == 1
    assert theirs.recv() == units[1]
    assert list(found) == []

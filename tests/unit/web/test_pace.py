"""A crowd of requests begins a few in each turn of the event loop, in its order, and a lone one at once."""

import asyncio

from streamledger.web.pace import Pace


async def test_a_crowd_begins_a_few_a_turn_in_the_order_in_which_it_came() -> None:
    pace, turns, begun = Pace(3), [], []

    async def begin(number: int) -> None:
        await pace.turn()
        begun.append(number)

    tasks = [asyncio.ensure_future(begin(number)) for number in range(10)]
    tasks[4].cancel()
    while not all(task.done() for task in tasks):
        before = len(begun)
        await asyncio.sleep(0)
        turns.append(begun[before:])
    turns = [turn for turn in turns if turn]
    assert max(map(len, turns)) <= 3
    assert [number for turn in turns for number in turn] == [0, 1, 2, 3, 5, 6, 7, 8, 9]


async def test_who_comes_alone_does_not_wait() -> None:
    pace = Pace(1)
    for _ in range(3):
        waiting = pace.turn()
        try:
            waiting.send(None)
        except StopIteration:
            pass
        else:
            raise AssertionError("it waits")
        await asyncio.sleep(0)
        await asyncio.sleep(0)

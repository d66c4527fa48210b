"""How long answers and commits take: counts in memory that the processes of one program share (ADR 0041)."""

import mmap
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

import msgspec

BOUNDS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets. An answer takes 1 to 20 ms, an fsync and the wait for the one before it: there
the steps are fine. Up to 1 s it is a disk or a database in trouble, to 2.5 a store that was bridged while it
started again, to 5 one that did not answer at first. Beyond 10 s the contract is broken: no answer may be."""
ANSWERS: Final = ("acknowledged", "refused", "unavailable")
"""The classes of answers: 200, what the sender is to blame for (4xx), and 503."""
ROWS_MAX: Final = 64
"""As many as there can be web workers (the setting `workers`)."""

_COMMIT: Final = "commit"
_SERIES: Final = (*ANSWERS, _COMMIT)
_SUM: Final = len(BOUNDS_S) + 1
"""Where the sum stands, in microseconds; before it one count for each bucket, and one for what is beyond."""
_CELLS: Final = _SUM + 1
_CELL_BYTES: Final = 8


class Histogram:
    """Counts of one kind, written by one thread of one process."""

    __slots__ = ("_cells",)

    def __init__(self, cells: memoryview) -> None:
        self._cells = cells

    def observe(self, seconds: float) -> None:
        """Count one that took so long. No lock: nobody else writes these cells, and each is 64 bits wide."""
        cells = self._cells
        cells[bisect_left(BOUNDS_S, seconds)] += 1
        cells[_SUM] += int(seconds * 1_000_000)


class Row:
    """What one web worker counts: answers and commits, on its event loop."""

    __slots__ = ("acknowledged", "commit", "refused", "unavailable")

    def __init__(self, cells: memoryview) -> None:
        parts = [Histogram(cells[at : at + _CELLS]) for at in range(0, len(cells), _CELLS)]
        self.acknowledged, self.refused, self.unavailable, self.commit = parts

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer by its status."""
        if status == 200:
            self.acknowledged.observe(seconds)
        elif status == 503:
            self.unavailable.observe(seconds)
        else:
            self.refused.observe(seconds)


class Distribution(msgspec.Struct, frozen=True):
    """What all rows of one kind come to."""

    counts: tuple[int, ...]
    """How many took at most as long as each of BOUNDS_S, and last how many there were in all."""
    sum_s: float


class Timings:
    """The rows of all workers.

    The memory is anonymous and shared: what is forked later writes and reads the same. A worker that takes
    the place of one that died goes on with its row: no count goes back before the program begins anew.
    """

    def __init__(self, rows: int = ROWS_MAX) -> None:
        row_cells = _CELLS * len(_SERIES)
        memory = memoryview(mmap.mmap(-1, rows * row_cells * _CELL_BYTES)).cast("Q")
        self._rows = [memory[at : at + row_cells] for at in range(0, len(memory), row_cells)]

    def row(self, number: int) -> Row:
        """The row of this worker; no two processes that live may write the same one."""
        return Row(self._rows[number])

    def answers(self) -> Mapping[str, Distribution]:
        """How long answers to callbacks took, of each class in ANSWERS."""
        return {name: self._added(name) for name in ANSWERS}

    def commits(self) -> Distribution:
        """How long the intake's transactions took until they were on disk, those that were."""
        return self._added(_COMMIT)

    def _added(self, name: str) -> Distribution:
        first = _SERIES.index(name) * _CELLS
        columns = zip(*(row[first : first + _CELLS].tolist() for row in self._rows), strict=True)
        *counts, sum_us = map(sum, columns)
        return Distribution(tuple(accumulate(counts)), sum_us / 1_000_000)


SHARED: Final = Timings()
"""Of this program, made before it forks."""

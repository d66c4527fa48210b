"""The parent's side of a rebuild's worker processes: hands out work, gathers what is done, ends them."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

import psycopg

from streamledger.domain.errors import StreamledgerError
from streamledger.readmodel.projections.addresses import SendersView
from streamledger.readmodel.rebuild.interrupting import LOOK_S
from streamledger.readmodel.rebuild.senders import SendersInOrder
from streamledger.readmodel.rebuild.shuffle import Buckets, SharedFile
from streamledger.readmodel.rebuild.units import Stretch, readings
from streamledger.readmodel.rebuild.worker import (
    Done,
    Share,
    Task,
    Work,
    do,
    prepare_session,
    run_worker,
)

END_S_MAX: Final = 10


class WorkerFailed(StreamledgerError):
    """a worker of the rebuild failed: {cause}"""


class RebuildCancelled(StreamledgerError):
    """{work} was cancelled; the live tables are as they were"""

    exit_code = 130

    def __init__(self, *, work: str = "the rebuild") -> None:
        super().__init__(work=work)


class Alone:
    """The same work in this very process: for a history that is folded before a worker has started."""

    def __init__(
        self,
        task: Task,
        connection: psycopg.Connection[Any],
        check: Callable[[], None],
        files: Sequence[SharedFile],
    ) -> None:
        self._task = task
        self._share = Share(files, 0)
        self._connection = connection
        self._check = check

    def __enter__(self) -> "Alone":
        prepare_session(self._connection)
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left behind."""

    def work(self, work: Iterator[Work], stretches: dict[str, int], until: int) -> Iterator[Done]:
        """As `WorkerPool.work`, one after another."""
        for each in work:
            self._check()
            yield do(self._connection, self._task, self._share, each)
        for name, after in stretches.items():
            reached = after
            while reached < until:
                self._check()
                done = do(self._connection, self._task, self._share, Stretch(name, reached))
                reached = done.reached
                yield done


class WorkerPool:
    """Worker processes of one rebuild; a context manager that leaves none behind."""

    def __init__(
        self, task: Task, count: int, check: Callable[[], None], files: Sequence[SharedFile]
    ) -> None:
        """With a file for each, if any; `check` is called all the while and raises to end the work."""
        self._check = check
        self._idle: list[Connection] = []
        self._busy: dict[Connection, BaseProcess] = {}
        self._processes: dict[Connection, BaseProcess] = {}
        # Spawned, not forked: the parent may have threads and connections, which a fork would share.
        context = multiprocessing.get_context("spawn")
        if sys.platform != "win32":
            # The first spawned process starts it, and to do so lets through what is held back below.
            resource_tracker.ensure_running()
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=run_worker,
                args=(task, Share(files, number), theirs),
                name=f"rebuild worker {number + 1}",
                daemon=True,
            )
            with _without_ctrl_c():
                process.start()
            theirs.close()
            self._processes[ours] = process
            self._idle.append(ours)

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for pipe, process in self._processes.items():
            if kind is not None:
                process.terminate()
            elif process.is_alive():
                pipe.send(None)
        for pipe, process in self._processes.items():
            process.join(END_S_MAX)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()

    def work(self, work: Iterator[Work], stretches: dict[str, int], until: int) -> Iterator[Done]:
        """Have all this and, beside it, each sequential projection's history done; yields what is done.

        `stretches` names the sequential projections with the position each begins after.
        """
        waiting: list[Work] = [Stretch(name, after) for name, after in stretches.items()]
        while True:
            while self._idle:
                following = waiting.pop() if waiting else next(work, None)
                if following is None:
                    break
                pipe = self._idle.pop()
                pipe.send(following)
                self._busy[pipe] = self._processes[pipe]
            if not self._busy:
                return
            self._check()
            for pipe in self._ready():
                done = self._receive(pipe)
                if done.goes_on:
                    yield done
                    continue
                self._idle.append(pipe)
                del self._busy[pipe]
                if done.reached and done.reached < until:
                    waiting.append(Stretch(done.projection, done.reached))
                yield done

    def _ready(self) -> list[Connection]:
        sentinels: dict[Any, Connection] = {each.sentinel: pipe for pipe, each in self._busy.items()}
        found = wait([*self._busy, *sentinels], LOOK_S)
        return list({sentinels.get(each, each): None for each in found})  # type: ignore[arg-type]  # pipes only

    def _receive(self, pipe: Connection) -> Done:
        try:
            answer = pipe.recv()
        except (EOFError, ConnectionError) as error:
            process = self._processes[pipe]
            process.join(1)
            raise WorkerFailed(cause=f"it ended with code {process.exitcode}") from error
        if not isinstance(answer, Done):
            raise WorkerFailed(cause=answer)
        return answer


def work_through(
    pool: Alone | WorkerPool, task: Task, files: Sequence[SharedFile], senders: SendersInOrder
) -> Iterator[Done]:
    """The whole of history, read, sorted and folded, and taken in by the projections in order; yields what
    is done.

    Streams are judged by the senders of this very generation, so what tells of those is taken in before.
    """
    buckets = Buckets(task.buckets, files)
    for done in pool.work(readings(task.until) if task.read else iter(()), {}, task.until):
        if done.told is not None:
            senders.put(done.told)
        if done.run is not None:
            buckets.add(done.run)
        yield done
    if SendersView.name in task.read:
        senders.write()
        yield Done(events=0, parked={SendersView.name: senders.parked})
    yield from pool.work(buckets.units(), dict.fromkeys(task.sequential, 0), task.until)


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """A process that is started here inherits what this thread holds back: Ctrl-C, which the terminal sends
    to all, must not end it with a traceback as it loads. What comes to this thread meanwhile comes later."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

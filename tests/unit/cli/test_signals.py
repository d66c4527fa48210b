"""Which signals end a rebuild on the command line, and what is said then."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext

import click
import pytest
from click.testing import CliRunner

from streamledger.cli import rebuild, verify
from streamledger.cli.rebuild import ended_by_signals
from streamledger.readmodel.rebuild.worker_pool import RebuildCancelled


@pytest.fixture
def ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("ignored")
def test_a_hangup_that_was_ignored_when_it_began_ends_nothing_and_another_signal_does() -> None:
    with ended_by_signals("the rebuild") as is_cancelled:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not is_cancelled()
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_cancelled()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize("ended", [KeyboardInterrupt, RebuildCancelled])
@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (rebuild.rebuild_command, [], "the rebuild"),
        (rebuild.rebuild_command, ["--dry-run"], "the dry run"),
        (rebuild.rebuild_command, ["--stream", "room-1"], "the repair of the stream"),
        (verify.projections_command, [], "the verification"),
    ],
)
def test_what_was_cancelled_is_said(
    command: click.Command,
    arguments: list[str],
    said: str,
    ended: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def end(*_: object, **__: object) -> None:
        raise ended

    monkeypatch.setattr(rebuild.bootstrap, "open_store", lambda _: nullcontext())
    for module, work in ((rebuild, "rebuild"), (rebuild, "repair_stream"), (verify, "verify_projections")):
        monkeypatch.setattr(module, work, end)
    done = CliRunner().invoke(command, arguments)
    assert isinstance(done.exception, RebuildCancelled)
    assert str(done.exception) == f"{said} was cancelled; the live tables are as they were"

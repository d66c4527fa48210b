"""Which signals end a rebuild on the command line."""

import os
import signal
from collections.abc import Iterator

import pytest

from streamledger.cli.rebuild import ended_by_signals


@pytest.fixture
def ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("ignored")
def test_a_hangup_that_was_ignored_when_it_began_ends_nothing_and_another_signal_does() -> None:
    with ended_by_signals() as is_cancelled:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not is_cancelled()
        os.kill(os.getpid(), signal.SIGTERM)
        assert is_cancelled()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

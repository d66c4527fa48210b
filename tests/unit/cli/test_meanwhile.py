"""The server that answers while the store is away hears every signal, and leaves none behind."""

import os
import signal

import pytest
import uvicorn

from streamledger.cli.meanwhile import Meanwhile


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_comes_when_the_store_has_just_been_found_is_heeded(number: signal.Signals) -> None:
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    server = Meanwhile(uvicorn.Config("none"))
    with server.capture_signals():
        server.should_exit = True  # the store is there
        assert not server.is_told_to_end
        os.kill(os.getpid(), number)
    assert server.is_told_to_end
    assert {each: signal.getsignal(each) for each in before} == before

"""What is said before the server is ready: openness, a free port, and commands that can be typed."""

import contextlib
import logging
import socket
import sys
from pathlib import Path

import pytest

from streamledger.cli.starting import port_advice, warn_of_openness
from streamledger.invocation import own_command
from streamledger.settings import Secret, Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings(), ["STREAMLEDGER_CALLBACK_KEYS"]),
        (Settings(callback_keys=Secret("main:k")), []),
        (Settings(callback_keys_file=Path("keys.toml")), []),
        (Settings(callback_keys=Secret("main:k"), insecure=True, host="192.0.2.1"), ["192.0.2.1"]),
    ],
)
def test_what_nobody_checks_is_warned_of(
    settings: Settings, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_openness(settings)
    assert len(caplog.messages) == len(said)
    assert all(word in message for word, message in zip(said, caplog.messages, strict=True))


def test_a_taken_port_is_answered_with_one_that_can_be_listened_on() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        advice = port_advice("127.0.0.1", port)
        proposed = int(advice.split("--port ")[1].split()[0])
        assert proposed > port
        assert f"--port {port} " not in port_advice("127.0.0.1", port - 1)  # a taken one is passed over
        socket.create_server(("127.0.0.1", proposed)).close()


def test_the_command_is_bare_only_where_a_shell_finds_this_very_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "streamledger"
    script.parent.mkdir()
    script.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/streamledger", "serve"])
    monkeypatch.setenv("PATH", "")
    assert own_command() == str(script)
    monkeypatch.setenv("PATH", str(script.parent))
    assert own_command() == "streamledger"
    monkeypatch.setattr(sys, "argv", ["/somewhere/pytest/__main__.py"])
    assert own_command() == f"{sys.executable} -m streamledger.cli"

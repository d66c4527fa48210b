"""How the installed command ends: with a code that means something, and never with a traceback."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.serving import COMMAND, run, settings_of

NOBODY = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--version",), 0, "streamledger"),
        ((), 2, "Usage: streamledger"),
        (("nope",), 2, "No such command 'nope'"),
        (("simulate", "--url", NOBODY, "--streams", "1"), 3, f"no receiver answers at {NOBODY}"),
        (("simulate", "--url", "ftp://x"), 2, "setting url: expected http"),
        (("sessions", "--limit", "0"), 2, "--limit"),
        (("parked", "list", "--projection", "nope"), 2, "expected one of addresses, sessions, tallies"),
        (("sessions", "--config", "absent.toml"), 2, "expected a readable file"),
        (
            ("sessions", "--database-url", "postgresql://a:hush@127.0.0.1:1/x"),
            3,
            "the store cannot be reached",
        ),
        (("sessions", "--database-url", "nonsense hush"), 2, "STREAMLEDGER_DATABASE_URL"),
        (("sessions", "--database-url", "postgresql://a:b@hush@127.0.0.1:1/x"), 2, "written as %40"),
        (("sessions", "--url", "http://a:hush@127.0.0.1:1"), 2, "got one with a user in it"),
    ],
)
def test_it_ends_with_a_sentence_and_a_code(arguments: tuple[str, ...], code: int, said: str) -> None:
    ended = run(*arguments)
    assert ended.returncode == code, ended
    assert said in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hush" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_change_nothing(closed: str, tmp_path: Path) -> None:
    tried = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "sessions", "--data-dir", str(tmp_path / "none")],
        env=settings_of(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert tried.returncode == 3, tried
    shown = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {closed}', "sh", *COMMAND, "simulate", "--url", NOBODY, "--streams", "1"],
        env=settings_of(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 3, shown


def test_every_command_explains_itself() -> None:
    listed = run("--help").stdout.partition("Commands:\n")[2]
    names = [line.split()[0] for line in listed.splitlines()]
    assert {"serve", "simulate", "sessions", "timeline", "doctor", "demo"} <= set(names)
    for name in ("serve", "simulate", "export"):
        explained = run(name, "--help")
        assert (explained.returncode, explained.stderr) == (0, "")
        assert explained.stdout.startswith(f"Usage: streamledger {name} ")


def test_a_log_level_that_does_not_exist_is_wrong_usage() -> None:
    ended = run("sessions", log_level="loud")
    assert (ended.returncode, "expected one of debug, info, warning, error" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    ("loaded", "arguments"), [("click", ["--version"]), ("psycopg", ["rebuild"]), ("litestar", ["serve"])]
)
def test_ctrl_c_while_it_is_still_loading_ends_it_without_a_word(
    tmp_path: Path, loaded: str, arguments: list[str]
) -> None:
    (tmp_path / f"{loaded}.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(600)\n")
    settings = settings_of()
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env={**settings, "PYTHONPATH": os.pathsep.join([str(tmp_path), settings["PYTHONPATH"]])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "loading\n"
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=60) == ("", "")
        finally:
            process.kill()  # nothing once it has ended
    assert process.returncode == 130

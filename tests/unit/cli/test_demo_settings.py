"""The demo's settings: a store of its own, whatever database the user's settings name."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from streamledger.cli import demo
from streamledger.settings import Settings

OF_THE_USER = "postgresql://ledger@192.0.2.1/live"


@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_demo_never_writes_into_the_users_own_database(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Settings] = []
    monkeypatch.setattr(demo.serve, "run", lambda settings, *_: taken.append(settings))
    named = {name: OF_THE_USER for name in ("database_url", "owner_database_url")}
    file = tmp_path / "streamledger.toml"
    file.write_text("".join(f'{name} = "{url}"\n' for name, url in named.items()))
    environment = {
        "environment": {f"STREAMLEDGER_{name.upper()}": url for name, url in named.items()},
        "file": {"STREAMLEDGER_CONFIG": str(file)},
    }[where]
    done = CliRunner().invoke(demo.demo, ["--port", "1"], env=environment, catch_exceptions=False)
    assert done.exit_code == 0
    (settings,) = taken
    assert settings.database_url is None
    assert settings.owner_database_url is None

"""docs/security.md lists the limits that there are, with what they are by default and what happens beyond."""

import re

from streamledger.operations.limits import LIMITS
from streamledger.settings import Settings
from tests.house.rooms import ROOT


def test_the_table_of_limits_is_that_of_the_code() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    section = page.partition("\n## Limits\n")[2].partition("\n## ")[0]
    listed = re.findall(r"^\| (`.*) \|$", section, re.MULTILINE)
    assert listed == [
        f"`{limit.name}`{' *' if limit.ordinary else ''}"
        f" | {getattr(Settings(), limit.name)} {limit.unit} | {limit.beyond}"
        for limit in LIMITS.values()
    ]

"""The first steps: what to do in Tencent's console, in both languages, on the page and on a terminal."""

import pytest

from streamledger.web.pages.setup import setup_lines, setup_steps
from streamledger.web.pages.words import Words

ADDRESS = "https://ledger.example.com/callbacks/tencent"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"LANG": "en_US.UTF-8"}, ("Domain Management", "callback template", "push start", "callback key")),
        ({"LANG": "zh_CN.UTF-8"}, ("域名管理", "回调模板", "推流、断流", "回调密钥")),
        ({"LC_ALL": "zh_CN.UTF-8", "LANG": "C"}, ("域名管理",)),
        ({}, ("Domain Management",)),
    ],
)
def test_the_terminal_names_domain_template_events_and_key(
    environment: dict[str, str], named: tuple[str, ...]
) -> None:
    text = "\n".join(setup_lines(environment, address=ADDRESS, own_command="streamledger", is_public=False))
    assert [word for word in named if word not in text.replace("\n   ", " ")] == []
    assert f"\n     {ADDRESS}\n" in text
    assert "STREAMLEDGER_CALLBACK_KEYS=main:CALLBACK_KEY streamledger serve" in text


def test_who_has_a_key_and_an_address_is_not_told_of_them() -> None:
    steps = setup_steps(Words("en"), address=ADDRESS, own_command=None, is_public=True)
    assert [step.code for step in steps] == [None, ADDRESS, None, None]
    assert "STREAMLEDGER" not in "".join(step.words for step in steps)

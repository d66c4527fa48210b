"""What has to be done in Tencent's console before the first callback comes: on the page and on a terminal."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Final

import msgspec

from streamledger.web.pages.words import LANGUAGES, Words

COLUMNS: Final = 76


class Step(msgspec.Struct, frozen=True):
    """One thing to do, and what is copied for it."""

    words: str
    code: str | None = None


def setup_steps(words: Words, *, address: str, own_command: str | None, is_public: bool) -> list[Step]:
    """The steps; with `own_command` a key has to be chosen, unless `is_public` an address too."""
    steps = [
        Step(words("setup.domain")),
        Step(words("setup.template"), address),
        Step(words("setup.bind")),
        Step(words("setup.check")),
    ]
    if not is_public:
        steps.insert(0, Step(words("setup.reach")))
    if own_command is not None:
        steps.insert(
            0, Step(words("setup.key"), f"STREAMLEDGER_CALLBACK_KEYS=main:CALLBACK_KEY {own_command} serve")
        )
    return steps


def setup_lines(
    environment: Mapping[str, str], *, address: str, own_command: str | None, is_public: bool
) -> list[str]:
    """The same for a terminal, in the language of its locale."""
    name = next(
        (environment[each] for each in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(each)), ""
    )
    words = Words(name[:2] if name[:2] in LANGUAGES else LANGUAGES[0])
    lines = [words("setup.title")]
    for number, step in enumerate(
        setup_steps(words, address=address, own_command=own_command, is_public=is_public), start=1
    ):
        told = [step.words] if words.language == "zh" else wrap(step.words, COLUMNS)  # which breaks at blanks
        lines += [f"{number}. {told[0]}", *(f"   {line}" for line in told[1:])]
        if step.code is not None:
            lines.append(f"     {step.code}")
    return lines

"""The pages' words: one catalogue a language, as data, and which of them a visitor reads."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

LANGUAGES: Final = ("en", "zh")
"""The first is the one for visitors whose browsers ask for none of them."""


def _load(language: str) -> dict[str, str]:
    text = files("streamledger.web").joinpath("words", f"{language}.toml").read_text("utf-8")
    return {
        f"{section}.{name}": words
        for section, entries in tomllib.loads(text).items()
        for name, words in entries.items()
    }


CATALOGUES: Final[Mapping[str, Mapping[str, str]]] = {language: _load(language) for language in LANGUAGES}


class Words:
    """One language's catalogue; called with a key it gives the words, the facts set in."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._catalogue = CATALOGUES[language]

    def __call__(self, key: str, /, **facts: object) -> str:
        """The words of a key. Raises KeyError: a key that is missing is a mistake of ours."""
        words = self._catalogue[key]
        return words.format(**facts) if facts else words

    def has(self, key: str) -> bool:
        """Whether there are words of this key."""
        return key in self._catalogue

    def named(self, section: str, name: str | None) -> str:
        """What a value, such as a kind, is called; the value itself where there is no word for it."""
        if name is None:
            return self._catalogue["common.unknown"]
        return self._catalogue.get(f"{section}.{name}", name)


def language_of(cookie: str | None, accept_language: str | None) -> str:
    """The visitor's language: chosen by hand, else the browser's best that there is (RFC 9110, 12.5.4)."""
    if cookie in LANGUAGES:
        return cookie
    best, best_weight = LANGUAGES[0], 0.0
    for part in (accept_language or "").split(",")[:20]:
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        weight = _weight(parameter)
        if language in LANGUAGES and weight > best_weight:
            best, best_weight = language, weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0

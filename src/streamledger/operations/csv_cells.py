"""Texts as cells of CSV: what a stranger has named must not become a formula of a spreadsheet."""

from typing import Final

FORMULA_BEGINS: Final = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufffd")
"""Also full-width, which some spreadsheets take for the same; and what stands for a control character."""


def csv_cell(text: str) -> str:
    """The text; with an apostrophe before what a spreadsheet would work out, so that it is text there too."""
    is_formula = text.startswith(FORMULA_BEGINS) or text.lstrip().startswith(FORMULA_BEGINS)
    return "'" + text if is_formula else text

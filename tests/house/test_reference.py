"""The reference pages say what the code says."""

import pytest
from scripts import reference


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_a_reference_page_is_what_make_docs_writes(page: str) -> None:
    written = (reference.DOCS / page).read_text("utf-8")
    assert written == reference.PAGES[page](), "run `make docs`"


def test_every_command_has_a_section_of_its_own() -> None:
    page = reference.cli_page()
    assert "## streamledger serve\n" in page
    assert "## streamledger timeline\n" in page

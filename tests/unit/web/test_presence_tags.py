"""The ETag of who is live."""

import pytest

from streamledger.domain.answers import Stream
from streamledger.readmodel.queries.sessions import Page
from streamledger.web.streams import is_named, tag_of


def page(
    presence: str = "live", screenshots: int = 1, open_sessions: tuple[str, ...] = ("1",)
) -> Page[Stream]:
    stream = Stream(
        stream_id="room",
        presence=presence,
        open_sessions=list(open_sessions),
        open_sessions_count=len(open_sessions),
        sessions=1,
        recordings=0,
        screenshots=screenshots,
        unattributed=0,
        first_seen_at="",
        last_seen_at="",
    )
    return Page([stream])


def test_the_tag_changes_with_presence_and_sessions_but_not_with_counts() -> None:
    assert tag_of(page()) == tag_of(page(screenshots=2))
    assert (
        len({tag_of(page()), tag_of(page("suspect")), tag_of(page(open_sessions=("2",))), tag_of(Page([]))})
        == 4
    )


@pytest.mark.parametrize("header", ['W/"x"', '"x"', '"a", W/"x"', "*"])
def test_if_none_match_names_it_by_the_weak_comparison(header: str) -> None:
    assert is_named('W/"x"', header)


@pytest.mark.parametrize("header", [None, "", '"y"', 'W/"y", "z"', "x"])
def test_other_tags_do_not_name_it(header: str | None) -> None:
    assert not is_named('W/"x"', header)

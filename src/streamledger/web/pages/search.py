"""`/search`: from what was typed to what has that name, or begins with it; and what was searched."""

from collections import Counter
from typing import Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.response import Redirect

from streamledger.readmodel.queries.find import DOMAIN_SESSIONS_MAX, FILE_STREAMS_MAX, HITS_MAX, FindQueries
from streamledger.readmodel.queries.pages import STREAMS_SEARCHED_MAX, PageQueries
from streamledger.readmodel.queries.sessions import Queries
from streamledger.web.pages.forms import Text
from streamledger.web.pages.links import delivery_path, link, session_path, stream_path
from streamledger.web.pages.page import HEADERS, AnyRequest, render

WHOLE_SEQUENCE_DIGITS: Final = 10
"""So long a text that is a sequence is meant as one: a shorter one may be a position as well."""


@get("/search", include_in_schema=False)
async def search(
    request: AnyRequest,
    queries: NamedDependency[Queries],
    pages: NamedDependency[PageQueries],
    find: NamedDependency[FindQueries],
    q: Text = None,
    files_after: Text = None,
) -> Response[bytes] | Redirect:
    """The one thing that is meant, else all that may be: sequences, streams, files, addresses and more."""
    text = (q or "").strip().replace("\0", "")
    if not text:
        return _to(link("/streams"))
    if len(text) >= WHOLE_SEQUENCE_DIGITS and (owners := await pages.streams_of(text)):
        return _to(session_path(text, owners[0] if len(owners) > 1 else None))
    if not text.isdigit() and await pages.has_stream(text):
        return _to(stream_path(text))
    streams = await pages.streams_matching(text)
    hits = await find.find(text, await queries.position(), files_after or "")
    found = [stream_path(name) for name in streams.items]
    streams_by_sequence = Counter(sequence for sequence, _ in hits.sequences)
    shared = {sequence for sequence, count in streams_by_sequence.items() if count > 1}
    found += [session_path(each, stream_id if each in shared else None) for each, stream_id in hits.sequences]
    found += [delivery_path(each.position) for each in hits.files]
    found += [link(f"/quarantine/{each}") for each, _ in hits.quarantined]
    found += [link("/deliveries", source_ip=hits.address)] * (hits.address is not None)
    found += [link("/sessions", domain=domain) for domain in hits.domains]
    found += [] if hits.position is None else [delivery_path(hits.position)]
    if len(found) == 1 and streams.next_cursor is None and hits.files_after is None:
        return _to(found[0])
    return await render(
        request,
        "search.html",
        feed=None,
        q=text,
        hits=hits,
        shared=shared,
        streams=streams.items[:HITS_MAX],
        more_streams=len(streams.items) > HITS_MAX or streams.next_cursor is not None,
        nothing=not found,
        streams_searched=STREAMS_SEARCHED_MAX,
        files_searched=FILE_STREAMS_MAX,
        domains_searched=DOMAIN_SESSIONS_MAX,
        most=HITS_MAX,
    )


def _to(address: str) -> Redirect:
    return Redirect(address, status_code=303, headers=HEADERS)

"""What the forms above lists send, and what their fields show when the list is there."""

from collections.abc import Mapping
from typing import Annotated

from litestar.params import QueryParameter

from streamledger.web.zones import NAME_CHARACTERS_MAX, field_of, zone

Text = Annotated[str | None, QueryParameter(max_length=256)]
ZoneName = Annotated[str | None, QueryParameter(max_length=NAME_CHARACTERS_MAX)]


def fields_of(asked: Mapping[str, str | None], times: Mapping[str, int | None]) -> dict[str, str]:
    """What was asked for by the names of the fields, all empty when nothing was.

    With a time goes the zone that it is written in, so that the address means the same to whoever opens it.
    """
    fields = {name: text or "" for name, text in asked.items()}
    fields |= {name: field_of(ms) for name, ms in times.items()}
    if any(ms is not None for ms in times.values()):
        fields["zone"] = zone().name
    return fields

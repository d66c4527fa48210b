"""`/docs`: the HTTP interface to read, made of the document at `/schema`; it loads nothing from elsewhere."""

import asyncio
from functools import lru_cache
from typing import Any, Final

import msgspec
from litestar import Litestar, Response, get

from streamledger.web.description import complete
from streamledger.web.pages.page import AnyRequest, render

METHODS: Final = ("get", "post", "put", "delete")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the interface."""

    method: str
    path: str
    summary: str
    description: str
    parameters: list[tuple[str, str, str]]
    """Name, where it stands, and what it is."""
    statuses: list[tuple[str, str]]


@lru_cache(maxsize=1)
def calls_of(app: Litestar) -> list[tuple[str, list[Call]]]:
    """All calls by tag, the intake first."""
    found: dict[str, list[Call]] = {}
    for path, operations in complete(app.openapi_schema.to_schema())["paths"].items():
        for method in METHODS:
            if (operation := operations.get(method)) is not None:
                call = _call(method.upper(), path, operation)
                found.setdefault(operation.get("tags", ["callbacks"])[0], []).append(call)
    return list(found.items())


def _call(method: str, path: str, operation: dict[str, Any]) -> Call:
    return Call(
        method=method,
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=[
            (each["name"], each["in"], each.get("description", ""))
            for each in operation.get("parameters", [])
        ],
        statuses=[(status, each.get("description", "")) for status, each in operation["responses"].items()],
    )


@get("/docs", include_in_schema=False)
async def api_document(request: AnyRequest) -> Response[bytes]:
    """The calls with their parameters and answers, as `/schema` describes them to programs."""
    return await render(
        request, "docs.html", feed=None, groups=await asyncio.to_thread(calls_of, request.app)
    )

"""The OpenAPI document at `/schema`: the framework's own, completed by what it cannot know.

That is the intake, which is raw ASGI; errors, which are problem documents in one shape; and tokens.
"""

import re
from http import HTTPStatus
from typing import Any, Final

from litestar import Request, Router
from litestar.openapi.plugins import JsonRenderPlugin

from streamledger.web.callbacks import PATH, TITLES
from streamledger.web.described_inputs import closed, narrowed
from streamledger.web.problems import PROBLEM_TYPE

PATHS: Final = ["/", "/openapi.json"]
"""Below `/schema`. The framework's pages are left out: they load from a content delivery network."""

Document = dict[str, Any]

_PROBLEM: Final[Document] = {
    "title": "Problem",
    "description": "RFC 9457. Further members carry the error's facts.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "Which field, what was expected, what came"},
        "errors": {
            "type": "array",
            "description": "Each parameter or field that does not fit",
            "items": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
}
_ACKNOWLEDGEMENT: Final[Document] = {
    "title": "Acknowledgement",
    "type": "object",
    "required": ["code"],
    "properties": {"code": {"const": 0}},
}
_POSITION: Final[Document] = {
    "description": "Place in the ledger; absent when the delivery was set aside",
    "schema": {"type": "integer", "minimum": 1},
}
_RETRY_AFTER: Final[Document] = {"schema": {"type": "integer"}, "description": "Seconds"}

DESCRIPTIONS: Final = {
    304: "The same as the answer that If-None-Match names",
    400: "A parameter or the body does not fit",
    401: "No token in force, while there are tokens",
    403: "The token's scope is too little",
    404: "There is no such thing",
    409: "The moment or the state of things does not allow it",
    408: "The body did not arrive in time",
    413: "The body is over the limit",
    431: "The head is over a limit",
    429: "Refused, as too many from this address before",
    503: "The store cannot be reached now",
}


_BODIES: Final = frozenset({"RebuildRequest", "ReleaseRequest", "ReleaseByFilterRequest", "FilterRequest"})
_EVENT_TYPE: Final[Document] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        {"type": "string", "pattern": "^(0|[1-9][0-9]{0,8})$"},
    ]
}
_T: Final[Document] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[1-9][0-9]{0,17}$"}]
}


class DescriptionPlugin(JsonRenderPlugin):
    """Renders the completed document, made once."""

    def __init__(self) -> None:
        super().__init__(path=PATHS)
        self._rendered: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        """The document as JSON."""
        if self._rendered is None:
            self._rendered = self.render_json(request, complete(openapi_schema))
        return self._rendered

    def receive_router(self, router: Router) -> None:
        """Takes the framework's page for unknown paths out: ours are problem documents."""
        router.routes[:] = [route for route in router.routes if not route.path.endswith("{path:str}")]


def complete(document: Document) -> Document:
    """The document with the intake, the errors of every operation, and the tokens."""
    paths: Document = {PATH: {"post": _intake(None)}, PATH + "/{token}": {"post": _intake("token")}}
    for path, operations in sorted(document["paths"].items()):
        paths[path] = {
            method: _completed(path, method, operation) for method, operation in operations.items()
        }
    components = document.get("components", {})
    return {
        **document,
        "info": {
            **document["info"],
            "summary": "Tencent Cloud live callbacks, kept, and one true session per push",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            **components,
            "schemas": {
                **closed(components.get("schemas", {}), _BODIES),
                "Problem": _PROBLEM,
                "Acknowledgement": _ACKNOWLEDGEMENT,
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _completed(path: str, method: str, operation: Document) -> Document:
    guarded = path.startswith(("/v1/", "/metrics"))
    responses = {
        status: response
        for status, response in operation["responses"].items()
        if int(status) < HTTPStatus.BAD_REQUEST
    }
    parameters = {parameter["name"] for parameter in operation.get("parameters", [])}
    statuses: set[int] = {431}
    if guarded:
        statuses |= {400, 401, 429, 503}
    if guarded and method != "get":
        statuses.add(403)
    if re.search(r"\{\w+\}", path):
        statuses.add(404)
    if (
        path.startswith("/v1/sessions/{")
        or "min_position" in parameters
        or path.endswith(("/release", "/rebuild"))
        or method == "delete"
    ):
        statuses.add(409)
    if method == "post":
        statuses.add(413)
    if path == "/health/ready":
        statuses.add(503)
    if "If-None-Match" in parameters:
        responses["304"] = {"description": DESCRIPTIONS[304]}
    responses |= {str(status): _problem(status) for status in sorted(statuses)}
    security: Document = {"security": [{}, {"token": []}]} if guarded else {}
    return {**narrowed(operation), "responses": responses, **security}


def _problem(status: int) -> Document:
    response: Document = {
        "description": DESCRIPTIONS[status],
        "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": _RETRY_AFTER}
    return response


def _intake(parameter: str | None) -> Document:
    """The operation of the callbacks, without or with a path token."""
    acknowledged = {
        "description": "On disk: in the ledger, or set aside as t has passed or lies too far ahead",
        "headers": {"Streamledger-Position": _POSITION},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Acknowledgement"}}},
    }
    refused = {str(status): _problem(status) for status in sorted(TITLES) if status in DESCRIPTIONS}
    refused["403"] = {
        **refused["403"],
        "description": "sign is wrong, t or sign is absent, or the address is none of those allowed",
    }
    refused["404"] = {**refused["404"], "description": "The path token is wrong"}
    operation: Document = {
        "tags": ["callbacks"],
        "summary": "Take a callback",
        "operationId": "ReceiveDelivery" + ("WithToken" if parameter else ""),
        "description": "One notification of Tencent Cloud, answered once it is on disk (267/38080).",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["event_type"],
                        "properties": {
                            "event_type": _EVENT_TYPE,
                            "t": _T,
                            "sign": {"type": "string"},
                        },
                    }
                }
            },
        },
        "responses": {"200": acknowledged, **refused},
    }
    if parameter is None:
        return operation
    return {
        **operation,
        "parameters": [
            {
                "name": parameter,
                "in": "path",
                "required": True,
                "description": "The secret of STREAMLEDGER_CALLBACK_TOKEN",
                "schema": {"type": "string"},
            }
        ],
    }

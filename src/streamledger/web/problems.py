"""Errors as RFC 9457 problem documents: one table from what went wrong to a status."""

import logging
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)

from streamledger.domain.errors import (
    CursorInvalid,
    DeliveryUnknown,
    EventNotShown,
    MalformedBody,
    ParameterInvalid,
    PositionNotReached,
    SessionAmbiguous,
    SessionUnknown,
    SessionUnknownThen,
    SessionUnknownThere,
    StoreUnavailable,
    StreamledgerError,
    StreamUnknown,
)
from streamledger.ledger.appender import QueueFull
from streamledger.ledger.quarantine import QuarantinedUnknown
from streamledger.operations.health import NotStoring
from streamledger.operations.release import KeyUnknown, ReleaseImpossible
from streamledger.readmodel.feed.feed import TooManyReaders
from streamledger.readmodel.rebuild.record import RebuildOver, RebuildUnderWay, RebuildUnknown
from streamledger.web.asking import fault_in_words
from streamledger.web.readers import TooManyReadersOfOne

logger = logging.getLogger(__name__)

PROBLEM_TYPE: Final = "application/problem+json"

PATH_CHARACTERS_SHOWN_MAX: Final = 200

STATUS_OF: Final[dict[type[StreamledgerError], int]] = {
    MalformedBody: HTTPStatus.BAD_REQUEST,
    CursorInvalid: HTTPStatus.BAD_REQUEST,
    ParameterInvalid: HTTPStatus.BAD_REQUEST,
    KeyUnknown: HTTPStatus.BAD_REQUEST,
    QuarantinedUnknown: HTTPStatus.NOT_FOUND,
    ReleaseImpossible: HTTPStatus.CONFLICT,
    SessionUnknown: HTTPStatus.NOT_FOUND,
    SessionUnknownThere: HTTPStatus.NOT_FOUND,
    SessionUnknownThen: HTTPStatus.NOT_FOUND,
    StreamUnknown: HTTPStatus.NOT_FOUND,
    DeliveryUnknown: HTTPStatus.NOT_FOUND,
    RebuildUnknown: HTTPStatus.NOT_FOUND,
    SessionAmbiguous: HTTPStatus.CONFLICT,
    EventNotShown: HTTPStatus.CONFLICT,
    RebuildUnderWay: HTTPStatus.CONFLICT,
    RebuildOver: HTTPStatus.CONFLICT,
    PositionNotReached: HTTPStatus.CONFLICT,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    NotStoring: HTTPStatus.SERVICE_UNAVAILABLE,
    QueueFull: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyReaders: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyReadersOfOne: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""What is not named here is our own fault: 500, and the log has the cause."""


def problem(status: int, title: str, detail: str, **facts: Any) -> dict[str, Any]:
    """A problem document."""
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, **facts}


def answer(status: int, detail: str, **facts: Any) -> Response[bytes]:
    """A problem document as a response."""
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    return Response(
        msgspec.json.encode(problem(status, HTTPStatus(status).phrase, detail, **facts)),
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers=headers,
    )


def with_head(allow: str) -> str:
    """The methods of an Allow, with HEAD: it is answered wherever GET is, and no route knows of it."""
    methods = set(allow.split(", "))
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def streamledger_error(_: Request[Any, Any, Any], error: StreamledgerError) -> Response[bytes]:
    """Any error of ours."""
    status = STATUS_OF.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR)
    facts = {
        name: value if isinstance(value, int | float) else str(value)
        for name, value in error.facts.items()
        if name != "cause"
    }
    return answer(status, str(error), **facts)


def http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """An error of the framework: unknown path, method not allowed, a parameter that does not fit."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s at %s %s", error.detail, request.method, request.scope["path"], exc_info=error)
    facts: dict[str, Any] = {}
    detail = error.detail
    match error:
        case ValidationException(extra=list(faults)) if faults:
            facts["errors"] = errors = [fault_in_words(request, fault) for fault in faults]
            detail = "; ".join(_sentence(each) for each in errors)
        case NotFoundException(detail="Not Found"):
            detail = f"no such path: {request.scope['path'][:PATH_CHARACTERS_SHOWN_MAX]}"
        case MethodNotAllowedException():
            allowed = {name.lower(): value for name, value in (error.headers or {}).items()}
            detail = f"expected {with_head(allowed.get('allow', 'another method'))}"
    response = answer(error.status_code, detail, **facts)
    response.headers.update(error.headers or {})  # Allow of a 405, WWW-Authenticate of a 401
    return response


def too_deep(request: Request[Any, Any, Any], error: RecursionError) -> Response[bytes]:
    """JSON that nests deeper than any call needs; elsewhere a fault of ours."""
    if request.method != "POST":
        return unexpected_error(request, error)
    return answer(HTTPStatus.BAD_REQUEST, "body: expected JSON of few levels, got one that nests too deep")


def unexpected_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of ours: logged with its cause, told without it."""
    logger.error("unexpected error at %s %s", request.method, request.scope["path"], exc_info=error)
    return answer(HTTPStatus.INTERNAL_SERVER_ERROR, "streamledger made a mistake; its log has the cause")


def _sentence(fault: dict[str, str]) -> str:
    sentence = f"{fault['name']}: expected {fault['expected']}"
    return f"{sentence}, got {fault['got']}" if "got" in fault else sentence

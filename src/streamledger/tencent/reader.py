"""Bytes to notification: one typed decode of what nearly every body is, and the tolerant way for the rest."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec

from streamledger.domain.kinds import kind_of
from streamledger.domain.notification import Notification
from streamledger.tencent.bodies import BODY_BY_EVENT_TYPE, Body, OtherBody, event_type_read
from streamledger.tencent.content import content_of_object, content_of_strict
from streamledger.tencent.envelope import event_type_of, stream_field_of, t_of
from streamledger.tencent.fields import MILLISECONDS_FROM, integer_of, key_of, seconds
from streamledger.tencent.filling import fill, readings_of, texts_of
from streamledger.tencent.naming import named
from streamledger.tencent.tolerant import BRACKET, NOT_STRICT, is_utf8, nests_too_deep, parse_object

_decode: Final = msgspec.json.Decoder(reduce(or_, BODY_BY_EVENT_TYPE.values())).decode

_BACKSLASH, _DELETE, _SPACE = b"\\\x7f "  # numbers: to look for bytes takes five times as long


def read_notification(body: bytes) -> Notification:
    """The one fact that a body reports. Raises MalformedBody when it is no object or has no event_type."""
    return read_with_t(body)[0]


def read_with_t(body: bytes) -> tuple[Notification, str | None]:
    """The same, and the envelope's `t`."""
    return read_from(read_plain(body), body)


def read_plain(body: bytes) -> Body | None:
    """What a modelled body holds, by one decode; None where anything in it must be read leniently.

    What is not declared is only skipped: whether two bodies say the same is for `content_digest` to tell.
    """
    if (BRACKET in body or body.find(b"{", 1) > 0) and nests_too_deep(body):
        return None
    is_ascii = body.isascii()
    if not (is_ascii or is_utf8(body)):
        return None
    try:
        read: Body = _decode(body)
    except NOT_STRICT:
        return None
    sequence = read.sequence
    if read.stream_id is None or named(read.stream_id) != read.stream_id:
        return None
    if sequence is not None and not (sequence.isalnum() and sequence.isascii()):
        return None
    # In a body of ASCII without escapes, as nearly all are, JSON leaves no character that does not print
    # but DEL; without a space there is nothing around a text either.
    prints = is_ascii and _BACKSLASH not in body and _DELETE not in body
    if prints and _SPACE not in body:
        return read
    return read if _has_plain_texts(read, prints=prints) else None


def read_from(read: Body | None, body: bytes) -> tuple[Notification, str | None]:
    """The notification and t of a body of which `read_plain` has given this."""
    if read is None:
        obj = parse_object(body)[0]
        return notification_of(obj), t_of(obj.get("t"))
    t = None if read.t is None else str(read.t)
    return _notification(read, event_type_read(type(read)), content_of_strict(body, type(read)), ()), t


def notification_of(obj: dict[str, Any]) -> Notification:
    """The fact of an object that is parsed already, whatever it is like. Raises MalformedBody."""
    event_type = event_type_of(obj.get("event_type"))
    struct = BODY_BY_EVENT_TYPE.get(event_type, OtherBody)
    stream_field = stream_field_of(obj)
    fields, unreadable = fill(struct, obj, {"stream_id": stream_field})
    content = content_of_object(obj)
    return _notification(struct(**fields), event_type, content, tuple(sorted(unreadable)))


def mended_fields(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """What had to be mended in single fields before they could be read: codes, in order."""
    struct = BODY_BY_EVENT_TYPE.get(event_type_of(obj.get("event_type")), OtherBody)
    times = [field for field, reading in readings_of(struct).items() if reading is seconds]
    in_ms = any((integer_of(obj.get(field)) or 0) >= MILLISECONDS_FROM for field in times)
    by_channel = stream_field_of(obj) == "channel_id"
    return ("channel_id",) * by_channel + ("milliseconds",) * in_ms


def _notification(read: Body, event_type: int, content: str, unreadable: tuple[str, ...]) -> Notification:
    at_ms, until_ms = read.interval_ms()
    app, appname = read.place()
    identity = read.identity()
    return Notification(
        event_type=event_type,
        kind=kind_of(event_type),
        stream_id=read.stream_id,
        key="md5:" + content if identity is None else key_of(identity),
        sequence=read.sequence,
        at_ms=at_ms,
        until_ms=until_ms,
        app=app,
        appname=appname,
        stream_param=read.stream_param or None,
        content=content,
        unreadable=unreadable,
        detail=read.detail(),
    )


def _has_plain_texts(read: Body, *, prints: bool) -> bool:
    """Whether every text can be taken as it was sent: it prints, and no white space surrounds it."""
    for struct in (read, *read.parts()):
        for value in texts_of(type(struct))(struct):
            if value and (value[0] == " " or value[-1] == " " or not (prints or value.isprintable())):
                return False
    return True

"""What is added up over many events: of streams, of the media of a session, of days."""

from collections.abc import Iterable
from typing import Final

from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS
from streamledger.readmodel.fold.judging import MS_A_DAY
from streamledger.readmodel.fold.rows import StreamRow, Totals
from streamledger.readmodel.fold.view import Changes, Medium

FIRST: Final = DeliveryClass.FIRST.value
_RECORDING: Final = Kind.RECORDING.value
_US_A_DAY: Final = MS_A_DAY * 1000


def stream_of(changes: Changes, stream_id: str, received_us: int, position: int) -> StreamRow:
    """What is to be added to a stream, with one more delivery seen."""
    stream = changes.streams.get(stream_id)
    if stream is None:
        stream = StreamRow(
            stream_id=stream_id, first_seen_us=received_us, last_seen_us=received_us, position=position
        )
        changes.streams[stream_id] = stream
        return stream
    # Written out: min and max cost more than all else here.
    if received_us < stream.first_seen_us:  # noqa: PLR1730  # as said
        stream.first_seen_us = received_us
    if received_us > stream.last_seen_us:  # noqa: PLR1730  # as said
        stream.last_seen_us = received_us
    if position > stream.position:  # noqa: PLR1730  # as said
        stream.position = position
    return stream


def nothing_of(changes: Changes, stream_id: str) -> StreamRow:
    """A stream of which nothing was delivered just now, and something is counted otherwise."""
    stream = StreamRow(stream_id=stream_id, first_seen_us=OPEN_END_MS, last_seen_us=0)
    changes.streams[stream_id] = stream
    return stream


def count_kind(stream: StreamRow, kind: Kind) -> None:
    """Count a notification that was not delivered before."""
    if kind is Kind.RECORDING:
        stream.recordings += 1
    elif kind is Kind.SCREENSHOT:
        stream.screenshots += 1
    elif kind not in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED):
        stream.others += 1


def count_media(changes: Changes, found: Iterable[Medium]) -> None:
    """Add the media that were new to totals, streams and days."""
    totals, of_session = Totals(), ("", "")
    day, on_day = 0, 0
    for each in found:
        media = each.media
        received_us = media.received_us
        stream = stream_of(changes, media.stream_id, received_us, media.position)
        if media.until_ms > stream.latest_ms:  # noqa: PLR1730  # as above
            stream.latest_ms = media.until_ms
        is_recording = media.kind == _RECORDING
        if is_recording:
            stream.recordings += 1
        else:
            stream.screenshots += 1
        if each.rows is None:
            session = (media.stream_id, each.sequence)
            if session != of_session:  # those of one come together
                of_session = session
                totals = changes.totals.setdefault(session, Totals())
            if is_recording:
                totals.recordings += 1
                totals.files_ms += media.duration_ms or 0
                totals.recording_bytes += media.file_bytes or 0
            else:
                totals.screenshots += 1
        else:
            for row in each.rows:
                changes.add_total(row, +1)
                stream.unattributed += not row.sequence
        if each.noted is not None:
            changes.repeats.append(each.noted)
        if received_us // _US_A_DAY != day:  # seldom
            if on_day:
                changes.days[day, FIRST] += on_day
            day, on_day = received_us // _US_A_DAY, 0
        on_day += 1
    if on_day:
        changes.days[day, FIRST] += on_day

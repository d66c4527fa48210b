"""What is added up over many events: of streams, of the media of a session, of days."""

from collections.abc import Iterable
from typing import Final

from streamledger.domain.forensics import DeliveryClass
from streamledger.domain.notification import Kind
from streamledger.domain.session import OPEN_END_MS
from streamledger.readmodel.fold.judging import MS_A_DAY
from streamledger.readmodel.fold.rows import StreamRow, Totals
from streamledger.readmodel.fold.view import Changes, Laid

FIRST: Final = DeliveryClass.FIRST.value
_RECORDING: Final = Kind.RECORDING.value
_US_A_DAY: Final = MS_A_DAY * 1000


def stream_of(changes: Changes, stream_id: str) -> StreamRow:
    """What is to be added to a stream."""
    stream = changes.streams.get(stream_id)
    if stream is None:
        stream = StreamRow(stream_id=stream_id, first_seen_us=OPEN_END_MS, last_seen_us=0)
        changes.streams[stream_id] = stream
    return stream


def see(stream: StreamRow, received_us: int, position: int) -> None:
    """One more delivery of it."""
    # Written out: min and max cost more than all else here.
    if received_us < stream.first_seen_us:  # noqa: PLR1730  # as said
        stream.first_seen_us = received_us
    if received_us > stream.last_seen_us:  # noqa: PLR1730  # as said
        stream.last_seen_us = received_us
    if position > stream.position:  # noqa: PLR1730  # as said
        stream.position = position


def count_kind(stream: StreamRow, kind: Kind) -> None:
    """Count a notification that was not delivered before."""
    if kind is Kind.RECORDING:
        stream.recordings += 1
    elif kind is Kind.SCREENSHOT:
        stream.screenshots += 1
    elif kind not in (Kind.PUSH_STARTED, Kind.PUSH_STOPPED):
        stream.others += 1


def count_media(changes: Changes, found: Iterable[Laid]) -> None:
    """Add the media that were new to totals, streams and days."""
    day, on_day = 0, 0
    for each in found:
        recordings = files_ms = file_bytes = 0
        stream = stream_of(changes, each.media[0].stream_id)
        for media in each.media:
            received_us = media.received_us
            see(stream, received_us, media.position)
            if media.until_ms > stream.latest_ms:  # noqa: PLR1730  # as in see
                stream.latest_ms = media.until_ms
            if media.kind == _RECORDING:
                recordings += 1
                files_ms += media.duration_ms or 0
                file_bytes += media.file_bytes or 0
            if received_us // _US_A_DAY != day:  # seldom
                if on_day:
                    changes.days[day, FIRST] += on_day
                day, on_day = received_us // _US_A_DAY, 0
            on_day += 1
        stream.recordings += recordings
        stream.screenshots += len(each.media) - recordings
        changes.repeats += each.noted
        if each.rows is None:
            totals = changes.totals.setdefault((stream.stream_id, each.sequence), Totals())
            totals.recordings += recordings
            totals.screenshots += len(each.media) - recordings
            totals.files_ms += files_ms
            totals.recording_bytes += file_bytes
        for row in each.rows or ():
            changes.add_total(row, +1)
            stream.unattributed += not row.sequence
    if on_day:
        changes.days[day, FIRST] += on_day

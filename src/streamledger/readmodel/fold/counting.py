"""What is added up over many events: of streams, of the media of a session, of days."""

from collections.abc import Iterable
from itertools import groupby
from operator import attrgetter
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
_stream_id: Final = attrgetter("media.stream_id")


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
    days = changes.days
    for stream_id, of_stream in groupby(found, _stream_id):
        together = list(of_stream)
        received_us = sorted([each.media.received_us for each in together])
        stream = stream_of(
            changes, stream_id, received_us[0], max([each.media.position for each in together])
        )
        stream.last_seen_us = max(stream.last_seen_us, received_us[-1])
        stream.latest_ms = max(stream.latest_ms, *[each.media.until_ms for each in together])
        if received_us[0] // _US_A_DAY == received_us[-1] // _US_A_DAY:  # as nearly all
            days[received_us[0] // _US_A_DAY, FIRST] += len(together)
        else:
            for each_us in received_us:
                days[each_us // _US_A_DAY, FIRST] += 1
        totals, sequence = Totals(), ""
        recordings = 0
        for each in together:
            media = each.media
            recordings += media.kind == _RECORDING
            if each.rows is None:
                if each.sequence != sequence:
                    sequence = each.sequence
                    totals = changes.totals.setdefault((stream_id, sequence), Totals())
                if media.kind == _RECORDING:
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
        stream.recordings += recordings
        stream.screenshots += len(together) - recordings

"""One pass over the ledger: an event that cannot be read, whatever the reason, stops no other."""

import os
from pathlib import Path
from typing import Any

import pytest

from streamledger.domain.events import Belief, Delivery
from streamledger.domain.senders import Shown
from streamledger.ledger import mapper
from streamledger.readmodel.fold.facts import PlainMedia
from streamledger.readmodel.rebuild import reading, shuffle
from streamledger.readmodel.rebuild.reading import READ, Pass, Row
from streamledger.readmodel.rebuild.shuffle import (
    Buckets,
    NoTemporaryFiles,
    SharedFile,
    Whole,
    make_file,
    read_kept,
)

SIGNED = b'"stream_id":"room","t":1700000600,"sign":"s"}'
SCREENSHOT = b'{"event_type":200,"create_time":1700000000,"pic_url":"/a.jpg",' + SIGNED
START = b'{"event_type":1,"sequence":"1","event_time":1700000000,' + SIGNED


def row(position: int, body: bytes, name: str) -> Row:
    delivery = Delivery(
        body=body,
        received_at_us=1_700_000_001_000_000,
        source_ip="198.51.100.7",
        believed=Belief("key", "main"),
    )
    return position, "room", name, mapper.encode(delivery)


def test_an_event_that_the_reader_stumbles_over_is_parked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    own = reading.plain_of

    def plain_of(position: int, *given: Any) -> PlainMedia | None:
        if position == 2:
            raise KeyError("t")
        return own(position, *given)

    monkeypatch.setattr(reading, "plain_of", plain_of)
    done = Pass(READ, 1)
    rows = [row(position, SCREENSHOT, "screenshot-created.v1") for position in (1, 2, 3)]
    done.take([*rows, row(4, START, "push-started.v9"), row(5, b"", "push-started.v1")])
    assert [each.position for each in done.shown] == [1, 3]
    assert [each.position for each in done.counted] == [1, 3]
    assert done.sorter.events == 2
    assert done.errors.keys() == {2, 4, 5}
    assert done.errors[2] == "KeyError: 't'"


def test_what_is_read_lies_on_the_disk_media_in_short_and_all_else_whole() -> None:
    done = Pass(READ, 3)
    done.take([row(1, START, "push-started.v1"), row(2, SCREENSHOT, "screenshot-created.v1")])
    assert done.shown == [Shown(at, "198.51.100.7", "main", 1_700_000_600, "s") for at in (1, 2)]
    assert [each.kind for each in done.counted] == ["push_started", "screenshot"]
    with make_file() as file:
        shared = SharedFile(file.fileno())
        buckets = Buckets(3, [shared])
        buckets.add(done.sorter.write(0, 0, shared))
        (unit,) = buckets.units()
        start, media = read_kept([shared], unit)
    assert unit.events == 2
    assert isinstance(start, Whole)
    assert start.delivery.body == START
    assert isinstance(media, PlainMedia)
    assert (media.position, media.stream_id, media.at_ms) == (2, "room", 1_700_000_000_000)
    assert media.delivery is None


def test_a_place_that_takes_no_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shuffle, "directory", lambda: str(tmp_path / "gone"))
    with pytest.raises(NoTemporaryFiles, match="gone takes no file: No such file or directory; TMPDIR"):
        make_file()


def test_a_disk_that_is_full_is_named_too() -> None:
    done = Pass(READ, 1)
    done.take([row(1, SCREENSHOT, "screenshot-created.v1")])
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(NoTemporaryFiles, match="No space left on device; TMPDIR"):
        done.sorter.write(0, 0, SharedFile(full))
    os.close(full)

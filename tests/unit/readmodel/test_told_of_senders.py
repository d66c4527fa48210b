"""What a rebuild reads of senders: an event that cannot be read, whatever the reason, stops no other."""

import pytest

from streamledger.domain.events import Delivery
from streamledger.domain.senders import Shown
from streamledger.ledger import mapper
from streamledger.readmodel.rebuild import senders


def test_an_event_that_the_reader_stumbles_over_is_parked_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = mapper.encode(Delivery(body=b"{}", received_at_us=1, source_ip="198.51.100.7"))

    def shown_by(position: int, delivery: Delivery) -> Shown:
        if position == 2:
            raise KeyError("t")
        return Shown(position, delivery.source_ip, "main", 1, "sign")

    monkeypatch.setattr(senders, "shown_by", shown_by)
    rows = [(position, "room", position, "push-started.v1", stored, None) for position in (1, 2, 3)]
    rows.append((4, "room", 4, "push-started.v9", stored, None))
    shown, errors = senders.told_by(rows)
    assert [each.position for each in shown] == [1, 3]
    assert errors.keys() == {2, 4}
    assert errors[2] == "KeyError: 't'"

"""The senders projection: which addresses are known, which keys stand side by side, which pairs got out.

It takes events in before the sessions do: how they judge a repeated delivery depends on what is known here.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
import psycopg

from streamledger.domain.events import Delivery
from streamledger.domain.forensics import T_DIGITS_MAX
from streamledger.domain.senders import T_AWAY_S_MAX, KeyUse, Pair, Senders, Shown
from streamledger.readmodel.fold.facts import Event, delivery_of
from streamledger.readmodel.projections.view import ProjectionView
from streamledger.tencent.envelope import read_envelope

_encode = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(list[str]).decode


class SendersView(ProjectionView):
    """Keeps what `domain.senders` makes of the believed deliveries, in their order."""

    name = "addresses"
    version = 2
    tables = ("addresses", "key_uses", "keys_beside", "signed_pairs", "delivery_marks")

    def __init__(self, connection: psycopg.Connection[Any], schema: str, suffix: str = "") -> None:
        super().__init__(connection, schema, suffix)
        self._senders: Senders | None = None

    def forget(self) -> None:
        """Read it all again before the next batch."""
        self._senders = None

    def take_in(self, events: Sequence[Event]) -> None:
        """Take deliveries in, in order; within a transaction of the caller."""
        shown = (read_shown(each.position, delivery_of(each)) for each in events)
        self.take_shown(each for each in shown if each is not None)

    def take_shown(self, found: Iterable[Shown]) -> None:
        """The same of what they show."""
        if self._senders is None:
            self._senders = self._read()
        senders = self._senders
        beside = set(senders.beside_from)
        marked = [position for shown in found for position in senders.take(shown)]
        self._write(senders, senders.beside_from.keys() - beside, marked)

    def _read(self) -> Senders:
        senders = senders_of(self.connection, self.suffix)
        for ip, shown in self._rows("SELECT source_ip, shown FROM addresses{} WHERE known_from IS NULL"):
            senders.shown[ip] = tuple(_numbers(shown))
        for key, from_s, until_s in self._rows("SELECT callback_key, from_s, until_s FROM key_uses{}"):
            senders.keys[key] = KeyUse(from_s, until_s)
        columns = "t_s, sign, position, from_known, positions, addresses"
        pairs = self._rows(f"SELECT {columns} FROM signed_pairs{{}} ORDER BY position")  # noqa: S608  # constant
        for t_s, sign, position, from_known, positions, addresses in pairs:
            senders.pairs[t_s, sign] = Pair(position, from_known, _numbers(positions), _texts(addresses))
        return senders

    def _write(self, senders: Senders, beside: Collection[tuple[str, str]], marked: Sequence[int]) -> None:
        self._put(
            "INSERT INTO addresses{} AS a (source_ip, shown, known_from) VALUES (%s, %s, %s)"
            " ON CONFLICT (source_ip) DO UPDATE SET shown = excluded.shown, known_from = excluded.known_from",
            [
                (ip, _encode(senders.shown.get(ip, ())).decode(), senders.known_from.get(ip))
                for ip in sorted(senders.changed_addresses)
            ],
        )
        self._put(
            "INSERT INTO key_uses{} AS k (callback_key, from_s, until_s) VALUES (%s, %s, %s)"
            " ON CONFLICT (callback_key) DO UPDATE SET from_s = excluded.from_s, until_s = excluded.until_s",
            [
                (key, senders.keys[key].from_s, senders.keys[key].until_s)
                for key in sorted(senders.changed_keys)
            ],
        )
        self._put(
            "INSERT INTO keys_beside{} (one, other, from_position) VALUES (%s, %s, %s)",
            [(*names, senders.beside_from[names]) for names in sorted(beside)],
        )
        self._put("DELETE FROM signed_pairs{} WHERE t_s = %s AND sign = %s", sorted(senders.gone_pairs))
        self._put(
            "INSERT INTO signed_pairs{} AS p (t_s, sign, position, from_known, positions, addresses)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (t_s, sign) DO UPDATE SET"
            " position = excluded.position, from_known = excluded.from_known,"
            " positions = excluded.positions, addresses = excluded.addresses",
            [
                (
                    *(*key, pair.position, pair.from_known),
                    *(_encode(pair.positions).decode(), _encode(pair.addresses).decode()),
                )
                for key in sorted(senders.changed_pairs)
                for pair in [senders.pairs[key]]
            ],
        )
        self._put(
            "INSERT INTO delivery_marks{} (position) VALUES (%s) ON CONFLICT DO NOTHING",
            [(position,) for position in marked],
        )
        senders.changed_addresses.clear()
        senders.changed_keys.clear()
        senders.changed_pairs.clear()
        senders.gone_pairs.clear()

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql.format(self.suffix)).fetchall()

    def _put(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            with self.connection.cursor() as cursor:
                cursor.executemany(sql.format(self.suffix), rows)


def read_shown(position: int, delivery: Delivery) -> Shown | None:
    """What a delivery tells of senders, read from its body if it may tell anything."""
    if delivery.key is None or not delivery.source_ip:
        return None
    envelope = read_envelope(delivery.body)
    return shown_by(position, delivery, t_shown(envelope.t), envelope.sign)


def t_shown(t: str | None) -> int | None:
    """The `t` of an envelope, unless it is too long for a time."""
    return None if t is None or len(t) > T_DIGITS_MAX else int(t)


def shown_by(position: int, delivery: Delivery, t_s: int | None, sign: str | None) -> Shown | None:
    """What a delivery tells of senders: one with an address, verified, and at no time of an operator's."""
    believed, source_ip = delivery.believed, delivery.source_ip
    if t_s is None or not sign or not source_ip:
        return None
    if abs(t_s - delivery.received_at_us // 1_000_000) > T_AWAY_S_MAX:
        return None
    if believed.key is None or believed.release is not None:
        return None
    return Shown(position, source_ip, believed.key, t_s, sign)


def senders_of(connection: psycopg.Connection[Any], suffix: str = "") -> Senders:
    """What is known of addresses and keys, each with the position from which on.

    Of a generation that has no such tables of its own, as only others are rebuilt, the live ones tell.
    """
    senders = Senders()
    found = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (f"addresses{suffix}",)).fetchone()
    if found is None or not found[0]:
        suffix = ""
    known = f"SELECT source_ip, known_from FROM addresses{suffix} WHERE known_from IS NOT NULL"  # noqa: S608  # constant names
    for ip, position in connection.execute(known).fetchall():
        senders.known_from[ip] = position
    beside = f"SELECT one, other, from_position FROM keys_beside{suffix}"  # noqa: S608  # likewise
    for one, other, position in connection.execute(beside).fetchall():
        senders.beside_from[one, other] = position
    return senders

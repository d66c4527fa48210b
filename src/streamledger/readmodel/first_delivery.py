"""The row of a notification's first delivery, as nearly every delivery is, and how it is found again."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from streamledger.domain import forensics
from streamledger.domain.forensics import Evidence, Judged
from streamledger.readmodel.delivery_rows import DeliveryRow
from streamledger.readmodel.facts import PlainMedia
from streamledger.readmodel.rows import copy_line
from streamledger.tencent.expiry import SIGNATURE_VALIDITY_S

EVIDENCE_KEPT_MAX: Final = 10_000
"""Evidence of first deliveries whose text is remembered: there are some hundred, unless all are late."""

_T_END: Final = 10**forensics.T_DIGITS_MAX
"""From here on a `t` is no time."""

_encode = msgspec.json.Encoder(order="deterministic").encode
_sha256: Final = hashlib.sha256


def identity_of(stream_id: str, kind: str, key: str) -> bytes:
    """Sixteen bytes that stand for a notification; the stream is "" when it names none.

    None of the three can hold a NUL. In `deliveries` they are a uuid, and its hexadecimal digits in a row;
    `delivery_rows.IDENTITY_SQL` is the same in SQL.
    """
    return _sha256("\0".join((stream_id, kind, key)).encode()).digest()[:16]


def identities_of(lane: Iterable[PlainMedia]) -> list[str]:
    """The hexadecimal digits of the same, of many that are plain."""
    return [
        _sha256(f"{media.stream_id}\0{media.kind}\0{media.key}".encode()).hexdigest()[:32] for media in lane
    ]


def first_row(
    *,
    position: int,
    identity: str,
    stream_id: str,
    sequence: str,
    event_type: int,
    received_ms: int,
    source_ip: str,
    callback_key: str | None,
    t: str | None,
    happened_ms: int | None,
    was_released: bool,
) -> DeliveryRow:
    """The row of a delivery before which none of its notification is in the ledger.

    `identity` is the hexadecimal digits of the notification's.
    Neither its content nor its bytes matter: they are looked at when another delivery comes.
    """
    late_s, signed_after_s = forensics.times_of_signature(t, received_ms, happened_ms, SIGNATURE_VALIDITY_S)
    judged_as, signed_early, evidence = _told(late_s, signed_after_s, was_released)
    return DeliveryRow(
        position=position,
        first_position=position,
        stream_id=stream_id,
        sequence=sequence,
        event_type=event_type,
        received_ms=received_ms,
        judged_as=judged_as,
        try_number=None,
        source_ip=source_ip,
        callback_key=callback_key or "",
        signed_early=signed_early,
        evidence=evidence,
        identity=identity,
    )


def first_lines(lane: Iterable[PlainMedia], identities: Iterable[str]) -> list[str]:
    """The lines of plain media, none of which was delivered before, with the digits of their identities."""
    lines = []
    for media, identity in zip(lane, identities, strict=True):
        delivery, t, happened_ms = media.delivery, media.t, media.until_ms
        received_ms = delivery.received_at_us // 1000
        source_ip, callback_key = delivery.source_ip, delivery.key or ""
        if not t or t >= _T_END or received_ms > t * 1000 or not _is_simple(source_ip, callback_key):
            row = first_row(
                position=media.position,
                identity=identity,
                stream_id=media.stream_id,
                sequence="",
                event_type=media.event_type,
                received_ms=received_ms,
                source_ip=source_ip,
                callback_key=callback_key,
                t=None if t is None else str(t),
                happened_ms=happened_ms,
                was_released=False,
            )
            lines.append(copy_line(row))
            continue
        judged = _told_in_line(t - SIGNATURE_VALIDITY_S - happened_ms // 1000)
        lines.append(
            f"{media.position}\t{media.position}\t{media.stream_id}\t\t{media.event_type}\t{received_ms}"
            f"\t{judged[0]}\t{source_ip}\t{callback_key}\t{judged[1]}\t{identity}"
        )
    return lines


@lru_cache(EVIDENCE_KEPT_MAX)
def _told_in_line(signed_after_s: int) -> tuple[str, str]:
    # Class and number of the try; mark and evidence.
    judged_as, signed_early, evidence = _told(None, signed_after_s, False)
    return f"{judged_as}\t\\N", f"{'t' if signed_early else 'f'}\t{evidence}"


def evidence_text(evidence: Evidence) -> str:
    """Evidence as rows hold it."""
    return _encode(evidence).decode()


def is_signed_early(judged: Judged) -> bool:
    """Whether the mark of a captured signature is on it."""
    return "signed_early" in judged.evidence.because


@lru_cache(EVIDENCE_KEPT_MAX)
def _told(late_s: float | None, signed_after_s: int | None, was_released: bool) -> tuple[str, bool, str]:
    judged = forensics.first_by(late_s, signed_after_s, was_released=was_released)
    return judged.judged_as.value, is_signed_early(judged), evidence_text(judged.evidence)


@lru_cache(1000)
def _is_simple(source_ip: str, callback_key: str) -> bool:
    together = source_ip + callback_key
    return together.isprintable() and "\\" not in together

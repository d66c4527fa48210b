"""Explanations: the answer about a session at a moment, with the deliveries and the rules behind it."""

import msgspec

from streamledger.domain import explanation
from streamledger.domain.answers import Session
from streamledger.domain.attributed import REASONS
from streamledger.domain.explanation import AttributionExplanation, Delivered, FieldExplanation, Rule
from streamledger.domain.instants import instant_ms
from streamledger.domain.kinds import ATTRIBUTED_KINDS
from streamledger.readmodel.fold.sweep import item_of
from streamledger.readmodel.moments import session as past
from streamledger.readmodel.moments.moment import Asked
from streamledger.readmodel.moments.queries import PastQueries
from streamledger.readmodel.moments.session import PastSession
from streamledger.readmodel.queries.cursors import decode_cursor, encode_cursor
from streamledger.readmodel.queries.sessions import LIMIT_DEFAULT, Page, entry_key
from streamledger.tencent.redaction import may_hold_secret, redact
from streamledger.tencent.shown_body import SHOWN_BYTES_MAX, shortened

_LISTING = "attributions"


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A session, explained."""

    session: Session
    fields: list[FieldExplanation]
    attributions: Page[AttributionExplanation]
    """Of its recordings and screenshots, in order of time."""


async def explain(
    queries: PastQueries,
    sequence: str,
    asked: Asked,
    stream_id: str | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Explanation:
    """Why the session's answer is as it is, at a moment. Raises as `PastQueries.session` does."""
    after = None
    if cursor is not None:
        at_ms, kind, key = decode_cursor(_LISTING, cursor, (int, str, str))
        after = (at_ms, kind, key)
    async with queries.found(sequence, asked, stream_id) as (found, shared):
        session = await queries.answer(found, asked, shared=shared)
        rows, more = await past.page_of(found, None, after, limit, kinds=ATTRIBUTED_KINDS)
        facts = await found.tables.facts_of(rows, copies=False)
        slack_ms = found.tables.moment.slack_ms
    items = {fact.position: item_of(fact.notification) for fact in facts}
    attributions = []
    for row in (row for row in rows if row.position in items):
        decided, candidates = explanation.explain_attribution(
            items[row.position], found.spans, sequence, slack_ms
        )
        if decided is not None:
            attributions.append(
                AttributionExplanation(
                    position=row.position,
                    kind=row.kind,
                    key=redact(row.key),
                    at=instant_ms(row.at_ms),
                    until=instant_ms(row.until_ms) if row.until_ms != row.at_ms else None,
                    confidence=decided.confidence.value,
                    because=[Rule(code, REASONS.get(code, code)) for code in decided.because],
                    candidates=candidates,
                )
            )
    next_cursor = encode_cursor(_LISTING, list(entry_key(rows[-1]))) if more else None
    return Explanation(
        session=session,
        fields=fields_of(found, session),
        attributions=Page(attributions, next_cursor),
    )


def fields_of(found: PastSession, session: Session) -> list[FieldExplanation]:
    """Why each field of a session's answer is so, from what was read of it."""
    delivered = [Delivered(fact.position, fact.notification) for fact in found.facts]
    return _without_secrets(explanation.explain_fields(session, found.row.fold, delivered))


async def explain_now(queries: PastQueries, session: Session) -> list[FieldExplanation]:
    """Why each field of a session's answer of now is so: reads only the deliveries that define it."""
    row, facts = await queries.defined_by(session.stream_id, session.sequence)
    delivered = [Delivered(fact.position, fact.notification) for fact in facts]
    return _without_secrets(explanation.explain_fields(session, row.fold, delivered))


def _without_secrets(fields: list[FieldExplanation]) -> list[FieldExplanation]:
    """The session's own values are redacted already; what they overruled is as it was sent."""
    encoded = msgspec.json.encode(fields)
    is_long = len(encoded) > SHOWN_BYTES_MAX
    if not is_long and not may_hold_secret(encoded.decode()):
        return fields
    said = msgspec.to_builtins(fields)
    shown: list[FieldExplanation] = msgspec.convert(
        redact(shortened(said) if is_long else said), list[FieldExplanation]
    )
    return shown

"""The rows of a session's table as HTML: a template takes four times as long for them.

What a notification leaves out, its entry leaves out: every fact of a detail is asked for with `get`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from streamledger.domain.answers import TimelineEntry
from streamledger.domain.attribution import REASONS
from streamledger.domain.notification import Kind
from streamledger.web.pages.formats import day_and_time, delay, short, size, web_address
from streamledger.web.pages.saying import abnormal
from streamledger.web.pages.session_picture import image_of, manner_of
from streamledger.web.pages.words import Words

REASON_CODES = {text: code for code, text in REASONS.items()}
"""From the words of an attribution's reason to its code, by which a page finds it in other languages."""


def entry_rows(t: Words, entries: Sequence[TimelineEntry]) -> Markup:
    """A row for each entry: when, what, what it says, how it was delivered, why it belongs here."""
    return Markup("\n").join(_row(t, entry) for entry in entries)


def _row(t: Words, entry: TimelineEntry) -> Markup:
    position, kind = entry.position, escape(entry.kind)
    conflicts = ""
    if entry.conflicts:
        conflicts = f' <span class="tag warn">{escape(t("session.conflicts", count=entry.conflicts))}</span>'
    return Markup(  # noqa: S704  # what is text is escaped, the rest are numbers, instants and names of ours
        f'<tr id="entry-{position}">'
        f'<td><time datetime="{entry.at}" class="num">{day_and_time(entry.at)}</time></td>'
        f'<td><span class="kind {kind}">{escape(t.named("kind", entry.kind))}</span></td>'
        f'<td class="detail">{summary(t, entry)}</td>'
        f'<td class="right num {manner_of(entry)}">{delay(entry.delay_ms)}</td>'
        f'<td class="right num">{entry.deliveries}{conflicts}</td>'
        f"<td>{_because(t, entry)}</td>"
        f'<td class="right num"><a href="/audit/{position}">{position}</a></td></tr>'
    )


def summary(t: Words, entry: TimelineEntry) -> Markup:
    """What an entry says, in a few words."""
    said: Mapping[str, Any] = entry.detail
    match entry.kind:
        case Kind.RECORDING:
            return _recording(t, said)
        case Kind.SCREENSHOT:
            return _screenshot(entry, said)
        case Kind.PUSH_ERROR:
            counts = [
                f"{abnormal(t, event['type'], event.get('description'))} ×{event['count']}"
                for event in said.get("abnormal_events", ())
            ]
            return escape("; ".join(counts))
        case Kind.PUSH_STOPPED:
            return escape(f"{said.get('errcode', '–')} {short(str(said.get('errmsg', '')), 100)}")
        case Kind.PUSH_STARTED:
            return escape(f"{said.get('user_ip', '')} → {said.get('node', '')}")
        case Kind.RECORDING_STATUS | Kind.RECORDING_EXCEPTION:
            told = said.get("record_event") or said.get("exception_type") or said.get("description") or ""
            return escape(short(str(told), 100))
        case _:
            return escape(short(str(said.get("event_type", "")), 40))


def file_format(entry: TimelineEntry) -> str:
    """The format of a recording's file as it was sent, `?` where it was not."""
    return str(entry.detail.get("file_format") or "?")


def _recording(t: Words, said: Mapping[str, Any]) -> Markup:
    name, url = escape(said.get("file_format") or "?"), web_address(said.get("video_url"))
    parts = [name if url is None else _link(url, name)]
    if (duration_s := said.get("duration_s")) is not None:
        parts.append(escape(t("session.duration_s", count=duration_s)))
    if (file_bytes := said.get("file_bytes")) is not None:
        parts.append(escape(size(file_bytes)))
    return Markup(" · ").join(parts)


def _screenshot(entry: TimelineEntry, said: Mapping[str, Any]) -> Markup:
    name, url = str(said.get("pic_url") or ""), image_of(entry)
    if url is None:
        return escape(short(name, 56))
    last = (name or url).rpartition("/")[2]
    return _link(url, escape(short(last or url, 56)), is_image=True)


def _link(url: str, name: Markup, *, is_image: bool = False) -> Markup:
    address = escape(url)
    image = f' data-image="{address}"' if is_image else ""
    return Markup(f'<a href="{address}" rel="noreferrer noopener"{image}>{name}</a>')  # noqa: S704  # both escaped


def _because(t: Words, entry: TimelineEntry) -> Markup:
    """How sure it is that the entry belongs to this session, and why if it is not certain."""
    found = entry.attribution
    if found is None:
        return Markup()
    words = escape(t.named("confidence", found.confidence))
    tag = f'<span class="tag {escape(found.confidence)}">{words}</span>'
    if found.confidence != "certain":
        reasons = "; ".join(t.named("because", REASON_CODES.get(reason, reason)) for reason in found.because)
        tag += f"<br><small>{escape(reasons)}</small>"
    return Markup(tag)  # noqa: S704  # what is text is escaped above

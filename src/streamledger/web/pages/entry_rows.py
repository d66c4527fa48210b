"""The rows of a session's table as HTML: a template takes four times as long for them.

What a notification leaves out, its entry leaves out: every fact of a detail is asked for with `get`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from streamledger.domain.answers import TimelineEntry
from streamledger.domain.forensic_words import span
from streamledger.domain.kinds import ROW_BY_KIND
from streamledger.domain.notification import Kind
from streamledger.readmodel.queries.runs import Item, Run
from streamledger.web.images import host_of
from streamledger.web.pages.formats import (
    day_and_time,
    delay,
    image_address,
    number,
    short,
    size,
    web_address,
)
from streamledger.web.pages.links import delivery_path
from streamledger.web.pages.saying import abnormal
from streamledger.web.pages.session_picture import image_of, manner_of
from streamledger.web.pages.words import Words


def entry_rows(t: Words, entries: Sequence[Item]) -> Markup:
    """A row for each entry or run: when, what, what it says, how it was delivered, what is unusual."""
    return Markup("\n").join(_run(t, each) if isinstance(each, Run) else _row(t, each) for each in entries)


def _row(t: Words, entry: TimelineEntry) -> Markup:
    position, kind = entry.position, escape(entry.kind)
    labels = {name: escape(t(f"session.{name}")) for name in ("delay", "deliveries", "position")}
    return Markup(  # noqa: S704  # what is text is escaped, the rest are numbers, instants and names of ours
        f'<tr id="entry-{position}">'
        f'<td><time datetime="{entry.at}" class="num">{day_and_time(entry.at)}</time></td>'
        f'<td class="top-right"><span class="kind {kind}">{escape(t.named("kind", entry.kind))}</span></td>'
        f'<td class="detail">{summary(t, entry)}</td>'
        f'<td class="right num {manner_of(entry)}" data-label="{labels["delay"]}">'
        f"{delay(entry.delay_ms)}</td>"
        f'<td class="right num" data-label="{labels["deliveries"]}">{entry.deliveries}</td>'
        f"<td>{_unusual(t, entry)}</td>"
        f'<td class="right num" data-label="{labels["position"]}">'
        f'<a href="{delivery_path(position)}">{position}</a></td></tr>'
    )


def _run(t: Words, run: Run) -> Markup:
    """Screenshots in a row on one line, and a strip of some of them that opens."""
    said = escape(t("session.run", count=number(run.count), step=span(run.step_ms / 1000, _units(t))))
    odd = [("session.run_repeated", run.repeated), ("session.run_unsure", run.unsure)]
    tags = " ".join(
        f'<span class="tag warn">{escape(t(key, count=number(count)))}</span>' for key, count in odd if count
    )
    shots = "".join(f"<li>{_shot(t, entry)}</li>" for entry in run.shots)
    return Markup(  # noqa: S704  # as above
        f'<tr id="run-{run.position}" class="run">'
        f'<td><time datetime="{run.from_at}" class="num">{day_and_time(run.from_at)}</time>'
        f' <span class="until">– <time datetime="{run.until_at}" class="num">'
        f"{day_and_time(run.until_at)[11:]}</time></span></td>"
        f'<td class="top-right"><span class="kind screenshot">{escape(t("kind.screenshot"))}</span></td>'
        f'<td class="detail" colspan="3"><details id="strip-{run.position}"><summary>{said}</summary>'
        f'<ul class="strip">{shots}</ul></details></td>'
        f"<td>{tags}</td>"
        f'<td class="right num"><a href="{delivery_path(run.position)}">{run.position}…</a></td></tr>'
    )


def _shot(t: Words, entry: TimelineEntry) -> Markup:
    at, url = day_and_time(entry.at)[11:], image_of(entry)
    time = f'<time datetime="{entry.at}">{at}</time>'
    if url is None:
        return Markup(f'<a href="{delivery_path(entry.position)}" class="num">{time}</a>')  # noqa: S704  # numbers
    address = escape(url)
    picture = ""
    if image_address(url):
        picture = (
            f'<img src="{address}" alt="" loading="lazy" decoding="async" referrerpolicy="no-referrer"'
            ' width="128" height="72">'
        )
    label = escape(t("session.open_picture", at=day_and_time(entry.at)))
    return Markup(  # noqa: S704  # escaped above
        f'<a href="{address}" rel="noreferrer noopener" class="num" aria-label="{label}">{picture}{time}</a>'
    )


def _units(t: Words) -> Callable[..., str]:
    return lambda key, /, **facts: t(f"evidence.{key}", **facts)


def summary(t: Words, entry: TimelineEntry) -> Markup:
    """What an entry says, in a few words."""
    said: Mapping[str, Any] = entry.detail
    if said.get("not_shown") in ("too_large", "unreadable"):
        return escape(t(f"not_shown.{said['not_shown']}"))
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
        case kind:
            told = (said.get(name) for name in ROW_BY_KIND[Kind(kind)].told)
            return escape(short(str(next((found for found in told if found is not None), "")), 100))


def file_format(entry: TimelineEntry) -> str:
    """The format of a recording's file as it was sent, `?` where it was not."""
    return str(entry.detail.get("file_format") or "?")


def _recording(t: Words, said: Mapping[str, Any]) -> Markup:
    name, url = escape(said.get("file_format") or "?"), web_address(said.get("video_url"))
    parts = [name if url is None else _link(url, name)]
    if (duration_ms := said.get("duration_ms")) is not None:
        parts.append(escape(t("session.duration_s", count=f"{duration_ms / 1000:g}")))
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
    image = f' data-image="{address}"' if is_image and image_address(url) else ""
    if is_image and not image:
        image = f' title="{escape(host_of(url))}"'
    return Markup(f'<a href="{address}" rel="noreferrer noopener"{image}>{name}</a>')  # noqa: S704  # both escaped


def _unusual(t: Words, entry: TimelineEntry) -> Markup:
    """What is not as with most: delivered again, with other contents, or not sure to belong here, and why."""
    parts = []
    if entry.conflicts:
        at_least = entry.conflicts_at_least
        count = t("anomaly_detail.at_least", count=entry.conflicts) if at_least else entry.conflicts
        parts.append(_tag(t("session.conflicts", count=count), "warn"))
    found = entry.attribution
    if found is not None and found.confidence != "certain":
        reasons = escape("; ".join(t.named("because", code) for code in found.codes))
        parts.append(_tag(t.named("confidence", found.confidence), found.confidence))
        parts.append(Markup(f"<br><small>{reasons}</small>"))  # noqa: S704  # escaped above
    return Markup(" ").join(parts)


def _tag(text: str, manner: str) -> Markup:
    return Markup(f'<span class="tag {escape(manner)}">{escape(text)}</span>')  # noqa: S704  # escaped

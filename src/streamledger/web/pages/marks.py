"""The many small marks of a session's picture as SVG text: a template takes three times as long for them."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from streamledger.web.images import host_of
from streamledger.web.pages.formats import day_and_time, delay, image_address
from streamledger.web.pages.links import delivery_path
from streamledger.web.pages.session_picture import Dot, Mark
from streamledger.web.pages.words import Words


def screenshot_marks(t: Words, marks: Sequence[Mark]) -> Markup:
    """A tick for each screenshot; a link to its image where it has one that can be shown."""
    last = len(marks) - 1
    return Markup("\n").join(_screenshot(t, mark, is_last=place == last) for place, mark in enumerate(marks))


def _screenshot(t: Words, mark: Mark, *, is_last: bool) -> Markup:
    at = day_and_time(mark.entry.at)
    where = f'x="{mark.x - 2:g}" y="{mark.y + 6:g}" width="4" height="18" rx="1.5"'
    if mark.image is None:
        return Markup(f'<rect class="shot dim" {where}><title>{at}</title></rect>')  # noqa: S704  # numbers
    image, label = escape(mark.image), escape(t("session.open_picture", at=at))
    shows = f' data-image="{image}"' if image_address(mark.image) else ""
    return Markup(  # noqa: S704  # what is text is escaped above, the rest are numbers
        f'<a id="shot-{mark.entry.position}" href="{image}" rel="noreferrer noopener"'
        f' tabindex="{0 if is_last else -1}" data-caption="{at}" aria-label="{label}"{shows}>'
        f'<rect class="shot" {where}><title>{escape(host_of(mark.image))}</title></rect></a>'
    )


def delivery_dots(t: Words, dots: Sequence[Dot]) -> Markup:
    """A dot for each delivery that leads to it, with its kind, class and delay."""
    last = len(dots) - 1
    return Markup("\n").join(_dot(t, dot, is_last=place == last) for place, dot in enumerate(dots))


def _dot(t: Words, dot: Dot, *, is_last: bool) -> Markup:
    label = escape(
        f"{t.named('kind', dot.entry.kind)} · {t.named('class', dot.class_)} · {delay(dot.delay_ms)}"
    )
    return Markup(  # noqa: S704  # what is text is escaped above, the rest are numbers and names of ours
        f'<a href="{delivery_path(dot.position)}" id="dot-{dot.position}"'
        f' tabindex="{0 if is_last else -1}" aria-label="{label}">'
        f'<circle class="dot {dot.manner}" cx="{dot.x:g}" cy="{dot.y:g}" r="3.5">'
        f"<title>{label}</title></circle></a>"
    )

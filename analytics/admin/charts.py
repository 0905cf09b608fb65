"""Small charts, drawn on the server: their numbers are told in words, too, and a table is never far."""

from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

HEIGHT = 28
STEP = 5  # from day to day, in units of the drawing


def bars(values: Sequence[float | None], told: str, *, width: int = STEP) -> SafeString:
    """A bar for each; a dot on the ground for a nought, and nothing where nothing is known."""
    top = max([value or 0 for value in values] + [1])
    drawn = [
        (at * width, HEIGHT - height, width - 1, height)
        for at, value in enumerate(values)
        if value is not None
        for height in (max(1.0, round(value / top * HEIGHT, 1)),)
    ]
    shapes = format_html_join("", '<rect x="{}" y="{}" width="{}" height="{}"/>', drawn)
    return _drawing(len(values) * width, told, shapes)


def line(
    values: Sequence[float | None], told: str, *, low: float | None = None, high: float | None = None
) -> SafeString:
    """From the oldest to the newest, before the band in which the newest was expected; the newest has a dot."""
    known = [(at, value) for at, value in enumerate(values) if value is not None]
    if not known:
        return format_html('<span class="desk-none">{}</span>', "not yet")
    top = max(*(value for _, value in known), high or 0, 1e-9)
    points = [(at * STEP + 2, round(HEIGHT - 1 - value / top * (HEIGHT - 3), 1)) for at, value in known]
    path = " ".join(f"{x},{y}" for x, y in points)
    band = ""
    if low is not None and high is not None:
        upper, lower = (round(HEIGHT - 1 - edge / top * (HEIGHT - 3), 1) for edge in (high, low))
        shape = '<rect class="desk-band" x="0" y="{}" width="{}" height="{}"/>'
        band = format_html(shape, upper, len(values) * STEP, max(1, lower - upper))
    newest = known[-1][1]
    is_off = low is not None and high is not None and not low <= newest <= high
    shapes = format_html(
        '{}<polyline points="{}"/><circle class="{}" cx="{}" cy="{}" r="2"/>',
        *(band, path, "is-absent" if is_off else "", *points[-1]),
    )
    return _drawing(len(values) * STEP, told, shapes)


def _drawing(width: int, told: str, shapes: SafeString) -> SafeString:
    return format_html(
        '<svg class="desk-spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img" aria-label="{}">{}</svg>',
        *(width, HEIGHT, width, HEIGHT, told, shapes),
    )

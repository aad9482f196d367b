"""A timeline as SVG: readable without script, in print, and in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from reports.html.timeline import Points, Timeline

_WIDTH, _HEIGHT = 960, 410
_LEFT, _RIGHT = 58, 946
_LATENCY = (34, 214)
_RATE = (258, 376)
_STEPS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to pixels, straight or logarithmic."""

    low: float
    high: float
    first_px: float
    last_px: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (
            (math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low)))
            if self.log
            else (self.low, self.high, value)
        )
        return self.first_px + (value - low) / (high - low) * (self.last_px - self.first_px)


def draw(timeline: Timeline) -> Markup:
    """The timeline as an ``svg`` element."""
    time = _Scale(0.0, max(timeline.length_s, 1.0), _LEFT, _RIGHT)
    parts = [
        *_shades(timeline, time),
        *_latency(timeline, time),
        *_rate(timeline, time),
        *_seconds(timeline, time),
    ]
    head = Markup(
        '<svg class="timeline" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
        'aria-label="{label}">'
    ).format(w=_WIDTH, h=_HEIGHT, label=timeline.described)
    return Markup("").join([head, *parts, Markup("</svg>")])


def _latency(timeline: Timeline, time: _Scale) -> Iterator[Markup]:
    known = [
        value
        for points in (timeline.p50_ms, timeline.p99_ms, timeline.max_ms)
        for value in points
        if value is not None and value > 0
    ]
    low = 10.0 ** math.floor(math.log10(min(known, default=1.0)))
    high = 10.0 ** math.ceil(math.log10(max(known, default=10.0)))
    scale = _Scale(low, max(high, low * 10), _LATENCY[1], _LATENCY[0], log=True)
    yield _text(_LEFT, _LATENCY[0] - 14, "latency in ms, logarithmic", "title")
    decade = low
    while decade <= scale.high * 1.001:
        yield _grid(scale(decade), f"{decade:g}")
        decade *= 10
    for points, kind in (
        (timeline.max_ms, "max"),
        (timeline.p99_ms, "p99"),
        (timeline.p50_ms, "p50"),
    ):
        yield from _line(timeline.seconds, points, time, scale, kind)


def _rate(timeline: Timeline, time: _Scale) -> Iterator[Markup]:
    highest = max(
        (value or 0.0 for points in (timeline.offered, timeline.failed) for value in points),
        default=0.0,
    )
    scale = _Scale(0.0, max(highest * 1.15, 1.0), _RATE[1], _RATE[0])
    yield _text(_LEFT, _RATE[0] - 14, "requests per second", "title")
    for value in (0.0, *([highest / 2, highest] if highest else [])):
        yield _grid(scale(value), f"{value:g}")
    for points, kind in (
        (timeline.offered, "offered"),
        (timeline.good, "good"),
        (timeline.failed, "failed"),
    ):
        yield from _line(timeline.seconds, points, time, scale, kind)


def _shades(timeline: Timeline, time: _Scale) -> Iterator[Markup]:
    for shade in timeline.shades:
        left, right = time(shade.start_s), time(shade.end_s)
        note = " (end not seen)" if shade.open_end else ""
        yield Markup(
            '<rect class="fault" x="{x:.1f}" y="{y}" width="{w:.1f}" height="{h}">'
            "<title>{label}{note}: {start:.1f} s to {end:.1f} s</title></rect>"
        ).format(
            x=left,
            y=_LATENCY[0],
            w=max(2.0, right - left),
            h=_RATE[1] - _LATENCY[0],
            label=shade.label,
            note=note,
            start=shade.start_s,
            end=shade.end_s,
        )
    named: set[str] = set()
    for shade in timeline.shades:
        if shade.label not in named:
            row = len(named)
            named.add(shade.label)
            # Near the right edge the name stands left of its mark.
            anchor = "end" if shade.start_s > timeline.length_s * 0.7 else "start"
            x = time(shade.start_s) + (-6 if anchor == "end" else 6)
            yield _text(x, _LATENCY[0] + 14 + 15 * row, shade.label, "fault-name", anchor)


def _seconds(timeline: Timeline, time: _Scale) -> Iterator[Markup]:
    step = next((one for one in _STEPS if timeline.length_s / one <= 12), _STEPS[-1])
    second = 0.0
    while second <= timeline.length_s:
        yield _text(time(second), _RATE[1] + 18, f"{second:g}", "tick", "middle")
        second += step
    yield _text(_RIGHT, _RATE[1] + 32, "seconds since the load began", "tick", "end")


def _line(
    seconds: Sequence[float], points: Points, time: _Scale, scale: _Scale, kind: str
) -> Iterator[Markup]:
    """A line with a gap where there is no value; a lone value is a dot."""
    run: list[str] = []
    for second, value in [*zip(seconds, points, strict=True), (0.0, None)]:
        if value is not None:
            run.append(f"{time(second + 0.5):.1f},{scale(value):.1f}")
            continue
        if run:
            ends = [*run, run[0]] if len(run) == 1 else run
            yield Markup('<polyline class="line {kind}" points="{points}"/>').format(
                kind=kind, points=" ".join(ends)
            )
        run = []


def _grid(y: float, label: str) -> Markup:
    line = Markup('<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
    drawn = line.format(left=_LEFT, right=_RIGHT, y=y)
    return drawn + _text(_LEFT - 8, y + 4, label, "tick", "end")


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    return Markup('<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">').format(
        kind=kind, x=x, y=y, anchor=anchor
    ) + Markup("{}</text>").format(escape(text))

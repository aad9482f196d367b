"""The timelines once more as Bokeh plots, to zoom into and to read values from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bokeh.embed import components
from bokeh.layouts import column
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.models.annotations import BoxAnnotation
from bokeh.models.layouts import LayoutDOM
from bokeh.models.ranges import Range1d
from bokeh.plotting import figure
from bokeh.resources import Resources
from markupsafe import Markup

from reports.html.timeline import Points, Timeline

# Legible on a light and on a dark page alike.
_TEXT = "#7d8590"
_GRID = "#8b949e"
_COLOURS: Mapping[str, str] = {
    "p50": "#2f81f7",
    "p99": "#a371f7",
    "max": "#8b949e",
    "offered": "#8b949e",
    "good": "#2da44e",
    "failed": "#e5534b",
    "fault": "#d29922",
}


def library() -> Markup:
    """Bokeh itself as script elements, without any address outside of the page."""
    # Bokeh's own output is trusted as it is; what we hand to it, it keeps as JSON.
    return Markup(Resources(mode="inline", components=["bokeh"]).render())


def plots(timelines: Sequence[Timeline]) -> tuple[Markup, tuple[Markup, ...]]:
    """One script for all plots, and the element in which each is to appear."""
    if not timelines:
        return Markup(""), ()
    script, elements = components([_plot(one) for one in timelines], wrap_script=True)
    return Markup(script), tuple(Markup(one) for one in elements)


def _plot(timeline: Timeline) -> LayoutDOM:
    seconds = [second + 0.5 for second in timeline.seconds]
    shared = Range1d(start=0, end=max(1.0, timeline.length_s), bounds="auto")
    latency = _figure("latency in ms", shared, logarithmic=True)
    for name, points in (
        ("max", timeline.max_ms),
        ("p99", timeline.p99_ms),
        ("p50", timeline.p50_ms),
    ):
        _line(latency, name, seconds, points, "ms")
    rate = _figure("requests per second", shared, logarithmic=False)
    for name, points in (
        ("offered", timeline.offered),
        ("good", timeline.good),
        ("failed", timeline.failed),
    ):
        _line(rate, name, seconds, points, "per second")
    for one in (latency, rate):
        for shade in timeline.shades:
            one.add_layout(
                BoxAnnotation(
                    left=shade.start_s,
                    right=shade.end_s,
                    fill_color=_COLOURS["fault"],
                    fill_alpha=0.18,
                    line_color=None,
                )
            )
        one.legend.click_policy = "hide"
        one.legend.orientation = "horizontal"
        one.legend.background_fill_alpha = 0.0
        one.legend.border_line_color = None
        one.legend.label_text_color = _TEXT
        one.add_layout(one.legend[0], "above")
    return column(latency, rate, sizing_mode="stretch_width")


def _figure(title: str, shared: Range1d, *, logarithmic: bool) -> figure:
    plot = figure(
        height=240,
        sizing_mode="stretch_width",
        x_range=shared,
        y_axis_type="log" if logarithmic else "linear",
        y_axis_label=title,
        tools="xpan,xwheel_zoom,xbox_zoom,reset",
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    plot.toolbar.logo = None
    for axis in plot.axis:
        axis.axis_label_text_color = _TEXT
        axis.major_label_text_color = _TEXT
        axis.axis_line_color = _GRID
        axis.major_tick_line_color = _GRID
        axis.minor_tick_line_color = None
    for grid in plot.grid:
        grid.grid_line_color = _GRID
        grid.grid_line_alpha = 0.25
    return plot


def _line(plot: figure, name: str, seconds: Sequence[float], points: Points, unit: str) -> None:
    source = ColumnDataSource(
        {"second": list(seconds), "value": [math.nan if one is None else one for one in points]}
    )
    drawn = plot.line(
        "second",
        "value",
        source=source,
        legend_label=name,
        line_color=_COLOURS[name],
        line_width=1.8,
    )
    tips = [(name, f"@value{{0.0}} {unit}"), ("second", "@second{0}")]
    plot.add_tools(HoverTool(renderers=[drawn], tooltips=tips, mode="mouse"))

"""The one page of a report: everything in one file that opens from the disk, without network."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.html import comparison, sections, wording, zoom
from reports.html.drawing import draw
from reports.html.timeline import timeline
from reports.model import Results
from reports.summary import counts

_FOLDER = Path(__file__).parent


def render(results: Results) -> str:
    """The page; whatever tests and deployments have said is escaped."""
    templates = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        seconds=wording.seconds,
        milliseconds=wording.milliseconds,
        octets=wording.octets,
        plain=wording.plain,
        moment=wording.moment,
    )
    timelines = [timeline(load, results) for load in results.loads]
    script, plots = zoom.plots(timelines)
    return templates.get_template("page.html.j2").render(
        results=results,
        counts=counts(results),
        families=sections.families(results),
        loads=list(zip(results.loads, timelines, map(draw, timelines), plots, strict=True)),
        experiments=sections.experiments(results),
        memory=sections.memory(results.facts),
        comparison=comparison.rows(results.comparison),
        disks=sections.disks(results.facts),
        facts=sections.other_facts(results.facts),
        paper_mb=sections.LIGHT_AGENT_MB,
        measured=wording.measured,
        # Both are files of this package, not anybody's input.
        style=Markup((_FOLDER / "style.css").read_text("utf-8")),
        library=zoom.library() if timelines else Markup(""),
        script=script,
    )

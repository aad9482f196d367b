"""The page is one file that needs nothing else, says everything, and runs nothing it is told."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reports.html import comparison
from reports.html.page import render
from reports.html.timeline import timeline
from reports.html.wording import measured
from reports.model import Fault, JsonValue, Series
from tests.reports.samples import NS_PER_S, START_NS, fault, load, requirement, results

VOID = {"meta", "link", "br", "img", "input", "hr"}
LIMIT_BYTES = 3_000_000


class Page(HTMLParser):
    """Tags, their attributes and their nesting."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.misplaced: list[str] = []
        self.styles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.misplaced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles.append(data)


@pytest.fixture(scope="module")
def html() -> str:
    return render(results())


def test_page_needs_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert not page.misplaced
    assert not page.open
    for tag, attributes in page.tags:
        assert "src" not in attributes, (tag, attributes)
        assert tag not in {"link", "iframe", "object", "embed"}
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]
    assert page.styles
    assert not re.search(r"url\(|@import", "".join(page.styles))


def test_page_is_small_and_holds_the_library_once(html: str) -> None:
    assert len(html.encode()) < LIMIT_BYTES
    two = results()
    two = replace(two, loads=(*two.loads, replace(two.loads[0], name="second load")))
    assert len(render(two)) - len(html) < 200_000
    without = replace(two, loads=(), faults=())
    assert len(render(without)) < 100_000


def test_verdict_comes_first_with_its_reasons(html: str) -> None:
    found = [
        html.index(text)
        for text in ("Not certified</h1>", "PLC-002 failed: the pod ran on", 'id="requirements"')
    ]
    assert found == sorted(found)


def test_page_says_what_is_in_the_results(html: str) -> None:
    for text in (
        "python -m pytest placement/test_placement.py::test_plc_001",
        "12.3 ms",
        "gpu0",
        "the cloud no longer answers from edge-gpu",
        "KubeEdge v1.22.0",
        "88 MB",
        "within",
        "1.53 GB",
        "longest outage",
    ):
        assert text in html, text


def test_sides_stand_in_rows_of_the_plain_nodes_order() -> None:
    found = comparison.rows(results().comparison)
    assert [row.figure for row in found] == ["agent RSS", "link at idle", "restart"]
    assert [(row.edge is not None, row.plain is not None) for row in found] == [
        (True, True),
        (False, True),
        (True, False),
    ]


def test_page_has_the_table_of_both_sides(html: str) -> None:
    table = html.partition('id="comparison"')[2].partition("</section>")[0]
    words = " ".join(re.sub(r"<[^>]*>", " ", table).split())
    assert "agent RSS 92 MB edge-gpu 101 MB plain" in words
    assert "link at idle – 52 kB a minute plain" in words


def test_text_of_others_is_escaped() -> None:
    evil = "<script>alert(1)</script>\"'&</style>"
    wicked = replace(
        requirement("PLC-001", "failed", message=evil), sentence=evil, why=evil, run_alone=evil
    )
    base = results(wicked)
    base = replace(
        base,
        loads=(replace(load(evil, evil), node=evil, requirement=evil),),
        faults=(replace(fault(evil), fault=evil, target=evil, confirmed_how=evil),),
        facts=tuple(replace(one, value=evil, source=evil) for one in base.facts),
    )
    html = render(base)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not Page(html).misplaced


def test_timeline_is_there_without_script(html: str) -> None:
    drawing = html[html.index("<svg") : html.index("</svg>")]
    assert drawing.count('class="fault"') == 1
    # The seconds without any answer are a gap: two lines each for p50, p99 and the slowest.
    assert [drawing.count(f'class="line {kind}"') for kind in ("p50", "p99", "max")] == [2, 2, 2]
    assert "link-cut on edge-gpu from second 20 to 70" in drawing


def test_incomplete_run_is_shown_as_such() -> None:
    partial = results(complete=False)
    test = partial.loads[0].test
    html = render(replace(partial, faults=(fault(test, over=False),)))
    assert "Incomplete</h1>" in html
    assert "the run ended while it was in force" in html
    assert "end not seen" in html


@pytest.mark.parametrize(
    ("change", "shades"),
    [
        (fault("other test"), [(20.0, 70.0)]),
        (replace(fault("other test"), target="edge-npu"), []),
        (replace(fault("other test"), target="edge-gpu/triton/server"), [(20.0, 70.0)]),
        (replace(fault("t"), healed_ns=START_NS + 500 * NS_PER_S), [(20.0, 90.0)]),
        (replace(fault("t"), injected_ns=START_NS - 5 * NS_PER_S), [(0.0, 70.0)]),
        (replace(fault("t"), injected_ns=START_NS + 400 * NS_PER_S, healed_ns=None), []),
        (
            replace(
                fault("t"),
                plan={
                    "phases": [
                        {"start_s": 0, "duration_s": 3},
                        {"start_s": 6, "duration_s": 3},
                        {"start_s": 60, "duration_s": 3},
                    ]
                },
            ),
            [(20.0, 23.0), (26.0, 29.0)],
        ),
    ],
)
def test_shades_are_the_times_in_force(change: Fault, shades: list[tuple[float, float]]) -> None:
    base = replace(results(), faults=(change,))
    found = timeline(load("t"), base).shades
    assert [(shade.start_s, shade.end_s) for shade in found] == shades


def test_load_without_a_second_or_an_answer_is_drawn() -> None:
    base = results()
    series = base.loads[0].series
    none = (None,) * len(series.second)
    silent = replace(series, p50_us=none, p99_us=none, max_us=none)
    empty = Series(START_NS, (), (), (), (), (), (), ())
    loads = tuple(replace(base.loads[0], series=one) for one in (silent, empty))
    assert render(replace(base, loads=loads)).count('<svg class="timeline"') == 2


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1_530_000_000, "bytes", "1.53 GB"),
        (0.0421, "s", "42 ms"),
        (125.2, "s", "2 min 05 s"),
        (12_345, "us", "12.3 ms"),
        (True, None, "yes"),
        (None, "s", "–"),
        (["gpu0", "gpu1"], None, "gpu0, gpu1"),
        ({"a": 1}, None, "a: 1"),
        (7, "pods", "7 pods"),
    ],
)
def test_values_are_worded(value: JsonValue, unit: str | None, text: str) -> None:
    assert measured(value, unit) == text

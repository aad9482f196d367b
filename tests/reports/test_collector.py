"""Whole runs of pytest with the collector: what they leave in the folder, and how they end."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from reports import store
from reports.environment import CHECKOUT
from reports.model import Results
from reports.store import read

pytest_plugins = ["pytester"]

Certify = Callable[..., pytest.RunResult]

CONFTEST = """
import json, os, time
import pytest

def pytest_addoption(parser):
    parser.addoption("--report-dir")

def pytest_configure(config):
    given = getattr(config, "workerinput", {})
    config.option.report_dir = given.get("folder", config.option.report_dir)

class Controller:
    def pytest_configure_node(self, node):
        node.workerinput["folder"] = node.config.option.report_dir

def pytest_plugin_registered(plugin, manager):
    if manager.hasplugin("dsession") and not manager.hasplugin("folder"):
        manager.register(Controller(), "folder")

class Evidence:
    def __init__(self, config, test):
        worker = getattr(config, "workerinput", {}).get("workerid")
        name = "events.jsonl" if worker is None else f"events-{worker}.jsonl"
        self.file, self.test = os.path.join(config.option.report_dir, name), test
    def record(self, kind, payload):
        event = dict(kind=kind, t_ns=time.monotonic_ns(), wall="", test=self.test, payload=payload)
        with open(self.file, "a") as out:
            out.write(json.dumps(event) + "\\n")

@pytest.fixture
def evidence(request):
    return Evidence(request.config, request.node.nodeid)
"""
CLAIMING = """
def pytest_edge_claims(config):
    return {{"profile": "p", "profile_path": "p.yaml", "deployment": "reference",
            "families": {families!r}, "requirements": {requirements!r}, "exclude": [],
            "thresholds": {{"max_outage_s": 60.0}}}}

def pytest_edge_facts(config):
    return [{{"name": "version.kernel", "value": "6.1", "source": "uname", "unit": None}}]
"""
PREAMBLE = """
import os, signal, time
import pytest

def shows(id, level="MUST", family="placement"):
    return pytest.mark.requirement(id=id, level=level, family=family, since="0.1",
                                   sentence=f"It {level} be.", why="Because.", source="Here")
"""
PASSES = """
@shows("PLC-001")
@pytest.mark.parametrize("node", ["edge-gpu", "edge-npu"])
def test_passes(node, evidence):
    evidence.record("value", {"name": "devices", "value": node, "unit": None})
"""
FAILS = """
@shows("PLC-002")
def test_fails():
    assert 1 == 2, "the pod ran on edge-cpu"
"""
SKIPS = """
@shows("PLC-003")
def test_skips():
    pytest.skip("no way to cut the link")
"""
SHOULD_FAILS = """
@shows("PLC-004", level="SHOULD")
def test_should():
    assert not "slow"
"""


@pytest.fixture
def certify(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Certify:
    """pytest with the collector on the given tests, which claim the family placement."""
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    # Plugins of other packages have no part in this, and take long to load.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def certify(
        tests: str,
        *arguments: str,
        families: tuple[str, ...] | None = ("placement",),
        requirements: tuple[str, ...] = (),
    ) -> pytest.RunResult:
        claims = "" if families is None else CLAIMING
        pytester.makeconftest(
            CONFTEST + claims.format(families=families, requirements=requirements)
        )
        pytester.makepyfile(PREAMBLE + tests)
        return pytester.runpytest_subprocess(
            "-p", "xdist", "-p", "reports.collector", "--report-dir=report", *arguments
        )

    return certify


@pytest.fixture
def folder(pytester: pytest.Pytester) -> Path:
    return pytester.path / "report"


def outcomes(results: Results) -> dict[str, str]:
    return {one.id: one.outcome for one in results.requirements}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_certified_run(certify: Certify, folder: Path, workers: tuple[str, ...]) -> None:
    result = certify(PASSES, *workers)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["CERTIFIED: profile p, 1 of 1 claimed*", "report: *report.html"])
    results = read(folder)
    assert results.complete
    assert results.verdict.certified
    (shown,) = results.requirements
    assert (shown.sentence, shown.claimed, shown.outcome) == ("It MUST be.", True, "passed")
    values = {test.nodeid: test.values[0].value for test in shown.tests}
    assert values == {
        "test_certified_run.py::test_passes[edge-gpu]": "edge-gpu",
        "test_certified_run.py::test_passes[edge-npu]": "edge-npu",
    }
    assert shown.run_alone == (
        "python -m pytest test_certified_run.py::test_passes --profile p.yaml"
    )
    assert [fact.name for fact in results.facts] == ["version.kernel"]
    assert "Certified</h1>" in (folder / store.HTML).read_text("utf-8")


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_failure_and_skip_deny_the_certificate(
    certify: Certify, folder: Path, workers: tuple[str, ...]
) -> None:
    result = certify(PASSES + FAILS + SKIPS, *workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "NOT CERTIFIED: profile p, 1 of 3 claimed requirements passed, 1 failed, 1 skipped",
            "  - PLC-002 promised: *",
            "      but failed: the pod ran on edge-cpu",
            "  - PLC-003 could not be run: no way to cut the link",
        ]
    )
    results = read(folder)
    assert outcomes(results) == {"PLC-001": "passed", "PLC-002": "failed", "PLC-003": "skipped"}
    properties = {
        (case.get("name"), one.get("value"))
        for case in ET.parse(folder / store.JUNIT).iter("testcase")
        for one in case.iter("property")
        if one.get("name") == "requirement"
    }
    assert properties >= {("test_fails", "PLC-002"), ("test_skips", "PLC-003")}


def test_skip_alone_is_not_certified(certify: Certify) -> None:
    assert certify(PASSES + SKIPS).ret == 1


def test_failed_should_is_certified_with_a_warning(certify: Certify, folder: Path) -> None:
    result = certify(PASSES + SHOULD_FAILS)
    assert result.ret == 0
    assert read(folder).verdict.warnings[0].startswith("PLC-004 failed")


def test_failed_test_of_no_requirement_is_no_success(certify: Certify, folder: Path) -> None:
    result = certify(PASSES + "\ndef test_other():\n    assert not 'right'\n")
    assert result.ret == 1
    assert read(folder).verdict.certified


def test_deselected_requirement_was_not_run(certify: Certify, folder: Path) -> None:
    result = certify(PASSES + FAILS, "-k", "passes")
    assert result.ret == 1
    results = read(folder)
    assert outcomes(results) == {"PLC-001": "passed", "PLC-002": "not-run"}
    assert results.verdict.reasons == ("PLC-002 was not run",)


def test_one_deselected_parameter_was_not_run(certify: Certify, folder: Path) -> None:
    assert certify(PASSES, "-k", "gpu").ret == 1
    (reason,) = read(folder).verdict.reasons
    assert reason == "PLC-001 was not run: 1 of 2 tests (test_passes[edge-npu])"


def test_claimed_id_that_nothing_shows(certify: Certify, folder: Path) -> None:
    result = certify(PASSES, requirements=("SEC-001",))
    assert result.ret == 1
    assert read(folder).verdict.reasons == ("SEC-001 is claimed, but no collected test shows it",)


@pytest.mark.parametrize("families", [None, ()], ids=["no profile", "empty profile"])
def test_without_claims_the_status_is_of_pytest(
    certify: Certify, folder: Path, families: tuple[str, ...] | None
) -> None:
    assert certify(PASSES, families=families).ret == 0
    assert read(folder).verdict.status == "no claims"


def test_error_in_setup_and_in_teardown(certify: Certify, folder: Path) -> None:
    broken = """
@pytest.fixture
def before():
    raise OSError("no cluster")

@pytest.fixture
def after():
    yield
    pytest.fail("left the link cut")

@shows("PLC-005")
def test_before(before): pass

@shows("PLC-006")
def test_after(after): pass
"""
    assert certify(broken).ret == 1
    results = read(folder)
    assert outcomes(results) == {"PLC-005": "error", "PLC-006": "error"}
    assert [one.message for one in results.requirements] == [
        "setup: OSError: no cluster",
        "teardown: left the link cut",
    ]


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_without_requirements_nothing_is_written(
    certify: Certify, folder: Path, workers: tuple[str, ...]
) -> None:
    result = certify("\ndef test_plain(): pass\n", *workers)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*verdict*")
    assert not folder.exists()


def test_listing_tests_writes_nothing(certify: Certify, folder: Path) -> None:
    assert certify(PASSES, "--collect-only").ret == 0
    assert not folder.exists()


KILLED = """
@shows("PLC-007")
def test_killed(evidence):
    begun = {"fault": "link-cut", "target": "edge-gpu", "plan": {}, "injected_ns": 1}
    evidence.record("fault-begin", begun)
    evidence.record("value", {"name": "seen", "value": 1, "unit": None})
    with open(evidence.file, "a") as out:
        out.write('{"kind":"value","t_ns":')
    os.kill(os.getpid(), signal.SIGKILL)

@shows("PLC-008")
def test_never_begun(): pass
"""


def test_killed_run_is_incomplete_and_readable(
    certify: Certify, pytester: pytest.Pytester, folder: Path
) -> None:
    assert certify(PASSES + KILLED).ret == -9
    left = json.loads((folder / store.RESULTS).read_text("utf-8"))
    assert (left["complete"], left["verdict"]["status"]) == (False, "incomplete")
    said = pytester.run(sys.executable, "-m", "reports", "verdict", "report")
    assert said.ret == 1
    said.stdout.fnmatch_lines(
        [
            "INCOMPLETE: profile p, 1 of 3 claimed requirements passed, 2 not run",
            "  - the run did not come to its end",
            "  - test_killed_*::test_killed was running",
            "  - not run or not finished: PLC-007, PLC-008",
        ]
    )
    made = pytester.run(sys.executable, "-m", "reports", "html", "report", "-o", "page.html")
    assert made.ret == 0
    page = (pytester.path / "page.html").read_text("utf-8")
    assert "Incomplete</h1>" in page
    assert "the run ended while it was in force" in page
    assert [value.name for value in read(folder).requirements[1].tests[0].values] == ["seen"]


def test_killed_xdist_worker_is_an_error_of_its_test(certify: Certify, folder: Path) -> None:
    certify(PASSES + KILLED, "-n", "1")
    results = read(folder)
    assert outcomes(results)["PLC-007"] == "error"
    assert not results.verdict.certified
    assert [fault.over for fault in results.faults] == [False]


def test_interrupted_run_is_incomplete_and_keeps_its_status(certify: Certify, folder: Path) -> None:
    stopped = """
@shows("PLC-009")
def test_stopped():
    raise KeyboardInterrupt
"""
    result = certify(PASSES + stopped)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert read(folder).verdict.status == "incomplete"
    assert "Incomplete</h1>" in (folder / store.HTML).read_text("utf-8")


def test_file_that_cannot_be_collected_denies_the_certificate(
    certify: Certify, pytester: pytest.Pytester, folder: Path
) -> None:
    (pytester.path / "test_broken.py").write_text("import nothing_of_that_name\n")
    result = certify(PASSES, "--continue-on-collection-errors")
    assert result.ret == 1
    (reason,) = read(folder).verdict.reasons
    assert reason.startswith("test_broken.py could not be collected: ")
    assert "nothing_of_that_name" in reason


def test_marker_without_an_id_is_one_clear_error(certify: Certify) -> None:
    result = certify("\n@pytest.mark.requirement(level='MUST')\ndef test_a(): pass\n")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_a: marker requirement: expected id, family, found none"])


def test_second_run_into_the_same_folder_starts_anew(certify: Certify, folder: Path) -> None:
    certify(PASSES + KILLED)
    assert certify(PASSES).ret == 0
    results = read(folder)
    assert results.verdict.certified
    assert not results.faults
    assert all(len(test.values) == 1 for test in results.requirements[0].tests)

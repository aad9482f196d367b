"""The results of the run in progress: kept on the disk while it goes on, closed at its end."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from reports import events, store
from reports.decode import as_json, build
from reports.environment import environment, suite
from reports.errors import ReportError
from reports.model import Claims, Fact, Results, Run, Verdict
from reports.summary import summary_lines
from reports.tally import Shown, Tally


class Recording:
    """Registered as a plugin in the process that the user started; active once tests are known."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folder = config.invocation_params.dir / config.option.report_dir
        self._begin_ns = time.monotonic_ns()
        self._begin = _now()
        self._tally = Tally()
        self._results: Results | None = None
        self._problems: list[str] = []
        self._other_failures = False
        self._trouble: str | None = None
        self._junit_is_ours = config.option.xmlpath is None
        if self._junit_is_ours:
            # pytest's own plugin reads it next, when it is configured.
            config.option.xmlpath = str(self._folder / store.JUNIT)

    # What becomes known

    def collected(self, shown: Sequence[Shown]) -> None:
        """The tests are known; the report begins if any shows a requirement."""
        self._tally.collected(shown)
        if not self._tally:
            self.withdraw_if_idle()
            return
        if self._results is None:
            self._results = self._first_results()
        self._save()

    def collected_by_workers(self, kind: str) -> None:
        """The same, from the evidence of xdist workers."""
        shown: list[Shown] = []
        for event in events.read(self._folder, self._begin_ns):
            tests = event.payload.get("tests")
            if event.kind == kind and isinstance(tests, list):
                shown += [build(Shown, test) for test in tests]
        if shown:
            self.collected(shown)

    def withdraw_if_idle(self) -> None:
        """Without requirements there is no report, and so no junit.xml that nobody asked for."""
        if self._results is None and self._junit_is_ours:
            plugin = self._config.pluginmanager.get_plugin("junitxml")
            if plugin is not None:
                plugin.pytest_unconfigure(self._config)
            self._junit_is_ours = False

    # Hooks

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected may hold requirements that nobody then misses."""
        if report.failed:
            last = report.longreprtext.strip().splitlines()[-1:]
            self._problems.append(f"{report.nodeid} could not be collected: {' '.join(last)}")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins: should it never end, the report says which it was."""
        if nodeid in self._tally:
            self._tally.begun(nodeid)
            self._save()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A phase of a test is over."""
        if report.nodeid in self._tally:
            self._tally.add(report)
        elif report.failed:
            self._other_failures = True

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        if nodeid in self._tally:
            self._tally.ended(nodeid)
            self._save()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(
        self, session: pytest.Session, exitstatus: int
    ) -> Generator[None, object, object]:
        """Last of all, the deployment being down: the stages of that too, and the page."""
        result = yield
        if self._results is not None and self._trouble is None:
            # Not before: the plots' library is slow to load, and few runs of pytest need it.
            from reports.html.page import render

            final = store.with_evidence(self._results, self._folder)
            store.write(self._folder, final)
            store.write_atomically(self._folder / store.HTML, render(final))
        return result

    def close(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the results and settle the exit status, which is 0 for certified only."""
        if self._results is None:
            return
        whole = exitstatus in {
            pytest.ExitCode.OK,
            pytest.ExitCode.TESTS_FAILED,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        }
        try:
            self._save(complete=whole, ended=True)
        except (OSError, ReportError) as error:
            # Raised here it would keep the deployment from being taken down: told, and denied.
            self._trouble = f"the report could not be written: {error}"
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
            return
        if not whole:
            return
        if self._config.getoption("scenario", None):
            # A load by name shows no requirement: its own outcome is that of the run.
            return
        verdict = self._results.verdict
        if verdict.status == "not certified":
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif verdict.certified and not self._other_failures:
            # A SHOULD that failed is a warning, as is what was not claimed.
            session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The verdict, what stands against it, and where the report is."""
        if self._trouble is not None:
            terminalreporter.section("verdict")
            terminalreporter.write_line(self._trouble, red=True)
        elif self._results is not None:
            terminalreporter.section("verdict")
            good = self._results.verdict.certified
            first, *rest = summary_lines(self._results, self._folder / store.HTML)
            terminalreporter.write_line(first, bold=True, green=good, red=not good)
            for line in rest:
                terminalreporter.write_line(line)

    # The results

    def _first_results(self) -> Results:
        claims = self._config.hook.pytest_edge_claims(config=self._config)
        return Results(
            complete=False,
            suite=suite(),
            run=Run(
                id=uuid.uuid4().hex[:12],
                started=self._begin.isoformat(),
                started_ns=self._begin_ns,
                ended=None,
                duration_s=0.0,
                argv=tuple(self._config.invocation_params.args),
            ),
            claims=None if claims is None else build(Claims, _json_object(claims)),
            environment=environment(),
            verdict=Verdict(False, "incomplete"),
        )

    def _save(self, *, complete: bool = False, ended: bool = False) -> None:
        if self._results is None:
            return
        results = self._results
        run = replace(
            results.run,
            ended=_now().isoformat() if ended else None,
            duration_s=round((time.monotonic_ns() - self._begin_ns) / 1e9, 3),
            running=self._tally.running,
            problems=tuple(dict.fromkeys(self._problems)),
        )
        root = Path(self._config.rootpath)
        results = replace(
            results,
            complete=complete,
            run=run,
            requirements=self._tally.requirements(results.claims, root),
            facts=self._told_facts() if ended else results.facts,
        )
        self._results = store.judged(store.with_evidence(results, self._folder))
        store.write(self._folder, self._results)

    def _told_facts(self) -> tuple[Fact, ...]:
        told = self._config.hook.pytest_edge_facts(config=self._config) or ()
        return tuple(build(Fact, _json_object(one)) for one in told)


class Closing:
    """Closes the results inside of pytest's own end, so that its summary can tell the verdict."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """All tests and their fixtures are over, xdist's workers too."""
        self._recording.close(session, exitstatus)


def _json_object(value: Mapping[str, object]) -> Mapping[str, object]:
    plain = as_json(dict(value))
    if not isinstance(plain, Mapping):
        raise ReportError(f"expected an object, found {value!r}")
    return plain


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

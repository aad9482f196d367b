"""The pytest plugin that turns a run into a report: load it with ``-p reports.collector``.

It is silent, and writes nothing, unless a collected test carries the marker ``requirement``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import pytest

from reports import events, hooks
from reports.errors import ReportError
from reports.recording import Closing, Recording
from reports.tally import MARKER, Shown, shown_by

_COLLECTED = "collected"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks by which other plugins tell claims and facts."""
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Prepare this process's part: all but xdist workers keep the results."""
    config.addinivalue_line("markers", f"{MARKER}(id, level, family, ...): what a test shows")
    folder = config.getoption("report_dir", None)
    if folder is None or config.option.collectonly:
        return
    inherited: Mapping[str, str] | None = getattr(config, "workerinput", None)
    if inherited is not None:
        config.pluginmanager.register(_Worker(config, inherited["workerid"]), "report-worker")
        return
    recording = Recording(config)
    config.pluginmanager.register(recording, "report-recording")
    config.pluginmanager.register(Closing(recording), "report-closing")
    if config.getoption("dist", "no") != "no" and config.getoption("tx", None):
        config.pluginmanager.register(_Workers(recording), "report-workers")
    else:
        config.pluginmanager.register(_Collection(recording), "report-collection")


class _Noted:
    """Notes the tests of requirements as they are collected, before anybody deselects them."""

    def __init__(self) -> None:
        self._items: list[tuple[pytest.Item, str]] = []

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note a test, and mark its reports (and so its entry in junit.xml)."""
        marker = item.get_closest_marker(MARKER)
        if marker is None:
            return
        # The node id as it is now: xdist adds the group of a test to it later on.
        self._items.append((item, item.nodeid))
        item.user_properties.append((MARKER, str(marker.kwargs.get("id", ""))))

    def shown(self) -> list[Shown]:
        """What the collected tests show."""
        try:
            found = [shown_by(item, path) for item, path in self._items]
        except ReportError as error:
            raise pytest.UsageError(str(error)) from error
        self._items.clear()
        return [one for one in found if one is not None]


class _Collection(_Noted):
    """Without xdist: the process that collects is the one that keeps the results."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def pytest_collection_finish(self) -> None:
        """The tests are known."""
        self._recording.collected(self.shown())


class _Worker(_Noted):
    """In an xdist worker: tell the controller, by way of the evidence, what was collected."""

    def __init__(self, config: pytest.Config, name: str) -> None:
        super().__init__()
        self._config = config
        self._name = name

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Before the controller hears that this worker is ready."""
        shown = self.shown()
        if shown:
            file = self._config.rootpath / self._config.option.report_dir
            payload = {"tests": [asdict(one) for one in shown]}
            events.append(file / f"events-{self._name}.jsonl", _COLLECTED, payload)


class _Workers:
    """In the xdist controller: what its workers have collected."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """A worker is ready, and has left in the evidence what it collected."""
        self._recording.collected_by_workers(_COLLECTED)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> object:
        """When no worker has found a requirement, nothing is to be written."""
        try:
            return (yield)
        finally:
            self._recording.withdraw_if_idle()

"""Each requirement of the serving protocol fails on a server that breaks it.

The server is a proxy before the real one that does one thing wrong: the one that belongs to the
requirement whose test is running. One child runs them all; another one runs them through an honest
proxy, so that what failed was the server and not the way to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import pytest
import yaml

from fixtures.profile import Profile
from fixtures.reference import state
from fixtures.target import Deployment, EdgeNode, Endpoint
from tests.conformance.child import Child, ChildRun
from tests.conformance.corrupting_proxy import HONEST, Corruption, proxied
from tests.conformance.corruptions import Broken, broken
from tests.conformance.present_requirement import VARIABLE

_OPTIONS = ("-p", "tests.conformance.present_requirement")
_BROKEN = broken()


@pytest.fixture(scope="module")
def server(deployment: Deployment) -> EdgeNode:
    """The last edge node: the one that no other negative test breaks."""
    if deployment.name != "reference":
        pytest.skip(f"{deployment.name} is not the suite's own deployment: it is not broken")
    return tuple(deployment.edges.values())[-1]


def _run(
    profile: Profile, server: EdgeNode, folder: Path, corruptions: Mapping[str, Corruption]
) -> ChildRun:
    """Run the tests against a proxy, as a vendor runs them against a device."""
    present = folder / "present-requirement"
    present.write_text("")
    with proxied(
        server.endpoint, lambda: corruptions.get(present.read_text("utf-8"), HONEST)
    ) as endpoint:
        vendor = folder / "vendor.yaml"
        vendor.write_text(_vendors_profile(profile.path, server.name, endpoint), "utf-8")
        return Child(vendor, folder).run(
            ",".join(one.requirement for one in _BROKEN),
            room="conformance/serving",
            options=_OPTIONS,
            environment={VARIABLE: str(present), "KUBECONFIG": str(state.kubeconfig_path())},
        )


def _vendors_profile(reference: Path, node: str, endpoint: Endpoint) -> str:
    document = yaml.safe_load(reference.read_text("utf-8"))
    (found,) = (one for one in document["nodes"] if one["name"] == node)
    found["address"] = {
        "lanHost": endpoint.host,
        "httpPort": endpoint.http_port,
        "grpcPort": endpoint.grpc_port,
        "metricsPort": endpoint.metrics_port,
    }
    document |= {"deployment": "existing", "nodes": [found]}
    document["existing"] = {"probeImage": "none.invalid/none"}
    return str(yaml.safe_dump(document, sort_keys=False))


class _Runs:
    """Each of the two runs is made once, by the first test that looks at it."""

    def __init__(self, profile: Profile, server: EdgeNode, folder: Path) -> None:
        self._profile = profile
        self._server = server
        self._folder = folder

    @cached_property
    def honest(self) -> ChildRun:
        """All of the tests through a proxy that does nothing wrong."""
        return self._run("honest", {})

    @cached_property
    def corrupted(self) -> ChildRun:
        """All of the tests through a proxy that does wrong what each of them looks for."""
        return self._run("corrupted", {one.requirement: one.corruption for one in _BROKEN})

    def _run(self, name: str, corruptions: Mapping[str, Corruption]) -> ChildRun:
        folder = self._folder / name
        folder.mkdir()
        return _run(self._profile, self._server, folder, corruptions)


@pytest.fixture(scope="module")
def runs(profile: Profile, server: EdgeNode, tmp_path_factory: pytest.TempPathFactory) -> _Runs:
    """The two runs; made within a test, which holds the deployment."""
    return _Runs(profile, server, tmp_path_factory.mktemp("protocol"))


@pytest.mark.parametrize("one", _BROKEN, ids=lambda one: one.requirement)
def test_fails_where_it_is_broken(one: Broken, runs: _Runs, deployment: Deployment) -> None:
    runs.honest.of(one.test).assert_passed()
    runs.corrupted.of(one.test).assert_failed(*one.says)

"""Children that reach the real server through a proxy, under a profile of an existing cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from fixtures.profile import Profile
from fixtures.reference import state
from fixtures.target import EdgeNode, Endpoint
from tests.conformance.child import Child, ChildRun
from tests.conformance.corrupting_proxy import HONEST, Corruption, proxied
from tests.conformance.present_requirement import VARIABLE

_KEPT = ("apiVersion", "name", "serving", "thresholds", "load")
_OPTIONS = ("-p", "tests.conformance.present_requirement")


def run_through_proxy(
    profile: Profile,
    server: EdgeNode,
    folder: Path,
    requirements: Sequence[str],
    corruptions: Mapping[str, Corruption],
) -> ChildRun:
    """Run requirements against a proxy before one node's server, as a vendor runs them.

    ``corruptions`` says what the proxy does wrong while the test of a requirement runs.
    """
    present = folder / "present-requirement"
    present.write_text("")
    with proxied(
        server.endpoint, lambda: corruptions.get(present.read_text("utf-8"), HONEST)
    ) as endpoint:
        vendor = folder / "vendor.yaml"
        vendor.write_text(_vendors_profile(profile.path, server.name, endpoint), "utf-8")
        return Child(vendor, folder).run(
            ",".join(requirements),
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
    # What a profile of a server must have, and nothing that speaks of other nodes.
    document = {key: document[key] for key in _KEPT} | {
        "deployment": "existing",
        "existing": {"probeImage": "none.invalid/none"},
        "nodes": [found],
        "claims": {"families": ["serving"]},
    }
    return str(yaml.safe_dump(document, sort_keys=False))

"""What tests of the serving protocol stand on: connections, and the suite's own models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conformance.inference import HttpClient
from conformance.serving.grpc_channel import GrpcChannel, GrpcServer, grpc_server
from conformance.serving.http_channel import HttpChannel
from conformance.serving.messages import Channel
from conformance.serving.model_use import ModelUse
from fixtures.profile import ConformanceRole, Profile
from fixtures.target import EdgeNode


@pytest.fixture
def http(edge: EdgeNode) -> Iterator[HttpClient]:
    """Plain HTTP to the edge node's server."""
    client = HttpClient(edge.endpoint)
    yield client
    client.close()


@pytest.fixture
def grpc_service(edge: EdgeNode) -> Iterator[GrpcServer]:
    """The gRPC service of the edge node's server."""
    with grpc_server(edge.endpoint) as server:
        yield server


@pytest.fixture
def http_json(edge: EdgeNode) -> Iterator[Channel]:
    """Inference over HTTP with JSON tensors."""
    channel = HttpChannel(edge.endpoint, binary=False)
    yield channel
    channel.close()


@pytest.fixture
def http_binary(edge: EdgeNode) -> Iterator[Channel]:
    """Inference over HTTP with binary tensors."""
    channel = HttpChannel(edge.endpoint, binary=True)
    yield channel
    channel.close()


@pytest.fixture
def channels(http_json: Channel, grpc_service: GrpcServer) -> tuple[Channel, ...]:
    """The two encodings that the open protocol itself demands: JSON over HTTP, and gRPC."""
    return (http_json, GrpcChannel(grpc_service))


class Models:
    """The suite's own models on every edge node, for the tests of this package."""

    def __init__(self, use: ModelUse, stack: ExitStack) -> None:
        self._use = use
        self._stack = stack
        self._held: set[tuple[str, ConformanceRole]] = set()

    @contextmanager
    def turn(self, edge: EdgeNode, role: ConformanceRole, *, alone: bool = False) -> Iterator[str]:
        """The ready model of a role; skips the test where the profile does not name it."""
        if role not in self._use.serving.conformance:
            pytest.skip(f"the profile's serving.conformance names no model for {role}")
        with self._use.turn(edge, role, alone=alone):
            if (edge.name, role) not in self._held:
                self._stack.enter_context(self._use.held(edge, role))
                self._held.add((edge.name, role))
            self._use.ensure_ready(edge, role)
            yield self._use.serving.conformance[role]


@pytest.fixture(scope="package")
def models(profile: Profile, report_dir: Path) -> Iterator[Models]:
    """Models stay loaded until the family's last test: a load takes longer than most tests."""
    with ExitStack() as stack:
        yield Models(ModelUse(profile.serving, report_dir / "model-use"), stack)


def _in_use(role: ConformanceRole) -> Callable[[Models, EdgeNode], Iterator[str]]:
    def fixture(models: Models, edge: EdgeNode) -> Iterator[str]:
        with models.turn(edge, role) as model:
            yield model

    return fixture


def _alone(role: ConformanceRole) -> Callable[[Models, EdgeNode], Iterator[str]]:
    def fixture(models: Models, edge: EdgeNode) -> Iterator[str]:
        with models.turn(edge, role, alone=True) as model:
            yield model

    return fixture


types_model = pytest.fixture(_in_use("types"), name="types_model")
versions_model = pytest.fixture(_in_use("versions"), name="versions_model")
sequence_model = pytest.fixture(_in_use("sequence"), name="sequence_model")
decoupled_model = pytest.fixture(_in_use("decoupled"), name="decoupled_model")
slow_model_alone = pytest.fixture(_alone("slow"), name="slow_model_alone")
versions_model_alone = pytest.fixture(_alone("versions"), name="versions_model_alone")
types_model_alone = pytest.fixture(_alone("types"), name="types_model_alone")

"""Serving: loading and unloading models through the server's own interface."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import HttpClient, golden_samples, prepare
from conformance.serving.grpc_channel import GrpcServer
from conformance.serving.messages import Ask, Channel
from conformance.serving.model_use import ModelRepository
from conformance.serving.refusals import CLIENT_ERRORS, not_refused
from conformance.serving.tensors import Tensor
from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode

_LOAD_TIMEOUT_S = 60.0


def _ready(service: GrpcServer, model: str) -> bool:
    return bool(service.call("ModelReady", service_pb2.ModelReadyRequest(name=model)).ready)


def _states(repository: ModelRepository, model: str) -> set[str]:
    return {state for (name, _), state in repository.index().items() if name == model}


def _number() -> Tensor:
    return Tensor("INPUT", "INT32", np.array([[3]], np.int32))


@requirement(
    id="SRV-019",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="The repository index MUST list every model with its state; an unloaded model MUST "
    "be refused and called not ready, and a loaded one answer, while the other models serve on.",
    why="New models reach the device so, and a half-done change must be seen at once.",
    source="Triton: model repository extension",
)
@pytest.mark.triton_extension
def test_model_control(
    edge: EdgeNode,
    http: HttpClient,
    http_json: Channel,
    grpc_service: GrpcServer,
    deployment: Deployment,
    profile: Profile,
    versions_model_alone: str,
) -> None:
    """Unload a model over HTTP and load it over gRPC; look at the index and ask each time."""
    if not profile.serving.model_control:
        pytest.skip("the profile does not claim serving.modelControl")
    model, repository = versions_model_alone, ModelRepository(edge.endpoint)
    index = repository.index()
    wrong = [
        f"the index does not say that {claimed} is ready"
        for claimed in edge.endpoint.models
        if "READY" not in _states(repository, claimed)
    ]
    if not {(model, "1"), (model, "2")} <= set(index):
        wrong.append(f"the index lacks a version of {model}: {sorted(index)}")
    repository.unload(model)
    if "READY" in _states(repository, model):
        wrong.append(f"the index says that the unloaded {model} is ready")
    if _ready(grpc_service, model):
        wrong.append(f"gRPC says that the unloaded {model} is ready")
    wrong += not_refused(http_json, Ask(model, (_number(),)), "unloaded model", CLIENT_ERRORS)
    try:
        for sample in golden_samples(deployment, edge.endpoint):
            http.ask(prepare(sample, binary=True))
    except AnswerError as error:
        wrong.append(f"another model, meanwhile: {error}")
    load = service_pb2.RepositoryModelLoadRequest(model_name=model)
    grpc_service.call("RepositoryModelLoad", load, _LOAD_TIMEOUT_S)
    if not (repository.ready(model) and _ready(grpc_service, model)):
        wrong.append(f"{model} is not ready after it was loaded")
    if _states(repository, model) != {"READY"}:
        wrong.append(f"the index says of the loaded {model}: {_states(repository, model)}")
    try:
        http_json.infer(Ask(model, (_number(),)))
    except AnswerError as error:
        wrong.append(f"{model} after it was loaded again: {error}")
    assert not wrong, explain(
        promised=f"{edge.name} unloads and loads {model}, and says so",
        seen="; ".join(wrong[:4]),
        since="the test unloaded the model",
        look="the server's log on the node; its model control mode",
    )

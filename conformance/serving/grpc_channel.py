"""The Open Inference Protocol over gRPC, message by message."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from conformance.errors import AnswerError
from conformance.inference import REQUEST_TIMEOUT_S
from conformance.serving.messages import Answer, Ask, Parameter, Refused
from conformance.serving.tensors import RAW_ONLY, Tensor, from_flat, from_raw
from fixtures.target import Endpoint

# Where typed contents of each datatype stand.
_CONTENTS: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "bool_contents",
        **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
        "UINT64": "uint64_contents",
        **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
        "INT64": "int64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
        "BYTES": "bytes_contents",
    }
)
_UNANSWERED = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))

Call = Callable[..., Any]


def encode(ask: Ask, *, typed: bool = False) -> Any:
    """A ModelInferRequest, with raw contents or (``typed``) one field per element."""
    request = service_pb2.ModelInferRequest(
        model_name=ask.model, model_version=ask.version, id=ask.id
    )
    _set_parameters(request.parameters, ask.parameters)
    for tensor in ask.inputs:
        entry = request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        _set_parameters(entry.parameters, ask.input_parameters)
        if typed:
            getattr(entry.contents, _CONTENTS[tensor.datatype]).extend(
                tensor.array.ravel().tolist()
            )
        else:
            request.raw_input_contents.append(tensor.raw())
    for output in ask.outputs:
        wanted = request.outputs.add(name=output.name)
        _set_parameters(wanted.parameters, output.parameters)
    return request


def decode(response: Any) -> Answer:
    """Read a ModelInferResponse, with raw or typed contents.

    Raises:
        AnswerError: it is not what the protocol says.
    """
    raw = list(response.raw_output_contents)
    if raw and len(raw) != len(response.outputs):
        raise AnswerError(f"{len(raw)} raw contents for {len(response.outputs)} outputs")
    outputs: dict[str, Tensor] = {}
    for index, entry in enumerate(response.outputs):
        name, datatype, shape = entry.name, entry.datatype, tuple(entry.shape)
        if raw:
            outputs[name] = from_raw(name, datatype, shape, raw[index])
        elif datatype in RAW_ONLY or datatype not in _CONTENTS:
            raise AnswerError(f"output {name} of {datatype} has no raw contents")
        else:
            elements = getattr(entry.contents, _CONTENTS[datatype])
            outputs[name] = from_flat(name, datatype, shape, list(elements))
    return Answer(
        model=response.model_name,
        version=response.model_version,
        id=response.id,
        parameters={
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in response.parameters.items()
            if value.WhichOneof("parameter_choice")
        },
        outputs=outputs,
    )


def _set_parameters(place: Any, parameters: Mapping[str, Parameter]) -> None:
    for name, value in parameters.items():
        if isinstance(value, bool):
            place[name].bool_param = value
        elif isinstance(value, int):
            place[name].int64_param = value
        elif isinstance(value, float):
            place[name].double_param = value
        else:
            place[name].string_param = value


class GrpcServer:
    """Every call of the protocol's gRPC service, with errors as the suite has them."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._address = address

    def call(self, method: str, request: Any, timeout_s: float = REQUEST_TIMEOUT_S) -> Any:
        """Call a method and wait for its answer.

        Raises:
            Refused: the server answered with an error.
            AnswerError: it did not answer in time.
        """
        call: Call = getattr(self._stub, method)
        try:
            return call(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise refusal(error, f"{method} on {self._address}") from error

    def begin(self, request: Any, timeout_s: float) -> Any:
        """Begin a ModelInfer; gives gRPC's future of it."""
        return self._stub.ModelInfer.future(request, timeout=timeout_s)

    def stream(self, requests: Iterator[Any], timeout_s: float) -> Any:
        """Begin a ModelStreamInfer; gives gRPC's iterator of the responses."""
        return self._stub.ModelStreamInfer(requests, timeout=timeout_s)


def refusal(error: grpc.RpcError, what: str) -> AnswerError:
    """A gRPC error as one of the suite's: Refused, unless no server answered."""
    code, details = error.code(), str(error.details())
    if code in _UNANSWERED:
        return AnswerError(f"{what}: {code.name}: {details}")
    return Refused(code.name, details)


class GrpcChannel:
    """Inference over gRPC, with raw contents or typed ones."""

    def __init__(self, server: GrpcServer, *, typed: bool = False) -> None:
        self.name = "gRPC typed" if typed else "gRPC"
        self._server = server
        self._typed = typed

    def infer(self, ask: Ask, timeout_s: float = REQUEST_TIMEOUT_S) -> Answer:
        """Ask, and read the answer."""
        request = encode(ask, typed=self._typed)
        return decode(self._server.call("ModelInfer", request, timeout_s))


@contextmanager
def grpc_server(endpoint: Endpoint) -> Iterator[GrpcServer]:
    """The endpoint's gRPC service; the connection is closed on exit."""
    with grpc.insecure_channel(endpoint.grpc_address, options=_OPTIONS) as channel:
        yield GrpcServer(channel, endpoint.grpc_address)

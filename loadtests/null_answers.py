"""The null server as a context: started with the right answer of one payload, gone afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tritonclient.utils import np_to_triton_dtype

from loadtests.errors import GeneratorFailed
from loadtests.payloads import Payload
from loadtests.spec import Protocol

_CHECKOUT = Path(__file__).resolve().parent.parent
_STOP_TIMEOUT_S = 5.0


@contextmanager
def null_server(protocol: Protocol, payload: Payload) -> Iterator[int]:
    """The server in a process of its own; gives its port on loopback.

    Raises:
        GeneratorFailed: it ended before it told its port.
    """
    body, json_length = http_body(payload) if protocol == "http" else (grpc_body(payload), 0)
    with tempfile.TemporaryDirectory(prefix="edge-null-") as folder:
        file = Path(folder) / "answer"
        file.write_bytes(body)
        command = [
            *(sys.executable, "-m", "loadtests.null_server"),
            *(protocol, str(file), str(json_length)),
        ]
        with subprocess.Popen(
            command, cwd=_CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            try:
                line = b"" if process.stdout is None else process.stdout.readline()
                if not line:
                    raise GeneratorFailed(
                        f"the null server ended (exit {process.wait(_STOP_TIMEOUT_S)}) before it "
                        "told its port"
                    )
                yield int(line)
            finally:
                process.kill()


def http_body(payload: Payload) -> tuple[bytes, int]:
    """The right answer with binary tensors, and how much of it is JSON."""
    outputs, raw = [], b""
    for name, array in payload.batch.outputs.items():
        data = array.tobytes()
        raw += data
        outputs.append(
            {
                "name": name,
                "datatype": np_to_triton_dtype(array.dtype),
                "shape": list(array.shape),
                "parameters": {"binary_data_size": len(data)},
            }
        )
    head = json.dumps({"model_name": payload.model, "model_version": "1", "outputs": outputs})
    return head.encode() + raw, len(head.encode())


def grpc_body(payload: Payload) -> bytes:
    """The right answer as a ModelInferResponse."""
    # Only here: importing it takes long, and HTTP needs none of it.
    from tritonclient.grpc import service_pb2

    response = service_pb2.ModelInferResponse(model_name=payload.model, model_version="1")
    for name, array in payload.batch.outputs.items():
        response.outputs.add(
            name=name, datatype=np_to_triton_dtype(array.dtype), shape=list(array.shape)
        )
        response.raw_output_contents.append(array.tobytes())
    return bytes(response.SerializeToString())

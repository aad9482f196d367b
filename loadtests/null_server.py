"""A server that answers all alike: ``python -m loadtests.null_server http|grpc ANSWER N``.

ANSWER is a file with the answer's body, and N how much of it is JSON (the HTTP binary tensor
extension's ``Inference-Header-Content-Length``; 0 for gRPC, where the body is one message). It
prints its port on loopback, and ends when its standard input does: so it never outlives the
process that started it. What a generator reaches against it is what the generator can do.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"


class NullProtocol(asyncio.Protocol):
    """One HTTP connection; requests may come in pieces, or several at once."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._head = b""
        self._missing = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole by now; bodies are counted and not kept."""
        while data:
            if self._missing:
                taken = min(self._missing, len(data))
                self._missing -= taken
                data = data[taken:]
            else:
                head, end, rest = (self._head + data).partition(_END_OF_HEAD)
                if not end:
                    self._head = head
                    return
                self._head, data = b"", rest
                found = _LENGTH.search(head)
                self._missing = int(found[1]) if found else 0
                taken = min(self._missing, len(data))
                self._missing -= taken
                data = data[taken:]
            if not self._missing and self._transport is not None:
                self._transport.write(self._answer)


def http_answer(body: bytes, json_length: int) -> bytes:
    """The whole answer as it goes over the wire."""
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {json_length}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


async def _serve_http(answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NullProtocol(answer), "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await _until_input_ends()


async def _serve_grpc(answer: bytes) -> None:
    # Only here: a server of HTTP is to be there at once.
    import grpc

    async def answer_all(_request: bytes, _context: object) -> bytes:
        return answer

    class AnyMethod(grpc.GenericRpcHandler):  # type: ignore[type-arg]
        """Takes every method, and messages as bytes."""

        def service(
            self, handler_call_details: grpc.HandlerCallDetails
        ) -> grpc.RpcMethodHandler[bytes, bytes]:
            return grpc.unary_unary_rpc_method_handler(answer_all)

    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((AnyMethod(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await _until_input_ends()
    await server.stop(None)


async def _until_input_ends() -> None:
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)


def main() -> int:
    """Serve until standard input ends."""
    protocol, file, json_length = sys.argv[1:]
    body = Path(file).read_bytes()
    if protocol == "grpc":
        asyncio.run(_serve_grpc(body))
    else:
        asyncio.run(_serve_http(http_answer(body, int(json_length))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A server that answers every HTTP request alike: ``python -m benchmarks.null_server BODY LENGTH``.

BODY is a file with the answer's body, LENGTH how much of it is JSON (the binary tensor extension's
``Inference-Header-Content-Length``). It prints its port on loopback, and ends when its standard
input does: so it never outlives the process that started it.
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
    """One connection; requests may come in pieces, or several at once."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole by now."""
        self._buffer += data
        while self._drop_request():
            if self._transport is not None:
                self._transport.write(self._answer)

    def _drop_request(self) -> bool:
        head, end, rest = self._buffer.partition(_END_OF_HEAD)
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        if not end or len(rest) < length:
            return False
        self._buffer = rest[length:]
        return True


def http_answer(body: bytes, json_length: int) -> bytes:
    """The whole answer as it goes over the wire."""
    head = (
        "HTTP/1.1 200 OK\r\n"
        "Content-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {json_length}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


async def _serve(answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NullProtocol(answer), "127.0.0.1", 0)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.buffer.read)


def main() -> int:
    """Serve until standard input ends."""
    asyncio.run(_serve(http_answer(Path(sys.argv[1]).read_bytes(), int(sys.argv[2]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

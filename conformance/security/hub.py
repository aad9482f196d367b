"""CloudCore's session as EdgeCore speaks it: messages over a websocket, by node name."""

from __future__ import annotations

import json
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import websocket

from conformance.security.agent import Address
from conformance.security.tls import Connect
from fixtures.target import JsonValue

# KubeEdge's default project; every EdgeCore says it.
_PROJECT = "e632aba927ea4ac2b575ec1603d56f10"
_MESSAGE_PACKAGE = 1
_HEADER_BYTES = 10


@dataclass(frozen=True, slots=True)
class Message:
    """A message to CloudCore: what is to be done (``operation``) to which resource."""

    resource: str
    operation: str
    content: Mapping[str, JsonValue]

    def encoded(self) -> bytes:
        """In protocol buffers (viaduct's message.proto)."""
        header = _text(1, str(uuid.uuid4())) + _number(3, 2 * int(time.time() * 1000))
        router = (
            _text(1, "edged")
            + _text(2, "resource")
            + _text(3, self.operation)
            + _text(4, self.resource)
        )
        content = json.dumps(self.content).encode()
        return _bytes(1, header) + _bytes(2, router) + _bytes(3, content)


class Session:
    """A websocket to CloudCore; whether CloudCore takes it for a node's session is its affair."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket

    def send(self, message: Message) -> None:
        """Send a message, as two frames: a header with the length, and the message."""
        data = message.encoded()
        header = bytes([0, 0, 0, 0, _MESSAGE_PACKAGE, 0]) + len(data).to_bytes(4, "big")
        self._socket.send_binary(header)
        self._socket.send_binary(data)

    def receive(self, timeout_s: float) -> bytes | None:
        """The next message, or None where none came in time or CloudCore has hung up."""
        self._socket.settimeout(timeout_s)
        try:
            while True:
                frame = self._socket.recv()
                if not frame:
                    return None
                data = frame if isinstance(frame, bytes) else frame.encode()
                if len(data) != _HEADER_BYTES:
                    return data
        except (websocket.WebSocketException, OSError):
            return None


@contextmanager
def session_as(
    connect: Connect, context: ssl.SSLContext, address: Address, node: str
) -> Iterator[Session | None]:
    """A connection that says that it is ``node``; None where CloudCore refuses it at once."""
    try:
        secured = context.wrap_socket(connect())
        opened = websocket.create_connection(
            f"wss://{address}/{_PROJECT}/{node}/events",
            socket=secured,
            header=[f"node_id: {node}", f"project_id: {_PROJECT}", "ConnectionUse: msg"],
        )
    except (websocket.WebSocketException, OSError):
        yield None
        return
    try:
        yield Session(opened)
    finally:
        opened.close()
        secured.close()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)

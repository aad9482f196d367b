"""CloudCore's session as EdgeCore speaks it: JSON messages over a websocket, by node name."""

from __future__ import annotations

import base64
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


@dataclass(frozen=True, slots=True)
class Message:
    """A message to CloudCore: what is to be done (``operation``) to which resource."""

    resource: str
    operation: str
    content: Mapping[str, JsonValue]

    def encoded(self) -> str:
        """As beehive's model.Message has it."""
        return json.dumps(
            {
                "header": {"msg_id": str(uuid.uuid4()), "timestamp": int(time.time() * 1000)},
                "route": {
                    "source": "edged",
                    "group": "meta",
                    "operation": self.operation,
                    "resource": self.resource,
                },
                "content": self.content,
            }
        )


class Session:
    """A websocket to CloudCore; whether CloudCore takes it for a node's session is its affair."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket

    def send(self, message: Message) -> None:
        """Send a message."""
        self._socket.send(message.encoded())

    def receive(self, timeout_s: float) -> str | None:
        """The next message, or None where none came in time or CloudCore has hung up."""
        self._socket.settimeout(timeout_s)
        try:
            frame = self._socket.recv()
        except (websocket.WebSocketException, OSError):
            return None
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        return _readable(text) or None


def _readable(text: str) -> str:
    """The message with its content as it was before it was packed: text may be in base64."""
    try:
        content = json.loads(text).get("content")
        return text + base64.b64decode(content, validate=True).decode(errors="replace")
    except (ValueError, TypeError, AttributeError):
        return text


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

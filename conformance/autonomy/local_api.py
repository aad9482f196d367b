"""The node's own Kubernetes API, asked from the node itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

from fixtures.target import EdgeNode, JsonValue

_TIMEOUT_S = 10.0
# Neither curl nor wget is needed: whoever can confirm a cut link has bash.
_SCRIPT = r"""
exec 3<>"/dev/tcp/$1/$2" || exit
printf 'GET %s HTTP/1.0\r\nHost: %s\r\nAccept: application/json\r\n\r\n' "$3" "$1" >&3
cat <&3
"""


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """What the node's API said: HTTP status, or None and why there is none; and the object."""

    path: str
    status: int | None
    text: str
    document: JsonValue

    def value(self, *keys: str) -> JsonValue:
        """A value of the object by its path; None where there is no such value."""
        found = self.document
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def __str__(self) -> str:
        """For a message."""
        status = "no answer" if self.status is None else f"HTTP {self.status}"
        return f"GET {self.path}: {status}: {self.text[:300]}"


def ask(edge: EdgeNode, address: str, path: str) -> LocalAnswer:
    """One read of the API at ``address`` (``host:port``), from the node."""
    host, _, port = address.rpartition(":")
    argv = ["timeout", f"{_TIMEOUT_S:g}", "bash", "-c", _SCRIPT, "ask", host, port, path]
    done = edge.run(argv, _TIMEOUT_S + 10)
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        reason = done.stderr.strip() or done.stdout or f"exit status {done.exit_code}"
        return LocalAnswer(path, None, reason, None)
    return LocalAnswer(path, int(words[1]), body, _parsed(body))


def _parsed(body: str) -> JsonValue:
    try:
        document: JsonValue = json.loads(body)
    except ValueError:
        return None
    return document

"""Ways to open a real deployment to those whom it must refuse, each undone on exit.

What is started on a node ends there by itself, also when this process is killed.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from conformance.security.agent import Address
from fixtures.target import EdgeNode, wait_until
from tests.conformance import lending_proxy
from tests.conformance.breakages import on_node
from tests.conformance.child import ChildRun
from tests.conformance.lending_proxy import MARK, Lending

LIFETIME_S = 180
_READY_S = 15.0


def assert_each_failed(run: ChildRun, expected: Mapping[str, Sequence[str]]) -> None:
    """Every requirement's test failed, by an assertion of its own, and says all of this."""
    wrong = [f"{case.name}: {case.outcome}" for case in run.cases if case.outcome != "failure"]
    for requirement, fragments in expected.items():
        cases = [case for case in run.cases if case.requirement == requirement]
        if not cases:
            wrong.append(f"{requirement}: no test of it ran")
        for case in cases:
            missing = [text for text in fragments if text not in case.message]
            if missing:
                wrong.append(f"{case.name} failed without saying {missing}: {case.message[:600]}")
    assert not wrong, "\n".join([*wrong, run.output[-3000:]])


def _begin(edge: EdgeNode, command: str) -> str:
    """Start a command in the background, in a process group of its own; gives the group."""
    return on_node(edge, f"setsid {command} </dev/null >/dev/null 2>&1 & echo $!").strip()


def _end(edge: EdgeNode, group: str) -> None:
    """End a group that may have ended by itself."""
    on_node(edge, f"if kill -s 0 -- -{group}; then kill -s KILL -- -{group}; fi")


@contextmanager
def program(edge: EdgeNode, source: str, argument: str, ready: Address) -> Iterator[None]:
    """A Python program on the node, until the block ends or its time is over."""
    word = base64.b64encode(source.encode()).decode()
    start = (
        f"setsid timeout {LIFETIME_S} python3.11 -c "
        f"\"import base64;exec(base64.b64decode('{word}'))\" {shlex.quote(argument)} "
        "</dev/null >/dev/null 2>&1 & echo $!"
    )
    group = on_node(edge, start).strip()

    def reached() -> bool:
        edge.connect(ready.host, ready.port, 2.0).close()
        return True

    try:
        wait_until(
            f"a listener on {ready} of {edge.name}", reached, bool, _READY_S, expected=(OSError,)
        )
        yield
    finally:
        _end(edge, group)


@contextmanager
def listener(edge: EdgeNode, host: str, port: int) -> Iterator[None]:
    """One more open port on the node."""
    source = (
        "import socket, sys, json\n"
        "server = socket.create_server(tuple(json.loads(sys.argv[1])))\n"
        "while True: server.accept()[0].close()\n"
    )
    with program(edge, source, json.dumps([host, port]), Address(host, port)):
        yield


@contextmanager
def relay(edge: EdgeNode, lending: Lending) -> Iterator[None]:
    """The relay on the node."""
    source = Path(lending_proxy.__file__).read_text("utf-8")
    where = Address(lending.listen, lending.port)
    with program(edge, source, json.dumps(asdict(lending)), where):
        yield


@contextmanager
def redirected(edge: EdgeNode, address: Address, port: int) -> Iterator[None]:
    """New connections of the node to ``address`` end at its own ``port`` instead.

    Connections that are open, as the agent's, are left alone; so is what the relay opens.
    """
    rule = (
        f"OUTPUT -p tcp -d {address.host} --dport {address.port} -m mark ! --mark {MARK} "
        f"-j REDIRECT --to-ports {port}"
    )
    timer = f"sleep {LIFETIME_S}; iptables -w -t nat -D {rule}"
    group = _begin(edge, f"sh -c {shlex.quote(timer)}")
    try:
        on_node(edge, f"iptables -w -t nat -I {rule}")
        yield
    finally:
        on_node(edge, f"iptables -w -t nat -D {rule}")
        _end(edge, group)


@contextmanager
def file_on(edge: EdgeNode, path: str, content: bytes, mode: str = "0600") -> Iterator[None]:
    """A file on the node that removes itself when its time is over."""
    word = base64.b64encode(content).decode()
    timer = f"sleep {LIFETIME_S}; rm -f {path}"
    group = _begin(edge, f"sh -c {shlex.quote(timer)}")
    try:
        on_node(
            edge,
            f"test ! -e {path} && mkdir -p $(dirname {path}) && umask 077 && "
            f"echo {word} | base64 -d >{path} && chmod {mode} {path}",
        )
        yield
    finally:
        on_node(edge, f"rm -f {path}; rmdir --ignore-fail-on-non-empty $(dirname {path})")
        _end(edge, group)


@contextmanager
def readable_by_all(edge: EdgeNode, path: str) -> Iterator[None]:
    """Let every user of the node reach and read a file; modes are put back."""
    parts = [path]
    while parts[-1] != "/":
        parts.append(str(Path(parts[-1]).parent))
    words = " ".join(shlex.quote(part) for part in parts)
    before = on_node(edge, f"stat -L -c '%a %n' {words}").splitlines()
    restore = "; ".join(
        f"chmod {mode} {shlex.quote(name)}"
        for mode, name in (line.split(" ", 1) for line in before)
    )
    timer = f"sleep {LIFETIME_S}; {restore}"
    group = _begin(edge, f"sh -c {shlex.quote(timer)}")
    try:
        on_node(edge, f"chmod o+r {shlex.quote(path)} && chmod o+x {words}")
        yield
    finally:
        on_node(edge, restore)
        _end(edge, group)


@contextmanager
def device_in(edge: EdgeNode, pid: int, name: str, kind: Sequence[str]) -> Iterator[None]:
    """A device file in a container's /dev that nobody allocated to it."""
    path = f"/proc/{pid}/root/dev/{name}"
    on_node(edge, f"mknod -m 0600 {path} {' '.join(kind)}")
    try:
        yield
    finally:
        on_node(edge, f"rm -f {path}")

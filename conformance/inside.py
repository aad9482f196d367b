"""Running a command inside a container, with the whole of its output or none."""

from __future__ import annotations

from collections.abc import Sequence

from conformance.errors import ConformanceError
from fixtures.target import CommandResult, ContainerInfo, EdgeNode, WaitTimeout, wait_until

_END = "--edge-conformance-end--"
_WRAPPED = f'"$@"; code=$?; echo; echo {_END}; exit $code'
_WHOLE_S = 20.0


class CannotLook(ConformanceError):
    """A container could not be looked into: it may be ending, or has no shell."""


def run_inside(
    edge: EdgeNode, container: ContainerInfo, argv: Sequence[str], timeout_s: float = 30.0
) -> CommandResult:
    """Run a command, which a repetition must not harm, in a container that has ``sh``.

    containerd's client ends with 0 and without any output in one of a hundred calls on a busy
    node (seen with ctr 1.6). So the end of the output is marked, and an answer without the mark
    is asked for again.

    Raises:
        CannotLook: no whole answer came.
    """
    wrapped = ["sh", "-c", _WRAPPED, "sh", *argv]
    try:
        done = wait_until(
            f"the whole output of {' '.join(argv)[:100]!r} in {container.pod_name}/"
            f"{container.name} on {edge.name}",
            lambda: edge.exec_in_container(container, wrapped, timeout_s),
            lambda result: _END in result.stdout or result.exit_code != 0,
            _WHOLE_S,
        )
    except WaitTimeout as error:
        raise CannotLook(str(error)) from error
    output, end, _ = done.stdout.rpartition(f"\n{_END}")
    if not end:
        raise CannotLook(
            f"could not run a command in {container.pod_name}/{container.name} on {edge.name}: "
            f"exit {done.exit_code}: {done.stdout.strip()[-200:]} {done.stderr.strip()[-300:]}"
        )
    return CommandResult(tuple(argv), done.exit_code, output, done.stderr)

"""Whether a server refuses what it must refuse, and in the right words."""

from __future__ import annotations

from collections.abc import Collection

from conformance.errors import AnswerError
from conformance.serving.messages import Ask, Channel, Refused

CLIENT_ERRORS: tuple[int | str, ...] = (
    *(400, 404, 413, 422),
    *("INVALID_ARGUMENT", "NOT_FOUND", "OUT_OF_RANGE"),
)
"""How the protocols say that the request, and not the server, is wrong."""
NOT_FOUND: tuple[int | str, ...] = (404, "NOT_FOUND")


def not_refused(
    channel: Channel, ask: Ask, what: str, allowed: Collection[int | str] = CLIENT_ERRORS
) -> list[str]:
    """What is wrong: nothing where the server refused with one of the allowed errors."""
    try:
        answer = channel.infer(ask)
    except Refused as refused:
        if refused.status in allowed and refused.reason:
            return []
        return [f"{channel.name}, {what}: refused with {refused}"]
    except AnswerError as error:
        return [f"{channel.name}, {what}: {error}"]
    shapes = {name: list(tensor.shape) for name, tensor in answer.outputs.items()}
    return [f"{channel.name}, {what}: answered with {shapes}"]

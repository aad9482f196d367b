"""What a server says it speaks beyond the protocol's core."""

from __future__ import annotations

import json

from conformance.errors import AnswerError
from conformance.inference import HttpClient

BINARY_TENSORS = "binary_tensor_data"


def listed_extensions(http: HttpClient) -> frozenset[str]:
    """The extensions of the server's own metadata.

    Raises:
        AnswerError: the server metadata cannot be read.
    """
    answer = http.send("GET", "v2")
    try:
        found = json.loads(answer.data)["extensions"]
    except (ValueError, KeyError, TypeError) as error:
        raise AnswerError(
            f"server metadata: HTTP {answer.status} without extensions: {answer.data[:200]!r}"
        ) from error
    return frozenset(str(one) for one in found)

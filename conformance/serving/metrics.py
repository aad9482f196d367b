"""The counters of Triton's Prometheus page that prove dynamic batching."""

from __future__ import annotations

import re
from dataclasses import dataclass

import urllib3

from conformance.errors import AnswerError
from fixtures.target import Endpoint

_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\}\s+(?P<value>\S+)")
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class BatchCounters:
    """One model's requests answered well, inferences in them, and executions that did them."""

    requests: int
    inferences: int
    executions: int

    def since(self, before: BatchCounters) -> BatchCounters:
        """How much each counter grew."""
        return BatchCounters(
            self.requests - before.requests,
            self.inferences - before.inferences,
            self.executions - before.executions,
        )


def parse_counters(page: str, model: str) -> BatchCounters:
    """Sum the model's counters over its versions and devices.

    Raises:
        AnswerError: when the page lacks one of the counters for the model.
    """
    names = ("nv_inference_request_success", "nv_inference_count", "nv_inference_exec_count")
    found: dict[str, float] = {}
    for line in page.splitlines():
        match = _SAMPLE.match(line)
        if match is None or match["name"] not in names or f'model="{model}"' not in match["labels"]:
            continue
        found[match["name"]] = found.get(match["name"], 0.0) + float(match["value"])
    missing = [name for name in names if name not in found]
    if missing:
        raise AnswerError(f"the metrics page has no {', '.join(missing)} of model {model}")
    return BatchCounters(*(int(found[name]) for name in names))


def read_counters(endpoint: Endpoint, model: str) -> BatchCounters:
    """The model's counters now.

    Raises:
        AnswerError: when the page cannot be read, or lacks a counter.
    """
    url = endpoint.metrics_url
    try:
        response = urllib3.request("GET", url, retries=False, timeout=_TIMEOUT_S)
    except urllib3.exceptions.HTTPError as error:
        raise AnswerError(f"GET {url}: {type(error).__name__}: {error}") from error
    if response.status != 200:
        raise AnswerError(f"GET {url}: HTTP {response.status}")
    return parse_counters(response.data.decode(), model)

"""Triton's own counters, read from its Prometheus page."""

from __future__ import annotations

import re
import urllib.request
from dataclasses import dataclass

from loadtests.errors import LoadError

_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class BatchCounters:
    """Requests answered, items inferred, and executions of the model, since the server began."""

    requests: int
    items: int
    executions: int

    def since(self, before: BatchCounters) -> BatchCounters:
        """The growth since an earlier look."""
        return BatchCounters(
            self.requests - before.requests,
            self.items - before.items,
            self.executions - before.executions,
        )


def read_batch_counters(metrics_url: str, model: str) -> BatchCounters:
    """The counters of one model, over all its versions and devices."""
    with urllib.request.urlopen(metrics_url, timeout=_TIMEOUT_S) as response:
        return parse_batch_counters(response.read().decode("utf-8"), model)


def parse_batch_counters(page: str, model: str) -> BatchCounters:
    """The counters of one model on a Prometheus page; LoadError if one of them is not there."""
    totals: dict[str, float] = {}
    for sample in _SAMPLE.finditer(page):
        if f'model="{model}"' in sample["labels"]:
            totals[sample["name"]] = totals.get(sample["name"], 0.0) + float(sample["value"])
    try:
        return BatchCounters(
            requests=int(totals["nv_inference_request_success"]),
            items=int(totals["nv_inference_count"]),
            executions=int(totals["nv_inference_exec_count"]),
        )
    except KeyError as missing:
        raise LoadError(
            f"metrics page: no counter {missing} of model {model!r}; found {sorted(totals)}"
        ) from missing

from __future__ import annotations

import pytest

from loadtests.counters import BatchCounters, parse_batch_counters
from loadtests.errors import LoadError

PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="anomaly-window",version="1"} 328
nv_inference_request_success{model="identity",version="1"} 5
nv_inference_count{model="anomaly-window",version="1"} 1312
nv_inference_exec_count{model="anomaly-window",version="1"} 293
nv_cpu_utilization 0.5
"""


def test_counters_of_one_model() -> None:
    found = parse_batch_counters(PAGE, "anomaly-window")
    assert found == BatchCounters(requests=328, items=1312, executions=293)
    assert found.since(BatchCounters(300, 1200, 290)) == BatchCounters(28, 112, 3)


def test_absent_counter_is_named() -> None:
    with pytest.raises(LoadError, match="no counter 'nv_inference_count' of model 'identity'"):
        parse_batch_counters(PAGE, "identity")

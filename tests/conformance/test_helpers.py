"""The parts of the conformance tests that need no deployment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import check_answer, prepare
from conformance.observe import observe_until, observe_while
from conformance.serving.malformed import malformed_requests
from conformance.serving.metrics import BatchCounters, parse_counters
from fixtures.target import Array, GoldenSample
from tests.conformance.background import Background
from tests.conformance.child import CaseOutcome, ChildRun, changed, read_cases

SAMPLE = GoldenSample(
    "m", {"IN": np.ones(4, np.float32)}, {"OUT": np.array([1.0, 2.0], np.float32)}, atol=1e-3
)


def test_right_answer_is_accepted_within_the_tolerance() -> None:
    check_answer(SAMPLE, {"OUT": np.array([1.0005, 2.0], np.float32)})


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "lacks the output OUT"),
        ({"OUT": np.array([1.0, 2.0])}, r"is float64\[2\], expected float32\[2\]"),
        ({"OUT": np.ones((1, 2), np.float32)}, r"float32\[1, 2\]"),
        ({"OUT": np.array([1.0, 2.1], np.float32)}, "wrong numbers in output OUT"),
        ({"OUT": np.array([1.0, np.nan], np.float32)}, "wrong numbers in output OUT"),
    ],
)
def test_wrong_answer_is_named(outputs: dict[str, Array], message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        check_answer(SAMPLE, outputs)


def test_counters_are_summed_over_a_models_lines_only() -> None:
    page = "\n".join(
        [
            "# HELP nv_inference_count x",
            'nv_inference_request_success{model="m",version="1"} 3',
            'nv_inference_request_success{model="m",version="2"} 4',
            'nv_inference_request_success{model="other",version="1"} 50',
            'nv_inference_count{model="m",version="1"} 9.000000',
            'nv_inference_exec_count{model="m",version="1"} 2',
        ]
    )
    assert parse_counters(page, "m") == BatchCounters(7, 9, 2)


def test_missing_counter_is_named() -> None:
    page = 'nv_inference_count{model="m"} 1'
    with pytest.raises(AnswerError, match=r"no nv_inference_request_success, nv_.*exec_count"):
        parse_counters(page, "m")


def test_malformed_requests_differ_from_the_good_one() -> None:
    good = {prepare(SAMPLE, binary=False).body, prepare(SAMPLE, binary=True).body}
    requests = malformed_requests(SAMPLE)
    same = [one for one in requests if one.model == SAMPLE.model and one.body in good]
    assert not same
    assert len({one.fault for one in requests}) == len(requests)


def test_observation_tells_late_from_in_time() -> None:
    values = iter([1, 2, 3])
    assert observe_until(lambda: next(values), lambda v: v == 3, 60.0, 0.0).accepted
    late = observe_until(lambda: 1, lambda v: v == 3, 0.0)
    assert (late.accepted, late.value) == (False, 1)


def test_watch_ends_at_the_first_breach() -> None:
    values = iter([1, 1, 2, 1])
    seen = observe_while(lambda: next(values), lambda v: v == 1, 60.0, 0.0)
    assert (seen.accepted, seen.value) == (False, 2)
    assert observe_while(lambda: 1, lambda v: v == 1, 0.0).accepted


def test_explanation_has_all_four_parts() -> None:
    text = explain(promised="a", seen="b", since="c", look="d")
    assert text.splitlines() == ["Promised: a", "Seen: b", "Since: c", "Where to look: d"]


def test_profile_changes_reach_into_lists_and_refuse_unknown_paths() -> None:
    text = "nodes: [{name: a, accelerator: {count: 2}}]\nthresholds: {x_s: 1}\n"
    document = yaml.safe_load(changed(text, {"nodes.0.accelerator.count": 3}))
    assert document["nodes"][0]["accelerator"]["count"] == 3
    with pytest.raises(KeyError, match="no thresholds"):
        changed(text, {"thresholds.y_s": 1})


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ((), "ran no test"),
        ((CaseOutcome("t", "passed", ""),), "did not fail its test"),
        # A broken harness is not a broken promise.
        ((CaseOutcome("t", "error", "wanted"),), "did not fail its test"),
        ((CaseOutcome("t", "skipped", "wanted"),), "did not fail its test"),
        ((CaseOutcome("t", "failure", "another"),), "failed without saying"),
    ],
)
def test_child_that_failed_otherwise_is_no_proof(
    cases: tuple[CaseOutcome, ...], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        ChildRun(1, cases, "").assert_failed("wanted")


def test_background_hands_its_error_to_the_test() -> None:
    def step() -> bool:
        raise ValueError("no such pod")

    background = Background(step, interval_s=0.0)
    with pytest.raises(ValueError, match="no such pod"), background:
        background._thread.join()


def test_failure_outweighs_the_teardowns_error(tmp_path: Path) -> None:
    junit = tmp_path / "child.xml"
    junit.write_text(
        '<testsuites><testsuite><testcase name="t"><failure message="promise"/>'
        '<error message="teardown"/></testcase><testcase name="u"/></testsuite></testsuites>',
        "utf-8",
    )
    broken, whole = read_cases(junit)
    assert (broken.outcome, broken.message.strip()) == ("failure", "promise")
    assert whole.outcome == "passed"

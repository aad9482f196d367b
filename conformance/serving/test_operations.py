"""Serving: a server is started, updated and ended without its users being hurt; done to copies."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import urllib3
from kubernetes import client

from conformance.catalogue import requirement
from conformance.errors import AnswerError
from conformance.explain import explain
from conformance.inference import HttpClient, golden_samples, prepare
from conformance.observe import observe_until
from conformance.serving.copies import Copy, copy_of_server, edge_with_room
from conformance.serving.failover import FailoverClient, FailoverReport
from conformance.serving.http_channel import HttpChannel
from conformance.serving.lanes import Lane, absent
from conformance.serving.messages import Ask
from conformance.serving.model_use import ModelRepository
from conformance.serving.tensors import Tensor
from conformance.workloads import created, pod_now, wait_ready
from fixtures.profile import Operations, Profile
from fixtures.target import (
    Cluster,
    Deployment,
    EdgeNode,
    Endpoint,
    Evidence,
    GoldenSample,
    WaitTimeout,
    wait_until,
)

pytestmark = pytest.mark.disturbs

PORTS_PER_LANE = 5
# What lanes are asked: the smallest model, so that the load is no burden to the node.
ASKED = "identity"
IN_FLIGHT = 2
IN_FLIGHT_MS = 1000
SLOW_TIMEOUT_S = 20.0
ASK_TIMEOUT_S = 3.0
# From the end of a container to the API server's word that the pod is gone.
REPORT_LAG_S = 10.0
_PENDING = r'nv_inference_pending_request_count\{{model="{}"[^}}]*\}} (\S+)'
_LOOK = "events and containers of the namespace's pods, and the agent's log on the node"
_KUBERNETES = "Kubernetes documentation: Deployments"


@pytest.fixture
def operations(profile: Profile) -> Operations:
    """What the profile claims of operations; a profile that claims nothing skips the test."""
    if profile.operations is None:
        pytest.skip(f"profile {profile.name} has no section operations")
    return profile.operations


@pytest.fixture
def samples(deployment: Deployment) -> tuple[GoldenSample, ...]:
    """What the lanes are asked."""
    return deployment.golden(ASKED)


@dataclass(frozen=True, slots=True)
class Lanes:
    """Two lanes of one service on one node, and the client that knows both."""

    first: Lane
    second: Lane
    samples: tuple[GoldenSample, ...]

    @contextmanager
    def asked(self) -> Iterator[FailoverClient]:
        """The client at work."""
        known = {one.name: one.endpoint for one in (self.first, self.second)}
        with FailoverClient(known, self.samples) as client_at_work:
            yield client_at_work


@pytest.fixture
def lanes(
    deployment: Deployment,
    cluster: Cluster,
    namespace: str,
    operations: Operations,
    samples: tuple[GoldenSample, ...],
) -> Lanes:
    """Two lanes, not yet started."""
    edge = edge_with_room(deployment, 2)

    def lane(index: int, name: str, revision: str) -> Lane:
        server = copy_of_server(cluster, edge, operations.first_port + index * PORTS_PER_LANE)
        return Lane(cluster, namespace, name, server, samples[0], revision)

    return Lanes(lane(0, "a", "1"), lane(1, "b", "2"), samples)


@pytest.fixture
def both(lanes: Lanes, operations: Operations) -> Iterator[Lanes]:
    """The two lanes, serving."""
    limit_s = 2 * operations.cold_start_present_s
    with lanes.first.up(limit_s), lanes.second.up(limit_s):
        yield lanes


def _check_answers(report: FailoverReport, while_what: str) -> None:
    assert not report.failures, explain(
        promised=f"every request is answered rightly {while_what}, by one replica or the other",
        seen=report.describe(),
        since="the client began, with both replicas serving",
        look=_LOOK,
    )


@requirement(
    id="SRV-030",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Two replicas of an inference server, on ports of their own, MUST be updated one "
    "after the other without a request failing for a client that knows both.",
    why="A line does not stop for an update; on one node, two servers cannot share a port, so "
    "the client that knows both replicas is the site's load balancer.",
    source=f"{_KUBERNETES}, updating a Deployment",
)
def test_rolling_update(both: Lanes, operations: Operations, evidence: Evidence) -> None:
    """Update lane after lane under requests, each awaited before the next."""
    took = {}
    with both.asked() as at_work:
        for lane in (both.first, both.second):
            lane.update("3")
            try:
                took[lane.name] = lane.wait_serving("3", 2 * operations.cold_start_present_s)
            except WaitTimeout as error:
                _check_answers(at_work.report(), "during a rolling update")
                pytest.fail(f"the update did not come to an end: {error}")
        report = at_work.report()
    evidence.value("requests answered during the update", sum(report.answered.values()))
    evidence.value("requests that asked the second replica", report.second_asked)
    for name, seconds in took.items():
        evidence.value(f"lane {name} updated after", round(seconds, 2), "s")
    _check_answers(report, "during a rolling update")


@requirement(
    id="SRV-031",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="A canary of another revision MUST serve beside the stable replica, both answering "
    "rightly, and go again without a request failing.",
    why="A new model is tried on a share of the parts before all of them depend on it.",
    source=f"{_KUBERNETES}, canary Deployment",
)
def test_canary(lanes: Lanes, operations: Operations, evidence: Evidence) -> None:
    """Start a canary beside a stable lane under requests, watch both, and take it away."""
    limit_s = 2 * operations.cold_start_present_s
    canary = lanes.second
    with lanes.first.up(limit_s), lanes.asked() as at_work:
        # Not awaited apart: whatever it answers from its first moment on counts.
        with canary.started():
            shared = observe_until(
                at_work.report,
                lambda now: bool(now.failures) or now.answered.get(canary.name, 0) >= 20,
                limit_s,
            )
        gone = at_work.report()
        after = observe_until(
            at_work.report,
            lambda now: bool(now.failures) or _share(now, gone, lanes.first.name) >= 10,
            limit_s,
        )
    evidence.value("requests that the canary answered", gone.answered.get(canary.name, 0))
    evidence.value("requests that the stable replica answered", after.value.answered.get("a", 0))
    _check_answers(after.value, "with a canary beside the stable replica, and after it went")
    assert shared.accepted, explain(
        promised="the canary takes its share of the requests",
        seen=f"{shared.value.answered.get(canary.name, 0)} in {shared.seconds:.0f} s",
        since="the canary was created",
        look=_LOOK,
    )
    assert after.accepted, f"no more answers after the canary went: {after.value.describe()}"


def _share(now: FailoverReport, before: FailoverReport, name: str) -> int:
    return now.answered.get(name, 0) - before.answered.get(name, 0)


@requirement(
    id="SRV-032",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="An update whose image cannot be had MUST be undone by rolling back: the former "
    "revision serves again within its cold start's bound, and no request fails meanwhile.",
    why="Most updates that fail do so by a wrong tag; the way back must be as short as the way in.",
    source=f"{_KUBERNETES}, rolling back a Deployment",
)
def test_roll_back(both: Lanes, operations: Operations, evidence: Evidence) -> None:
    """Update one lane to an image that is not there, see it fail, and roll it back."""
    lane = both.first
    with both.asked() as at_work:
        lane.update("3", image=absent(lane.image))
        failing = wait_until(
            "the update to be refused its image",
            lambda: lane.state("3"),
            lambda state: "ErrImagePull" in state or "ImagePullBackOff" in state,
            2 * operations.cold_start_present_s,
        )
        lane.roll_back()
        back = observe_until(
            lambda: lane.state(lane.revision),
            lambda state: state == "serving",
            operations.cold_start_present_s,
        )
        report = at_work.report()
    evidence.value("state of the failed update", failing)
    evidence.value("former revision served again after", round(back.seconds, 2), "s")
    evidence.value("requests answered meanwhile", sum(report.answered.values()))
    _check_answers(report, "while an update fails and is rolled back")
    assert back.accepted, explain(
        promised=f"the former revision serves within {operations.cold_start_present_s:g} s",
        seen=f"after {back.seconds:.0f} s: {back.value}",
        since="the roll-back",
        look=_LOOK,
    )


@pytest.fixture
def room(deployment: Deployment) -> EdgeNode:
    """A node with room for one copy of its server."""
    return edge_with_room(deployment, 1)


@pytest.fixture
def server(room: EdgeNode, cluster: Cluster, operations: Operations) -> Copy:
    """A copy of the node's server, not yet started."""
    return copy_of_server(cluster, room, operations.first_port)


def _pod(server: Copy, namespace: str, pull_policy: str) -> client.V1Pod:
    for container in server.spec.containers:
        container.image_pull_policy = pull_policy
    return client.V1Pod(
        api_version="v1",
        kind="Pod",
        metadata=client.V1ObjectMeta(name="server", namespace=namespace),
        spec=server.spec,
    )


@requirement(
    id="SRV-033",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="An inference server whose image is on the node MUST answer every claimed model "
    "rightly within the profile's bound, counted from the pod's creation.",
    why="It is the outage of every update and of every restart on another node.",
    source="Kubernetes documentation: pod lifecycle, container probes",
)
def test_cold_start_with_the_image_present(
    deployment: Deployment,
    cluster: Cluster,
    room: EdgeNode,
    server: Copy,
    namespace: str,
    operations: Operations,
    evidence: Evidence,
) -> None:
    """Start a copy that may pull nothing, and ask every golden sample until all are right."""
    bound_s = operations.cold_start_present_s
    begun = time.monotonic()
    with created(cluster, _pod(server, namespace, "Never")):
        problem = _right_within(deployment, server.endpoint, bound_s)
        seconds = time.monotonic() - begun
        assert not problem, explain(
            promised=f"a new server on {room.name} answers rightly within {bound_s:g} s",
            seen=problem,
            since="its pod was created, with the image on the node",
            look=_LOOK,
        )
        evidence.value(f"{room.name} right answers after", round(seconds, 2), "s")
        wait_ready(cluster, namespace, "server", bound_s)
        evidence.value(f"{room.name} pod Ready after", round(time.monotonic() - begun, 2), "s")


def _right_within(deployment: Deployment, endpoint: Endpoint, bound_s: float) -> str:
    """Nothing once the server answers everything rightly, else what was seen last."""
    requests = [prepare(one, binary=False) for one in golden_samples(deployment, endpoint)]
    asked = HttpClient(endpoint, ASK_TIMEOUT_S)

    def ask_all() -> str:
        try:
            for request in requests:
                asked.ask(request)
        except AnswerError as error:
            return str(error)
        return ""

    try:
        seen = observe_until(ask_all, lambda problem: not problem, bound_s)
    finally:
        asked.close()
    return seen.value and f"after {seen.seconds:.0f} s: {seen.value}"


def _slow_answer(endpoint: Endpoint, model: str) -> str:
    """Nothing where a slow request is answered, else what was wrong."""
    delay = Tensor("DELAY_MS", "INT32", np.array([[IN_FLIGHT_MS]], np.int32))
    channel = HttpChannel(endpoint, binary=False)
    try:
        rank = channel.infer(Ask(model, (delay,)), SLOW_TIMEOUT_S).output("RANK")
    except AnswerError as error:
        return str(error)
    finally:
        channel.close()
    return "" if 1 <= int(rank.array.ravel()[0]) <= IN_FLIGHT else f"RANK is {rank.describe()}"


def _await_work(endpoint: Endpoint, model: str) -> None:
    """Wait until the server works on one request and the others wait in its queue."""

    def waiting() -> int:
        page = urllib3.request("GET", endpoint.metrics_url, retries=False, timeout=ASK_TIMEOUT_S)
        counts = re.findall(_PENDING.format(re.escape(model)), page.data.decode())
        return sum(int(float(count)) for count in counts)

    wait_until(
        f"{IN_FLIGHT - 1} request waiting behind another, by {endpoint.metrics_url}",
        waiting,
        lambda count: count == IN_FLIGHT - 1,
        SLOW_TIMEOUT_S,
        interval_s=0.05,
        expected=(urllib3.exceptions.HTTPError,),
    )


@requirement(
    id="SRV-035",
    level="MUST",
    family="serving",
    since="0.2",
    sentence="Requests that a server works on when its pod is deleted MUST be answered rightly "
    "before the server ends, and the pod MUST be gone within its grace period.",
    why="Every update and every eviction ends a server; the parts under its cameras still count.",
    source="Kubernetes documentation: termination of Pods",
)
def test_termination_finishes_what_is_in_flight(
    cluster: Cluster,
    server: Copy,
    namespace: str,
    profile: Profile,
    operations: Operations,
    evidence: Evidence,
) -> None:
    """Delete a copy in the middle of slow requests, and await their answers."""
    if "slow" not in profile.serving.conformance:
        pytest.skip("the profile's serving.conformance names no model for slow")
    model = profile.serving.conformance["slow"]
    grace_s = server.spec.termination_grace_period_seconds or 30
    with created(cluster, _pod(server, namespace, "IfNotPresent")):
        wait_ready(cluster, namespace, "server", 2 * operations.cold_start_present_s)
        repository = ModelRepository(server.endpoint)
        if not repository.ready(model):
            repository.load(model)
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            asked = [pool.submit(_slow_answer, server.endpoint, model) for _ in range(IN_FLIGHT)]
            _await_work(server.endpoint, model)
            deleted = time.monotonic()
            client.CoreV1Api(cluster.api_client).delete_namespaced_pod("server", namespace)
            problems = [problem for one in asked if (problem := one.result())]
            answered_s = time.monotonic() - deleted
        left_s = grace_s + REPORT_LAG_S - answered_s
        gone = observe_until(
            lambda: pod_now(cluster, namespace, "server"), lambda pod: pod is None, left_s
        )
    evidence.value("requests in flight answered", IN_FLIGHT - len(problems))
    evidence.value("last of them answered after", round(answered_s, 2), "s")
    evidence.value("pod gone after", round(answered_s + gone.seconds, 2), "s")
    assert not problems, explain(
        promised=f"{IN_FLIGHT} requests in flight are answered though the pod is deleted",
        seen="; ".join(problems),
        since="the pod was deleted",
        look="the server's handling of SIGTERM, and terminationGracePeriodSeconds of its pod",
    )
    assert gone.accepted, explain(
        promised=f"the pod is gone within its grace period of {grace_s} s",
        seen=f"it was still there after {answered_s + gone.seconds:.1f} s",
        since="the pod was deleted",
        look=_LOOK,
    )

"""The options by which scenarios are run: which, for how long, and against which node."""

from __future__ import annotations

import re

import pytest

from fixtures.profile import Profile
from fixtures.target import Deployment, EdgeNode
from loadtests.errors import SpecError
from loadtests.scenario import Scenario, load, names

MARKER = "scenario"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def add_options(parser: pytest.Parser) -> None:
    """Add the options to pytest's."""
    group = parser.getgroup("edge load")
    group.addoption(
        "--scenario",
        metavar="NAME[,NAME]",
        help=f"run only these loads: {', '.join(names())}, or the path of a YAML file",
    )
    group.addoption(
        "--duration", metavar="TIME", help="how long a scenario lasts, such as 90s, 5m or 8h"
    )
    group.addoption(
        "--load-node", metavar="NAME", help="the node to load (default: the first that can serve)"
    )


def chosen(config: pytest.Config) -> tuple[Scenario, ...]:
    """The scenarios that were asked for.

    Raises:
        pytest.UsageError: one that is not there, or what is wrong with its file.
    """
    option = config.getoption("--scenario")
    try:
        return tuple(load(name.strip()) for name in option.split(",")) if option else ()
    except SpecError as error:
        raise pytest.UsageError(f"--scenario: {error}") from error


def duration_s(config: pytest.Config) -> float | None:
    """How long the scenarios are to last, or None for as long as they say.

    Raises:
        pytest.UsageError: it is no duration.
    """
    option = config.getoption("--duration")
    if option is None:
        return None
    match = _DURATION.fullmatch(option)
    seconds = float(match[1]) * _SECONDS[match[2] or "s"] if match else 0.0
    if seconds <= 0:
        raise pytest.UsageError(f"--duration: found {option!r}, expected such as 90s, 5m or 8h")
    return seconds


def node(config: pytest.Config, deployment: Deployment, models: frozenset[str]) -> EdgeNode:
    """The node to be loaded; the test is skipped where none serves the models."""
    name = config.getoption("--load-node")
    if name is not None and name not in deployment.edges:
        raise pytest.UsageError(
            f"--load-node: found {name!r}, expected one of {', '.join(deployment.edges)}"
        )
    wanted = [deployment.edges[name]] if name else list(deployment.edges.values())
    for edge in wanted:
        if models <= set(edge.endpoint.models):
            return edge
    pytest.skip(f"no node serves {', '.join(sorted(models))}")


def models_of(scenario: Scenario, profile: Profile) -> frozenset[str]:
    """The models that a scenario asks on a device of this profile."""
    return frozenset(ask.model for ask in scenario.plan(profile).asks)

"""The offline episode, which is played for the first test that looks at it."""

from __future__ import annotations

import pytest

from conformance.autonomy.episode import EPISODE_NEEDS, Episode, play
from conformance.autonomy.once import Once
from conformance.capabilities import first_edge
from fixtures.profile import Profile
from fixtures.target import Deployment, Faults


@pytest.fixture(scope="session")
def played() -> Once[Episode]:
    """Where the episode is kept for the rest of the run."""
    return Once()


@pytest.fixture
def episode(
    played: Once[Episode], deployment: Deployment, faults: Faults, profile: Profile
) -> Episode:
    """What was seen in the offline episode.

    It is played within the first test that asks for it, and so under that test's lock on the
    deployment and in its evidence; it leaves nothing behind.
    """

    def make() -> Episode:
        edge = first_edge(deployment, *EPISODE_NEEDS)
        return play(deployment.cluster, edge, faults, profile)

    return played.get(make)

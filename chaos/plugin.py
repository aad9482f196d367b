"""The pytest side of faults: the ``faults`` fixture."""

from __future__ import annotations

import pytest

from chaos.injector import FaultInjector
from fixtures.profile import Profile
from fixtures.target import Evidence, Faults


@pytest.fixture
def faults(profile: Profile, evidence: Evidence) -> Faults:
    """Faults as context managers, each confirmed, healed and left in the evidence."""
    return FaultInjector(evidence, profile.thresholds)

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtests.run import Loads
from tests.loadtests.evidence import ListedEvidence
from tests.loadtests.server import DisturbedServer, golden


@pytest.fixture
def listed_evidence(tmp_path: Path) -> ListedEvidence:
    return ListedEvidence(tmp_path)


@pytest.fixture
def server() -> Iterator[DisturbedServer]:
    disturbed = DisturbedServer()
    yield disturbed
    disturbed.down()


@pytest.fixture
def loads(listed_evidence: ListedEvidence) -> Loads:
    return Loads(
        listed_evidence, golden, default_slo_ms=500.0, requirement="LOD-999", calibration_s=0.2
    )

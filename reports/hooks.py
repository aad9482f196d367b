"""Hooks by which the collector learns what is claimed and what is known of the deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest


@pytest.hookspec(firstresult=True)
def pytest_edge_claims(config: pytest.Config) -> Mapping[str, object] | None:
    """What the profile claims.

    Keys: ``profile``, ``profile_path``, ``deployment``, ``families``, ``requirements``,
    ``exclude``, ``thresholds``. None means that nothing is claimed.
    """


@pytest.hookspec(firstresult=True)
def pytest_edge_facts(config: pytest.Config) -> Sequence[Mapping[str, object]] | None:
    """Facts of the deployment and the machine, each with ``name, value, source, unit``.

    Asked at the end of the run; facts in the evidence (kind ``fact``) need not be given again.
    """

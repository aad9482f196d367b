"""The collector beside the suite's own plugins: their options, claims and evidence."""

from __future__ import annotations

from pathlib import Path

import pytest

from reports.environment import CHECKOUT
from reports.store import read

pytest_plugins = ["pytester"]

TESTS = """
import pytest
from conformance.catalogue import requirement

@requirement(id="PLC-901", level="MUST", family="placement", since="0.1",
             sentence="It MUST be.", why="Because.", source="Here")
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.disturbs
def test_number(number, evidence):
    evidence.value("number", number, "s")
    evidence.record("fact", {"name": "version.a", "value": "1", "source": "s", "unit": None})
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_claims_options_and_evidence_come_together(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(CHECKOUT))
    monkeypatch.setenv("EDGE_CONFORMANCE_STATE", str(pytester.path / "state"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    reference = (CHECKOUT / "profiles" / "reference.yaml").read_text("utf-8")
    lines = [
        "  families: [placement]" if line.strip().startswith("families:") else line
        for line in reference.splitlines()
    ]
    Path("profile.yaml").write_text("\n".join(lines), "utf-8")
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess(
        *("-p", "fixtures.plugin", "-p", "reports.collector", "-p", "conformance.catalogue"),
        *("-p", "no:cacheprovider", "--strict-markers"),
        *("--profile", "profile.yaml", "--report-dir", "report", *workers),
    )
    assert result.ret == 0
    results = read(pytester.path / "report")
    assert results.verdict.certified
    assert results.claims is not None
    assert results.claims.families == ("placement",)
    (shown,) = results.requirements
    assert sorted(str(test.values[0].value) for test in shown.tests) == ["1", "2"]
    # xdist adds groups to the ids of tests; what is to be typed has none.
    assert not [test.run_alone for test in shown.tests if "@" in test.run_alone]
    assert [fact.name for fact in results.facts] == ["version.a"]

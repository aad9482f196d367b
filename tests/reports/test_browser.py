"""The page as a real browser shows it, from the disk and without network."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from reports.html.page import render
from tests.reports.samples import results

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 90.0


@pytest.fixture(scope="module")
def browser() -> str:
    for name in BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")


def shown(browser: str, page: Path) -> str:
    """The document after the page's scripts have run."""
    done = subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-sync"),
            *("--disable-background-networking", "--disable-component-update"),
            *("--proxy-server=127.0.0.1:9", f"--user-data-dir={page.parent / 'browser'}"),
            *("--virtual-time-budget=5000", "--window-size=1280,1800"),
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    # Opened, as a click would do.
    path.write_text(render(results()).replace('class="zoom"', 'class="zoom" open'), "utf-8")
    return path


def test_plots_appear_from_the_disk(browser: str, page: Path) -> None:
    document = shown(browser, page)
    assert "Not certified</h1>" in document
    assert "bk-Column" in document or "bk-Figure" in document


def test_page_reads_without_its_scripts(browser: str, page: Path) -> None:
    page.write_text(re.sub(r"(?s)<script.*?</script>", "", page.read_text("utf-8")), "utf-8")
    document = shown(browser, page)
    assert "Not certified</h1>" in document
    assert '<svg class="timeline"' in document
    assert "bk-Column" not in document

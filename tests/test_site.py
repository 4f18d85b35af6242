"""The documentation site builds without a warning, is complete, and can be read without the network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the folder of the built site, or skip if Sphinx is not installed."""
    if not all(find_spec(name) for name in ("sphinx", "myst_parser", "pydata_sphinx_theme")):
        pytest.skip("needs Sphinx: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "--fail-on-warning", "--quiet", "docs", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.long
def test_the_site_is_complete_and_loads_nothing_from_the_network(site):
    sections = ("index", "how_to/index", "explanation/index", "results/index", "reference/index")
    navigation = "".join((site / f"{name}.html").read_text() for name in sections)
    assert [page for page in (ROOT / "docs").rglob("*.md") if f"{page.stem}.html" not in navigation] == []
    for page in site.rglob("*.html"):
        loads = re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*", page.read_text())
        assert not [tag for tag in loads if 'rel="canonical"' not in tag], page
    for file in (ROOT / "conf" / "metric").glob("*.yaml"):
        target = yaml.safe_load(file.read_text())["_target_"]
        page = site / "reference" / "generated" / f"{target.rpartition('.')[0]}.html"
        assert f'id="{target}"' in page.read_text()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_fit_their_window_and_draw_without_an_error(site, scheme, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[browser]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    problems = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or problems.append(request.url))
        page.on("pageerror", lambda error: problems.append(str(error)))
        for name in ("index", "tutorial", "method", "results/real_pool", "reference/metric"):
            page.goto((site / f"{name}.html").as_uri())
            page.wait_for_selector("h1")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        browser.close()
    assert problems == []

"""The documentation site: built without a warning, complete, and readable without the network."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CHROMIUM = shutil.which("chromium")
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


def pages(nav):
    """Return the files of a navigation, whatever they are grouped in."""
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_every_page_stands_once_in_the_navigation():
    listed = list(pages(SETTINGS["nav"]))
    assert sorted(listed) == sorted(str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the built site, or skip where what builds it is absent."""
    if not all(find_spec(name) for name in ("mkdocs", "material", "mkdocstrings")):
        pytest.skip("needs what builds the site: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_no_page_fetches_anything_from_elsewhere(site):
    for page in site.rglob("*.html"):
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//", page.read_text()), page


@pytest.mark.slow
def test_the_reference_has_every_metric_with_its_formula_and_what_raises(site):
    text = (site / "reference" / "metric.html").read_text()
    for file in (ROOT / "conf" / "metric").glob("*.yaml"):
        target = yaml.safe_load(file.read_text())["_target_"]
        assert f'id="{target}"' in text
    assert "Raises:" in text
    assert 'id="transfer_exp.metric.logme.LogME.__call__"' in text


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_pages_draw_without_a_complaint_and_fit_their_window(site, scheme, width):
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[browser]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here, wrong = f"http://127.0.0.1:{server.server_port}/", []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
        page.on("request", lambda request: request.url.startswith((here, "data:")) or wrong.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        for path in ("index.md", "tutorial.md", "method.md", "results/real_pool.md", "reference/metric.md"):
            page.goto(here + path.replace(".md", ".html"))
            page.wait_for_selector("h1")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        browser.close()
    server.shutdown()
    assert wrong == []

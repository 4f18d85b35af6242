"""Pages in a real browser: they draw without errors, load nothing, and their controls work."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise

import pytest

from tests.report.html.folders import HOSTILE, NAMES, cell_result, halved, write_run, write_sweep_folder
from transfer_exp.errors import escape_controls
from transfer_exp.report.html.page import write_page

pytestmark = [pytest.mark.slow, pytest.mark.browser]
CHROMIUM = shutil.which("chromium")
SIZES = {"wide": (1200, 900), "narrow": (400, 800)}


@pytest.fixture(scope="module")
def browser():
    """Return Debian's Chromium, or skip the test if Chromium or Playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install -e '.[browser]'")
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        # Chromium's sandbox does not work for root, the user in containers.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(browser):
    """Open a page from disk; requests and error messages fail the test."""
    contexts, requests, messages = [], [], []

    def opened(path, size="wide", scheme="light", anchor=""):
        width, height = SIZES[size]
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: messages.append(dialog.message))
        page.goto(path.as_uri() + anchor)
        requests.remove(path.as_uri())
        page.wait_for_selector("main h2")
        page.wait_for_timeout(50)  # charts are drawn after the browser has measured their width
        return page

    yield opened
    for context in contexts:
        context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == []


@pytest.fixture
def run(tmp_path):
    return write_page(write_run(tmp_path / "run", cell_result(), perturb=halved))


@pytest.fixture
def sweep(tmp_path):
    return write_page(write_sweep_folder(tmp_path / "sweep"))


def column(page, table, index):
    return page.locator(f'[aria-label^="{table}"] tbody tr > :nth-child({index})').all_inner_texts()


def order(page, table):
    return page.locator(f'[aria-label^="{table}"] th[aria-sort]').evaluate_all(
        "heads => heads.map(h => [h.innerText.trim(), h.ariaSort])"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pages_fit_every_size_in_both_themes(show, run, sweep, size, scheme):
    for path, anchor in ((run, ""), (sweep, "#cell-0")):
        page = show(path, size, scheme, anchor)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
        assert page.locator("svg .model .dot").count() >= 3
        assert page.locator("svg.plane circle").count() == 36 * 2
        boxes = page.locator(".chart > svg").evaluate_all("all => all.map(s => s.getBoundingClientRect().width)")
        assert all(40 < width <= SIZES[size][0] for width in boxes)
        paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (paper == "rgb(21, 23, 26)") == (scheme == "dark")


def test_the_headings_of_a_table_sort_it_by_mouse_and_by_keyboard(show, run):
    page = show(run)
    assert column(page, "Leaderboard", 2) == ["clear", "dim", "dark", "odd"]
    assert order(page, "Leaderboard") == [["rank", "ascending"]]
    page.get_by_role("button", name="accuracy", exact=True).click()
    assert column(page, "Leaderboard", 2) == ["clear", "dark", "dim", "odd"]
    assert order(page, "Leaderboard") == [["accuracy", "descending"]]
    page.keyboard.press("Enter")
    assert column(page, "Leaderboard", 2) == ["dim", "dark", "clear", "odd"], "missing values stay last"
    assert order(page, "Leaderboard") == [["accuracy", "ascending"]]
    assert "accuracy, ascending" in page.locator("[role=status]").inner_text()
    page.locator('[aria-label^="Leaderboard"]').get_by_role("button", name="model").focus()
    page.keyboard.press("Space")
    assert column(page, "Leaderboard", 2) == ["clear", "dark", "dim", "odd"]


def test_every_control_can_be_reached_by_keyboard_and_shows_its_focus(show, sweep):
    page = show(sweep)
    every = page.locator("button, select, a[href], input:checked, pre, .scroll").count()
    reached = set()
    for _ in range(every + 10):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                    const a = document.activeElement;
                    if (a === document.body) return "body";
                    const visible = a.matches("input") ? a.nextElementSibling : a;
                    const style = getComputedStyle(visible);
                    const name = a.ariaLabel || a.innerText || a.value;
                    return [...document.querySelectorAll("*")].indexOf(a) + " " + name.slice(0, 20) +
                        (style.outlineStyle === "solid" || a.matches(".skip") ? "" : " INVISIBLE");
                }"""
            )
        )
    assert not [name for name in reached if name.endswith("INVISIBLE")]
    assert len(reached - {"body"}) == every


def test_every_control_and_picture_has_a_name_for_screen_readers(show, sweep):
    page = show(sweep)
    for role in ("button", "radio", "combobox", "img", "region", "table"):
        nodes = page.get_by_role(role)
        assert nodes.count() > 0, role
        assert page.get_by_role(role, name=re.compile(r"\S")).count() == nodes.count(), role
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_reader_chooses_the_theme(show, run):
    page = show(run)
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("radio", name="dark").check(force=True)
    assert page.evaluate(paper) != light
    page.get_by_role("radio", name="system").check(force=True)
    assert page.evaluate(paper) == light


def test_a_cell_of_a_sweep_is_shown_by_its_button_and_by_its_address(show, sweep):
    page = show(sweep)
    page.get_by_role("button", name=re.compile("halved, sfda.*0.80 better than chance")).click()
    assert page.locator("h2.cellname").inner_text() == "digits / halved / sfda"
    assert page.locator('button.cell[aria-pressed="true"]').count() == 1
    titles = page.locator("#cell svg text.title").all_text_contents()
    assert titles == ["perturbation none, tau_w 0.40", "perturbation halved, tau_w 0.80", "before", "halved"]
    page.locator("#cell fieldset").first.get_by_role("radio", name="after").check(force=True)
    page.wait_for_timeout(50)
    assert "perturbation none, tau_w 0.40" not in page.locator("#cell svg text.title").all_text_contents()
    assert column(page, "Leaderboard", 6) == ["0", "0", "0", "–"]
    again = show(sweep, anchor="#" + page.url.partition("#")[2])
    assert again.locator("h2.cellname").inner_text() == "digits / halved / sfda"
    again.get_by_role("button", name=re.compile("glyphs.*failed")).click()
    assert "no <b>head</b>" in again.locator("#cell").inner_text()


def test_the_projection_changes_with_model_and_side_and_a_class_can_be_highlighted(show, run):
    page = show(run)
    assert page.locator("svg.plane").count() == 2
    page.locator("section", has_text="Class separation").get_by_role("radio", name="before").check(force=True)
    page.wait_for_timeout(50)
    assert page.locator("svg.plane").count() == 1
    positions = "all => all.map(c => c.getAttribute('cx')).join()"
    clear = page.locator("svg.plane circle").evaluate_all(positions)
    page.get_by_label("Model", exact=True).select_option(NAMES[1])
    page.wait_for_timeout(50)
    assert page.locator("svg.plane circle").evaluate_all(positions) != clear
    page.get_by_role("button", name="green").click()
    assert page.locator("svg.plane circle:not(.faded)").count() == 12
    assert page.get_by_role("button", name="green").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="green").click()
    assert page.locator("svg.plane circle.faded").count() == 0


def test_hovering_over_a_leaderboard_row_highlights_its_point(show, run):
    page = show(run)
    page.locator('tr[data-model="dim"]').hover()
    assert page.locator("svg .pointed").get_attribute("data-model") == "dim"


def test_hostile_names_are_text(show, tmp_path):
    result = cell_result(names=(HOSTILE, "dim", "dark"), dataset=HOSTILE, perturbation=HOSTILE, metric=HOSTILE)
    page = show(write_page(write_run(tmp_path, result, (HOSTILE, "<b>", "a"), halved)))
    assert page.locator("script").count() == 2
    assert page.locator("main img, main b").count() == 0
    assert escape_controls(HOSTILE) in page.locator("h1").inner_text().replace("\n", "")


@pytest.mark.parametrize("accuracies", [(None, None, None), (0.5, None, None)])
def test_without_ground_truth_the_models_are_ranked(show, tmp_path, accuracies):
    page = show(write_page(write_run(tmp_path, cell_result(accuracies=accuracies, tau=None))))
    assert re.search("No ground truth|needs two models", page.locator("main").inner_text())
    assert page.locator("svg .model").count() == 3
    (tmp_path / "page.json").unlink()
    page = show(write_page(tmp_path))
    assert "No projection: this run kept no features to draw." in page.locator("main").inner_text()


def test_a_foreign_program_does_not_run(browser, run):
    added = (
        "</main><script>document.title = 'replaced'</script><img src='https://example.org/x.png' onerror='alert(1)'>"
    )
    run.write_text(run.read_text(encoding="utf-8").replace("</main>", added), encoding="utf-8")
    page, messages, responses = browser.new_page(), [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("response", lambda response: responses.append(response.url))
    page.goto(run.as_uri())
    page.wait_for_selector("main h2")
    assert page.title() != "replaced"
    assert len([text for text in messages if "Content Security Policy" in text]) == 3
    assert responses == [run.as_uri()]
    page.close()


@pytest.mark.parametrize("size", SIZES)
def test_long_names_are_cut_in_the_middle_and_stay_in_the_picture(show, tmp_path, size):
    names = [f"vit_base_patch16_clip_224.openai_ft_in12k_in1k_and_{part}" for part in ("more", "less", "else")]
    result = cell_result(names, (None, None, None), tau=None)
    page = show(write_page(write_run(tmp_path / "run", result)), size)
    drawn = page.locator("svg g.model").evaluate_all(
        """groups => groups.map(group => {
            const [text, title] = [group.querySelector("text"), group.querySelector("title")];
            const inside = text.getBoundingClientRect().left >= group.closest("svg").getBoundingClientRect().left;
            return [text.textContent, title.textContent, inside];
        })"""
    )
    for name, (text, title, inside) in zip(names, drawn, strict=True):
        assert inside, text
        assert re.fullmatch(r"vit_.*….*_(more|less|else)", text)
        assert title.startswith(f"{name}: score ")

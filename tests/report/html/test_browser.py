"""Pages in a real browser: they draw without errors, load nothing, and their controls work."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import pairwise, product

import pandas as pd
import pytest

from tests.leaderboard.pools import small_pool
from tests.report.html.folders import (
    HOSTILE,
    NAMES,
    cell_result,
    fields,
    halved,
    write_ranking,
    write_run,
    write_sweep_folder,
)
from transfer_exp.errors import escape_controls
from transfer_exp.leaderboard.page import write_page as write_leaderboard
from transfer_exp.leaderboard.table import all_standings
from transfer_exp.report.html.page import write_page
from transfer_exp.report.palette import PALETTE
from transfer_exp.report.record import read_search, write_record, write_search_record
from transfer_exp.results.cell import CellResult, ModelResult
from transfer_exp.results.search import AdaptedModel

pytestmark = [pytest.mark.slow, pytest.mark.browser]
CHROMIUM = shutil.which("chromium")
SIZES = {"wide": (1400, 900), "middle": (800, 900), "narrow": (390, 800)}


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
    for path, anchor in ((run, ""), (sweep, "#digits/halved/logme")):
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
    assert column(page, "Models", 1) == ["clear", "dim", "dark", "odd"]
    assert order(page, "Models") == [["rank", "ascending"]]
    page.get_by_role("button", name="accuracy", exact=True).click()
    assert column(page, "Models", 1) == ["clear", "dark", "dim", "odd"]
    assert order(page, "Models") == [["accuracy", "descending"]]
    page.keyboard.press("Enter")
    assert column(page, "Models", 1) == ["dim", "dark", "clear", "odd"], "missing values stay last"
    assert order(page, "Models") == [["accuracy", "ascending"]]
    assert "accuracy, ascending" in page.locator("[role=status]").inner_text()
    page.locator('[aria-label^="Models"]').get_by_role("button", name="model").focus()
    page.keyboard.press("Space")
    assert column(page, "Models", 1) == ["clear", "dark", "dim", "odd"]


def test_every_control_can_be_reached_by_keyboard_and_shows_its_focus(show, sweep):
    page = show(sweep)
    every = page.locator("button, select, a[href], summary, input:checked, input[type=search], pre, .scroll").count()
    every -= page.locator("details:not([open]) input:checked").count()
    reached = set()
    for _ in range(every + 10):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                """() => {
                    const a = document.activeElement;
                    if (a === document.body) return "body";
                    const visible = a.matches("input[type=radio]") ? a.nextElementSibling : a;
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


def test_a_cell_of_a_sweep_is_shown_by_its_button_and_by_its_name(show, sweep):
    page = show(sweep)
    page.get_by_role("button", name=re.compile("halved, sfda.*0.80 better than chance")).click()
    assert page.locator("h2.cellname").inner_text() == "digits / halved / sfda"
    assert page.locator('button.cell[aria-pressed="true"]').count() == 1
    titles = page.locator("#cell svg text.title").all_text_contents()
    assert titles == ["perturbation none, tau_w 0.40", "perturbation halved, tau_w 0.80", "before", "halved"]
    assert column(page, "Models", 6) == ["0", "0", "0", "–"]
    assert page.url.endswith("#digits/halved/sfda")
    again = show(sweep, anchor="#digits/halved/sfda")
    assert again.locator("h2.cellname").inner_text() == "digits / halved / sfda"
    again.get_by_role("button", name=re.compile("glyphs.*failed")).click()
    assert "no <b>head</b>" in again.locator("#cell").inner_text()


def test_the_page_of_a_sweep_starts_with_its_conclusion_and_marks_cells_inside_the_null_band(show, sweep):
    page = show(sweep)
    assert page.locator(".headline").first.inner_text() == "halved raises tau_w by +0.40, on one dataset only"
    assert page.locator("main > .answer svg.intervals .model").count() == 2
    chance = page.locator("button.cell.chance")
    assert sorted(chance.all_inner_texts()) == ["0.30", "0.40"]
    image = "all => all.map(b => getComputedStyle(b).backgroundImage !== 'none')"
    assert page.locator("button.cell").evaluate_all(image).count(True) == 2


def test_pairs_of_model_and_regime_are_drawn_against_either_cost(show, tmp_path):
    for regime, shift in (("full", 0.0), ("lora", 0.02)):
        models = [
            ModelResult(name, 1.0, 0.5 + 0.1 * i + shift, trainable_parameters=10 ** (4 + i), training_seconds=5.0 - i)
            for i, name in enumerate(NAMES)
        ]
        write_record(CellResult(fields(ground_truth=regime), tuple(models)), {}, tmp_path / regime)
    page = show(write_page(tmp_path))
    chart = page.locator("svg.costs")
    assert "trained parameters" in chart.get_attribute("aria-label")
    assert chart.locator("g.model").count() == 6
    assert chart.locator("g.best").count() == 3, "lora is better at equal cost"
    page.get_by_text("seconds of training").click()
    assert "seconds of training" in page.locator("svg.costs").get_attribute("aria-label")
    assert page.locator("svg.costs g.best").count() == 1, "the last network is the fastest and the best"


def test_the_page_of_a_ranking_draws_its_pairs_of_model_and_regime(show, tmp_path):
    folder = write_ranking(tmp_path, models=3, classes=3)
    search = read_search(folder / "result.json")
    names = [model.model for model in search.models]
    pairs = [
        AdaptedModel(name, regime, "measured", 0.5 + 0.1 * i, 0.6, 10 ** (3 + i), 9.0 - i)
        for i, (name, regime) in enumerate(product(names, ("full", "lora")))
    ]
    pairs.append(AdaptedModel(names[0], "bitfit", "not tried", reason="the time budget was used up before"))
    write_search_record(replace(search, pairs=tuple(pairs)), {}, folder)
    page = show(write_page(folder))
    assert page.locator(".headline").inner_text().startswith("Best of 6 pairs on validation images")
    chart = page.locator("svg.costs[aria-label*='trained parameters']")
    assert chart.locator("g.model").count() == 6
    assert chart.locator("g.best").count() == 6, "each pair is better than those with fewer parameters"
    page.get_by_text("seconds of training").click()
    assert page.locator("svg.costs[aria-label*='seconds of training'] g.best").count() == 1
    assert set(column(page, "Models and regimes", 2)) == {"0.600"}


def test_many_metrics_are_rows(show, tmp_path):
    metrics = [f"metric_{i}" for i in range(6)]
    for metric in metrics:
        write_record(cell_result(metric=metric), {}, tmp_path / metric)
    page = show(write_page(tmp_path))
    assert column(page, "Cells", 1) == metrics
    assert page.locator('[aria-label^="Cells"] thead th').count() == 2
    page.evaluate("location.hash = '#digits/none/metric_4'")
    page.wait_for_timeout(50)
    assert page.locator("h2.cellname").inner_text() == "digits / none / metric_4"


def test_the_map_changes_with_the_model_and_a_class_can_be_highlighted(show, run):
    page = show(run)
    assert page.locator("svg.plane").count() == 2
    axes = page.locator("svg.plane text.axis").all_text_contents()
    assert all(re.fullmatch(r"component [12] \(\d+ % of the variance\)", axis) for axis in axes)
    positions = "all => all.map(c => c.getAttribute('cx')).join()"
    clear = page.locator("svg.plane circle").evaluate_all(positions)
    page.get_by_label("Model", exact=True).select_option(NAMES[1])
    page.wait_for_timeout(50)
    assert page.locator("svg.plane circle").evaluate_all(positions) != clear
    page.get_by_role("button", name="green").click()
    assert page.locator("svg.plane circle:not(.faded)").count() == 12 * 2
    assert page.get_by_role("button", name="green").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="green").click()
    assert page.locator("svg.plane circle.faded").count() == 0


@pytest.fixture
def ranking(tmp_path):
    """Return the page of a ranking of 200 models, most of them dropped, on 100 classes."""
    return write_page(write_ranking(tmp_path / "ranking", models=200, classes=100))


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_of_a_ranking_has_the_answer_the_command_and_the_chart(show, ranking, size):
    page = show(ranking, size)
    headline = page.locator(".headline")
    assert headline.inner_text() == "Fine-tune model_000 and model_001: either may be the best (95\u00a0%)"
    boxes = [headline.bounding_box(), page.get_by_role("button", name="Copy the command").first.bounding_box()]
    boxes.append(page.locator("svg.intervals .model").first.bounding_box())
    assert all(box["y"] + box["height"] <= SIZES[size][1] for box in boxes)
    tied = page.locator("svg.intervals .best")
    assert tied.evaluate_all("all => all.map(g => g.dataset.model)") == ["model_000", "model_001"]
    colours = "all => new Set(all.map(d => getComputedStyle(d).fill)).size"
    assert page.locator("svg.intervals .dot").evaluate_all(colours) == 2
    assert page.locator("svg.intervals .axis").text_content() == "expected accuracy (80 % intervals)"


def test_nothing_of_a_large_ranking_is_cut_without_a_scrollbar(show, ranking):
    page = show(ranking, "narrow")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    cut = """all => all.filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1).filter(e => {
        const style = getComputedStyle(e);
        return style.overflowX !== "auto" && style.display !== "inline";
    }).map(e => e.className)"""
    assert page.locator("main :is(div, p, td, th, pre, span)").evaluate_all(cut) == []
    table = page.locator('[aria-label^="Models"]')
    table.evaluate("t => (t.scrollLeft = 400)")
    name = table.locator("tbody th").first.bounding_box()
    assert name["x"] < 20, "the name of the model stays in view"


def test_the_table_of_models_is_filtered_extended_and_downloaded(show, ranking):
    page = show(ranking)
    heads = [head.strip() for head in page.locator('[aria-label^="Models"] thead th').all_inner_texts()]
    expected = ["model", "rank", "interval (95 %)", "expected accuracy (80 %)", "score (95 %)", "time", "parameters"]
    assert heads == expected
    heights = page.locator('[aria-label^="Models"] tbody tr').evaluate_all("all => all.map(r => r.offsetHeight)")
    assert len(heights) == 200
    assert max(heights) <= 32, "one line for each model"
    page.get_by_label("Filter by model").fill("model_00")
    assert len(column(page, "Models", 1)) == 10
    assert "10 of 200 rows" in page.locator("main").inner_text()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("images").check()
    page.get_by_label("time").uncheck()
    heads = [head.strip() for head in page.locator('[aria-label^="Models"] thead th').all_inner_texts()]
    assert heads == [*expected[:5], "parameters", "images"]
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    table = pd.read_csv(download.value.path())
    assert len(table) == 10
    assert {"model", "rank", "score_low_95", "expected_accuracy_low_80", "seconds", "parameters"} <= set(table.columns)


def test_the_command_is_copied(show, ranking):
    page = show(ranking)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the command").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == "transfer-exp run fine-tune"
    assert page.get_by_role("button", name="Copy the command").first.inner_text() == "Copied"


def test_many_classes_have_a_list_of_confused_pairs_instead_of_a_map(show, ranking):
    page = show(ranking)
    assert page.locator("svg.plane").count() == 0
    shares = [float(text) for text in column(page, "Most confused", 2)]
    assert len(shares) == 20
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_borders_of_controls_have_contrast(show, ranking, scheme):
    page = show(ranking, scheme=scheme)
    border = "all => all.map(e => getComputedStyle(e).borderTopColor)"
    found = page.locator(
        'main .button, main select, input[type="search"], .choice label:last-of-type span'
    ).evaluate_all(border)
    control = PALETTE["control"][scheme == "dark"]
    assert set(found) == {f"rgb({', '.join(str(int(control[i : i + 2], 16)) for i in (1, 3, 5))})"}


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
    assert re.search("no ground truth|needs two", page.locator("main").inner_text())
    assert page.locator("svg .model").count() == 3
    (tmp_path / "page.json").unlink()
    page = show(write_page(tmp_path))
    assert "No class separation: this run kept no features to draw." in page.locator("main").inner_text()


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
        assert re.fullmatch(r"vit_.*_(more|less|else)", text)
        assert title.startswith(f"{name}: ")


@pytest.fixture
def leaderboard(tmp_path):
    """Return the page of a leaderboard with seven targets, two regimes and one variant that the user asks about."""
    pools = small_pool(own_variant=("none", "good"))
    return write_leaderboard(list(all_standings(pools)), "transfer-exp leaderboard metric=good", tmp_path)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_view_of_the_leaderboard_fits_and_cuts_nothing(show, leaderboard, size, scheme):
    cut = """all => all.filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1).filter(e => {
        const style = getComputedStyle(e);
        return style.overflowX !== "auto" && style.display !== "inline";
    }).map(e => e.className)"""
    page = show(leaderboard, size, scheme)
    for view in ("overall", "targets", "regimes", "cost", "published"):
        page.evaluate(f"location.hash = '#small/{view}'")
        page.wait_for_timeout(50)
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0], view
        assert page.locator("main :is(div, p, td, th, pre, span)").evaluate_all(cut) == [], view
        assert page.locator("main tbody tr").count() >= 3, view


def test_the_leaderboard_is_sorted_filtered_extended_and_explained(show, leaderboard):
    page = show(leaderboard)
    assert page.locator(".headline").inner_text().startswith("good is ")
    assert order(page, "Standing") == [["rank", "ascending"]]
    page.get_by_role("button", name="tau_w", exact=True).click()
    assert order(page, "Standing") == [["tau_w", "descending"]]
    assert column(page, "Standing", 2)[0] == "1"
    rank, tau_w = page.locator('[aria-label^="Standing"] tbody tr.best td span[title]').all()[:2]
    assert re.match(r"of 7 rows; n = 7 targets; tau_w 95 % .* to .*; source: this command", rank.get_attribute("title"))
    assert re.match(r"n = 7 targets, 8 models; 95 % .* to .*; source: this command", tau_w.get_attribute("title"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    table = pd.read_csv(download.value.path())
    assert {"rank", "tau", "tau_low_95", "p_to_best", "milliseconds"} <= set(table)
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("models", exact=True).check()
    assert "models" in page.locator('[aria-label^="Standing"] thead').inner_text()
    page.get_by_role("searchbox").fill("pca")
    assert all("pca" in name for name in column(page, "Standing", 1))
    page.get_by_role("radio", name="Cost").check(force=True)
    assert page.url.endswith("#small/cost")
    assert page.locator("svg path.front").count() == 1
    page.get_by_role("radio", name="By regime").check(force=True)
    heads = [head.strip() for head in page.locator('[aria-label^="tau_w by regime"] thead th').all_inner_texts()]
    assert heads == ["metric", "overall rank", "full", "full: rank", "probe", "probe: rank"]

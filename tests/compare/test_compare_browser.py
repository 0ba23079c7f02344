"""`compare.html` in a real browser: opened from a file, it draws, switches and filters, and asks for nothing."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import GREEDY, KL, effect, hostile, made, single_seed, twenty_arms, with_missing

from dsmath.compare.comparison import Comparison
from dsmath.compare.page import HTML, write_comparison
from dsmath.compare.tables import interval, number, signed
from dsmath.shown import visible

pytestmark = pytest.mark.browser

ALL = [effect, single_seed, with_missing, twenty_arms, hostile]


class Opened:
    """A page, what its console said, and what it asked for."""

    def __init__(self, browser: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.console: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.console.append(message.text))
        self.page.on("pageerror", lambda error: self.console.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.console.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("[data-finals] svg, #notes")
        self.page.wait_for_function(
            "document.querySelector('[data-finals]') === null || document.querySelector('svg .mean')"
        )

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())

    def cells(self, selector: str) -> list[list[str]]:
        found = self.page.eval_on_selector_all(
            selector, "rows => rows.map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        )
        return [list(row) for row in found]

    def paths(self, selector: str) -> list[str]:
        return list(self.page.eval_on_selector_all(selector, "all => all.map(each => each.getAttribute('d'))"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Any, folder: Path, comparison: Comparison, **window: Any) -> Opened:
    write_comparison(folder, comparison)
    return Opened(browser, folder / HTML, **window)


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_it_opens_without_an_error_and_asks_for_nothing_but_itself(
    browser: Any, tmp_path: Path, make: Any, width: int, scheme: str
) -> None:
    found = opened(browser, tmp_path, make(), width=width, scheme=scheme)
    assert found.console == []
    assert found.asked == [(tmp_path / HTML).as_uri()]
    overflow = found.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0, "wide tables scroll by themselves, not the page"


def test_the_table_has_the_numbers(browser: Any, tmp_path: Path) -> None:
    comparison = effect()
    found = opened(browser, tmp_path, comparison)
    rows = found.cells("section:nth-of-type(1) table.arms tbody tr")
    for row, each in zip(rows, comparison.metrics[0].arms, strict=True):
        assert row[:5] == [each.arm.label, "3", number(each.mean), number(each.sd), interval(each.interval)]
        if each.difference:
            assert row[6:8] == [signed(each.difference.value), interval(each.difference.interval, "+")]


@pytest.mark.parametrize("make", [effect, twenty_arms], ids=["3 arms", "20 arms"])
def test_every_arm_and_every_run_is_drawn(browser: Any, tmp_path: Path, make: Any) -> None:
    comparison = make()
    found = opened(browser, tmp_path, comparison)
    arms, runs = len(comparison.arms), len(comparison.runs)
    for i in range(len(comparison.metrics)):
        assert found.count(f"[data-finals='{i}'] .mean") == arms
        assert found.count(f"[data-finals='{i}'] .run") == runs
        assert found.count(f"[data-differences='{i}'] .mean") == arms - 1
    for i in range(2):
        assert found.count(f"[data-curves='{i}'] .curve") == arms
        assert found.count(f"[data-curves='{i}'] .band") == arms
        assert all(path.count("L") > 100 for path in found.paths(f"[data-curves='{i}'] .curve"))
    assert found.count("#lines .path") == runs
    assert found.count("#lines .brush") == len(comparison.by) + len(comparison.metrics) + 3
    assert not [path for path in found.paths("svg path") if "NaN" in path or "undefined" in path]


def test_a_dot_is_where_its_value_is(browser: Any, tmp_path: Path) -> None:
    """The places of dots are a straight line over the values."""
    found = opened(browser, tmp_path, effect())
    places = found.page.eval_on_selector_all("[data-finals='0'] .run", "all => all.map(dot => +dot.getAttribute('cx'))")
    values = [run.finals[GREEDY] for run in effect().runs]
    slope = (places[3] - places[0]) / (values[3] - values[0])
    assert slope > 0
    assert places == pytest.approx([places[0] + slope * (value - values[0]) for value in values], abs=0.05)


def test_the_switch_draws_the_curves_over_another_axis(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, tmp_path, effect())
    assert found.page.locator("fieldset label").all_inner_texts() == ["step", "tokens", "seconds"]
    label = "[data-curves='0'] svg"
    assert found.page.get_attribute(label, "aria-label") == "rl/reward_mean over step"
    assert " M" not in found.page.locator(label).text_content()
    found.page.locator("fieldset label", has_text="tokens").click()
    assert found.page.get_attribute(label, "aria-label") == "rl/reward_mean over tokens"
    assert " M" in found.page.locator(label).text_content()  # 120 steps of 12 000 tokens
    found.page.keyboard.press("ArrowRight")  # the switch is a group of radio buttons
    assert found.page.get_attribute(label, "aria-label") == "rl/reward_mean over seconds"


def test_a_metric_that_lacks_the_axis_says_so(browser: Any, tmp_path: Path) -> None:
    whole = effect()
    curves = [panel for panel in whole.curves if panel.x != "seconds" or panel.metric == "rl/reward_mean"]
    found = opened(browser, tmp_path, replace(whole, curves=tuple(curves)))
    found.page.locator("fieldset label", has_text="seconds").click()
    assert found.page.inner_text("[data-curves='1']") == (
        "This metric is not known over seconds; it is over step, tokens."
    )


def test_a_click_on_a_name_hides_its_arm_and_another_shows_it_again(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, tmp_path, effect())
    name = found.page.locator(".legend button").nth(1)
    curve = found.page.locator("[data-curves='0'] .curve[data-arm='1']")
    assert curve.is_visible()
    name.click()
    assert name.get_attribute("aria-pressed") == "false"
    assert not curve.is_visible()
    assert found.page.locator("[data-curves='0'] .curve[data-arm='2']").is_visible()
    name.click()
    assert curve.is_visible()


def test_pointing_at_a_curve_tells_its_arm_and_its_value(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, tmp_path, effect())
    svg = found.page.locator("[data-curves='0'] svg")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    found.page.mouse.move(box["x"] + box["width"] - 16, box["y"] + 40)
    tip = found.page.inner_text("#tip").splitlines()
    assert tip[0] in [arm.label for arm in KL]
    band = next(b for b in effect().curves[0].bands if b.arm.label == tip[0])
    assert tip[1] == f"step 120: {float(f'{band.mean[-1]:.4g}'):g}"
    assert tip[2].endswith("3 runs")
    assert "hot" in found.page.get_attribute(f"[data-curves='1'] .curve[data-arm='{KL.index(band.arm)}']", "class")


def test_dragging_along_an_axis_keeps_the_runs_that_pass_there(browser: Any, tmp_path: Path) -> None:
    """The upper half of the greedy accuracies, counted by hand."""
    comparison = effect()
    found = opened(browser, tmp_path, comparison)
    found.page.locator("#parallel").scroll_into_view_if_needed()
    axis = found.page.locator("#lines .brush[data-axis='1']")
    box = axis.bounding_box()
    x, top, bottom = box["x"] + 14, box["y"] + 8, box["y"] + box["height"] - 8
    found.page.mouse.move(x, top - 4)
    found.page.mouse.down()
    found.page.mouse.move(x, (top + bottom) / 2, steps=4)
    found.page.mouse.up()
    values = [run.finals[GREEDY] for run in comparison.runs]
    upper = [value > (min(values) + max(values)) / 2 for value in values]
    out = found.page.eval_on_selector_all("#lines .path", "all => all.map(path => path.classList.contains('out'))")
    assert out == [not kept for kept in upper]
    assert found.page.inner_text("#kept") == f"{sum(upper)} of {len(values)} runs are kept."
    axis.click()
    assert found.count("#lines .path.out") == 0


def test_hostile_names_stay_text(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, tmp_path, hostile())
    for input_ in found.page.locator("fieldset label").all():
        input_.click()
    found.page.locator(".legend button").first.hover()
    assert found.console == []
    assert found.count("script") == 2
    assert found.count("img, iframe, object, a[href^='javascript']") == 0
    shown = " ".join(visible(hostile().title).split())
    assert " ".join(found.page.inner_text("h1").split()) == shown
    assert found.page.locator("[data-curves='0'] svg").get_attribute("aria-label").startswith(f"rl/{shown}")


def test_no_curves_and_one_seed_leave_no_empty_box(browser: Any, tmp_path: Path) -> None:
    found = opened(browser, tmp_path, single_seed())
    assert found.count("[data-curves]") == 0
    assert "No run has a history" in found.page.inner_text("#curves")
    assert found.count(".reach") == 0
    assert found.count("[data-finals='0'] .mean") == 3


def test_equal_values_and_far_intervals_are_drawn(browser: Any, tmp_path: Path) -> None:
    same = {each.label: [1e9, 1e9 + 1e-7] for each in KL}
    found = opened(browser, tmp_path / "same", made(KL, {GREEDY: same}))
    assert found.count("[data-finals='0'] .mean") == 3
    wide = {each.label: [0.4, 0.41] for each in KL[:2]} | {KL[2].label: [0.3, 0.5]}  # an interval of ±1.27
    found = opened(browser, tmp_path / "wide", made(KL, {GREEDY: wide}))
    assert found.count("[data-finals='0'] .arrow[data-arm='2']") == 2
    width = found.page.locator("[data-finals='0'] svg").bounding_box()["width"]
    for path in found.paths("[data-finals='0'] .reach"):
        assert 0 <= float(path[1:].split()[0]) <= width

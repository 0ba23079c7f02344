"""The files of a comparison: complete, the same every time, and safe whatever the runs are called."""

import base64
import hashlib
import html
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from comparisons import (
    GREEDY,
    HOSTILE,
    LOSS,
    REWARD,
    effect,
    hostile,
    single_seed,
    twenty_arms,
    two_keys,
    unpaired,
    with_missing,
)
from markdown_it import MarkdownIt

from dsmath.compare.comparison import Comparison
from dsmath.compare.page import ARMS, HTML, MARKDOWN, PLOT, RUNS, write_comparison
from dsmath.compare.plots import COLOURS, DARK_COLOURS, domain, draw, looks, short_labels
from dsmath.compare.tables import interval, number, signed
from dsmath.shown import visible

ALL = [effect, single_seed, unpaired, with_missing, two_keys, twenty_arms, hostile]


class Page(HTMLParser):
    """What a browser would make of it: elements, their attributes, their text, and the rows of its tables."""

    VOID = ("meta", "input", "line")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.script, self.data = "", ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            if self.elements[-1][1].get("type") == "application/json":
                self.data += data
            else:
                self.script += data
            return
        if "style" in self.open:
            return
        self.text += data
        if ("td" in self.open or "th" in self.open) and self.rows:
            self.rows[-1][-1] += data

    @property
    def cells(self) -> list[list[str]]:
        return [[" ".join(cell.split()) for cell in row] for row in self.rows]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


Make = Callable[[], Comparison]
Written = Callable[[Make], Path]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The folder with the files of a comparison, written once."""
    folders: dict[Make, Path] = {}

    def folder(make: Make) -> Path:
        if make not in folders:
            folders[make] = tmp_path_factory.mktemp(make.__name__)
            write_comparison(folders[make], make())
        return folders[make]

    return folder


def read(folder: Path) -> Page:
    return Page((folder / HTML).read_text(encoding="utf-8"))


def page(folder: Path, comparison: Comparison) -> Page:
    write_comparison(folder, comparison)
    return read(folder)


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_the_same_comparison_gives_the_same_five_files(make: Make, written: Written, tmp_path: Path) -> None:
    paths = write_comparison(tmp_path / "new" / "folder", make())
    assert sorted(path.name for path in paths) == sorted((HTML, MARKDOWN, PLOT, ARMS, RUNS))
    assert sorted((tmp_path / "new" / "folder").iterdir()) == sorted(paths)  # nothing half-written stays
    for path in paths:
        assert path.read_bytes() == (written(make) / path.name).read_bytes()


def test_the_page_shows_each_arms_numbers_and_its_verdict(written: Written) -> None:
    comparison = effect()
    cells = read(written(effect)).cells
    for table in comparison.metrics:
        for each in table.arms:
            start = [each.arm.label, "3", number(each.mean), number(each.sd), interval(each.interval)]
            row = next(row for row in cells if row[:5] == start)
            if each.difference is None:
                assert row[5] == "baseline"
                continue
            mark = {"higher": "▲ ", "lower": "▼ "}.get(each.difference.verdict, "")
            assert row[5:8] == [
                mark + each.difference.verdict, signed(each.difference.value), interval(each.difference.interval, "+")
            ]  # fmt: skip
            assert row[-3:] == ["2.40 M", "106 min", "14.2 GB"] or each.arm.label == "kl.coef = 0.2"


def test_each_rows_cells_are_as_many_as_its_heads(written: Written) -> None:
    for make in ALL:
        cells = read(written(make)).cells
        heads = [i for i, row in enumerate(cells) if row[0] == "arm" and row[1] == "n"]
        assert heads
        for head in heads:
            for row in cells[head + 1 : head + 1 + len(make().arms)]:
                assert len(row) == len(cells[head])


def test_what_is_missing_is_on_the_page_and_in_the_markdown(written: Written) -> None:
    comparison = with_missing()
    found = read(written(with_missing))
    rendered = (
        MarkdownIt("commonmark").enable("table").render((written(with_missing) / MARKDOWN).read_text(encoding="utf-8"))
    )
    for words in (found.words, html.unescape(rendered)):
        assert "Not in the numbers: 3" in words
        for each in comparison.missing:
            assert each.what in words
            assert each.detail in words
    assert ["kl.coef=0.2 seed=0", "failed", "CUDA out of memory", "runs/2/failed"] in found.cells
    assert "3 entries are not in the numbers" in found.words
    assert any(row[0] == "kl.coef = 0.2" and row[1] == "0" and "no run has it" in row for row in found.cells)
    assert ["kl.coef = 0.2", "2", "failed", "–", "run-failed", "runs/2/failed"] in found.cells


def test_all_runs_are_listed(written: Written) -> None:
    found = read(written(twenty_arms))
    assert "All runs: 100" in found.words
    assert sum(row[-2].startswith("run-") for row in found.cells) == 100


def test_what_there_is_not_is_said_in_words(written: Written, tmp_path: Path) -> None:
    found = read(written(single_seed))
    assert "there is no spread, and so no sd, no interval and no test" in found.words
    assert "No run says how many tokens, how much time or how much memory it took" in found.words
    assert "No run has a history of a metric that could be drawn" in found.words
    assert "Nothing failed and nothing is missing" in found.words
    heads = next(row for row in found.cells if row[:2] == ["arm", "n"])
    assert heads == ["arm", "n", "mean", "verdict", "difference"]
    bare = page(tmp_path, replace(effect(), metrics=(), curves=(), costs={}, runs=(), arm_of={}))
    assert "No run has a metric to compare" in bare.words
    assert "There is no run: nothing to set side by side" in bare.words


def test_unpaired_differences_say_how_many_runs_they_rest_on(written: Written) -> None:
    found = read(written(unpaired))
    assert [row[-4] for row in found.cells if row[0].startswith("kl.coef") and len(row) > 10] == [
        "", "3 unpaired", "2 unpaired",
    ]  # fmt: skip
    assert "3 pairs of seeds" in read(written(effect)).words


def test_the_script_gets_what_it_draws(written: Written) -> None:
    comparison = effect()
    data = json.loads(read(written(effect)).data)
    assert [arm["label"] for arm in data["arms"]] == [arm.label for arm in comparison.arms]
    first = data["finals"][0]["arms"][1]
    assert first["values"] == [0.4831, 0.5012, 0.4978]
    assert first["difference"]["value"] == pytest.approx(comparison.metrics[0].arms[1].difference.value, rel=1e-4)  # type: ignore[union-attr]
    assert [curve["metric"] for curve in data["curves"]] == [REWARD, LOSS]
    panels = data["curves"][0]["panels"]
    assert list(panels) == ["step", "tokens", "seconds"]
    band = comparison.curves[1].bands[2]
    drawn = panels["tokens"][2]
    np.testing.assert_allclose(drawn["mean"], band.mean, rtol=1e-4)
    np.testing.assert_allclose(drawn["x"], band.x, rtol=1e-6)
    axes = {axis["name"]: axis for axis in data["parallel"]["axes"]}
    assert list(axes) == ["kl.coef", GREEDY, LOSS, "rl/tokens", "rl/seconds", "rl/peak_memory_mb"]
    assert axes["kl.coef"]["categories"] == ["0", "0.04", "0.2"]
    assert axes[GREEDY]["values"] == [run.finals[GREEDY] for run in comparison.runs]


def test_places_without_a_value_become_gaps(tmp_path: Path) -> None:
    whole = effect()
    panel = whole.curves[0]
    mean = panel.bands[0].mean.copy()
    mean[5] = np.nan
    band = replace(panel.bands[0], mean=mean, low=np.full_like(mean, np.nan), high=np.full_like(mean, np.inf))
    data = json.loads(page(tmp_path, replace(whole, curves=(replace(panel, bands=(band,)),))).data)
    drawn = data["curves"][0]["panels"]["step"][0]
    assert drawn["mean"][5] is None
    assert set(drawn["low"]) == set(drawn["high"]) == {None}
    assert drawn["mean"][6] == pytest.approx(mean[6], rel=1e-4)


def test_the_page_asks_for_nothing_and_runs_one_script_only(written: Written) -> None:
    found = read(written(hostile))
    policy = next(a["content"] for _, a in found.elements if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(found.script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not [a for _, a in found.elements if {"src", "srcset", "data", "action", "xlink:href"} & a.keys()]
    assert {a["href"] for _, a in found.elements if "href" in a} == {"#missing"}
    assert not [name for _, a in found.elements for name in a if name.startswith("on")]
    assert "innerHTML" not in found.script


def test_hostile_names_bring_no_element_into_the_page_and_are_there_to_be_read(
    written: Written, tmp_path: Path
) -> None:
    tame = replace(effect(), missing=with_missing().missing)
    kinds = {tag for tag, _ in page(tmp_path, tame).elements}
    found = read(written(hostile))
    assert {tag for tag, _ in found.elements} <= kinds
    assert Counter(tag for tag, _ in found.elements)["script"] == 2
    assert found.open == []
    shown = " ".join(visible(HOSTILE).split())
    assert found.words.count(shown) > 15
    assert json.loads(found.data)["finals"][0]["metric"] == shown
    assert "<" not in found.data
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", (written(hostile) / HTML).read_text(encoding="utf-8"))


def test_hostile_names_stay_text_in_markdown(written: Written) -> None:
    text = (written(hostile) / MARKDOWN).read_text(encoding="utf-8")
    tokens = MarkdownIt("gfm-like").parse(text)
    inline = [child for token in tokens for child in token.children or []]
    assert not [token for token in [*tokens, *inline] if token.type.startswith(("html", "link", "fence", "code"))]
    assert [token.attrs["src"] for token in inline if token.type == "image"] == [PLOT]
    rows = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")]
    assert set(rows) == {15}
    content = " ".join(" ".join(token.content for token in inline if token.type == "text").split())
    assert "onerror=alert(1)" in content


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_the_picture_can_be_read_and_is_not_blank(make: Make, written: Written) -> None:
    pixels = matplotlib.image.imread(written(make) / PLOT)
    assert pixels.shape[1] == 1300
    ink = (pixels[:, :, :3] < 0.9).any(axis=2)
    assert 0.002 < ink.mean() < 0.5


def test_the_picture_has_its_arms_colours(written: Written) -> None:
    pixels = (matplotlib.image.imread(written(effect) / PLOT)[:, :, :3] * 255).round().astype(int).reshape(-1, 3)
    for colour in COLOURS[:2]:
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (pixels == rgb).all(axis=1).sum() > 200


def test_a_picture_of_nothing_says_so() -> None:
    assert draw(replace(effect(), metrics=(), curves=())).startswith(b"\x89PNG")


def test_twenty_arms_look_different_and_are_named_differently() -> None:
    comparison = twenty_arms()
    assert len(set(looks(comparison).values())) == 20
    assert looks(comparison)[comparison.baseline.label].colour is None
    names = short_labels(comparison)
    assert names["optimizer.learning_rate = 1e-6, sampling.group_size = 4"] == "learning_rate = 1e-6, group_size = 4"
    assert len(set(names.values())) == 20


def test_a_page_of_twenty_arms_stays_light(written: Written) -> None:
    assert (written(twenty_arms) / HTML).stat().st_size < 1_500_000  # 20 arms, 2 metrics, 4 axes, 200 places


def test_a_long_interval_does_not_push_the_values_together() -> None:
    low, high = domain([0.4, 0.5], [0.38, 0.42, 0.48, 0.52, -3.0, 4.0])
    assert low == pytest.approx(0.4 - 0.05 - 0.006)
    assert high == pytest.approx(0.5 + 0.05 + 0.006)
    assert domain([0.4, 0.5], [0.41]) == pytest.approx((0.394, 0.506))
    assert domain([], []) == (0.0, 1.0)


def linear(colour: str) -> Any:
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: Any) -> Any:
    """CIELAB (D65) of linear sRGB."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    share = matrix @ np.clip(rgb, 0, 1) / matrix.sum(axis=1)
    f = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


SIGHT = {  # Machado, Oliveira and Fernandes 2009 (doi:10.1109/TVCG.2009.113), severity 1
    "full": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize(("colours", "ink"), [(COLOURS, "#1a1a1a"), (DARK_COLOURS, "#e4e4e4")], ids=["light", "dark"])
def test_people_with_any_colour_vision_tell_the_colours_apart(colours: tuple[str, ...], ink: str, sight: str) -> None:
    seen = [lab(np.asarray(SIGHT[sight]) @ linear(colour)) for colour in (*colours, ink)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 30

"""The tables of a comparison: numbers to 4 digits for people, in full for CSV, and nothing that is dropped."""

import csv
import io
import math
from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest
from comparisons import (
    GREEDY,
    HOSTILE,
    KL,
    LOSS,
    arm,
    effect,
    hostile,
    made,
    single_seed,
    twenty_arms,
    two_keys,
    unpaired,
    with_missing,
)
from hypothesis import given
from hypothesis import strategies as st

from dsmath.compare.comparison import Comparison, Missing
from dsmath.compare.tables import (
    amount,
    arms_csv,
    duration,
    interval,
    memory,
    number,
    print_comparison,
    probability,
    rows,
    runs_csv,
    signed,
)


def parsed(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def printed(
    comparison: Comparison, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_comparison(comparison)
    return capsys.readouterr().out


@given(st.floats(-1e9, 1e9, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-12))
def test_a_number_keeps_four_significant_digits(value: float) -> None:
    shown = Decimal(number(value))
    rounded = Context(prec=4, rounding=ROUND_HALF_EVEN).create_decimal(Decimal(value))
    if 1000 <= abs(value) < 1e6:  # digits before the point are never replaced by noughts
        assert abs(shown - Decimal(value)) <= Decimal("0.5")
    else:
        assert shown == rounded
    assert signed(value)[0] in "+-" or value == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (0.000123456, "0.0001235"), (12.0, "12.00"), (999.97, "1000"), (123456.7, "123457"),
     (1234567.0, "1.235e+06"), (0.00001234, "1.234e-05"), (0.0, "0"), (-0.25, "-0.2500"), (None, "–"),
     (math.nan, "–"), (math.inf, "inf")],
)  # fmt: skip
def test_numbers_are_spelled_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_intervals_probabilities_and_costs_are_spelled_for_people() -> None:
    assert interval((-0.5, 0.25), "+") == "-0.5000 to +0.2500"
    assert [probability(p) for p in (0.04567, 1.0, 0.00003, None)] == ["0.046", "1.0", "<0.0001", "–"]
    assert [amount(v) for v in (12.0, 3400.0, 999_600.0, 5.61e6, 1.2e12, None)] == [
        "12", "3.40 k", "1.00 M", "5.61 M", "1.20 T", "–"
    ]  # fmt: skip
    assert [duration(v) for v in (42.0, 720.0, 12240.0, 4.5e5, None)] == ["42 s", "12 min", "3.4 h", "5.21 d", "–"]
    assert [memory(v) for v in (812.0, 14_200.0, None)] == ["812 MB", "14.2 GB", "–"]


def test_the_csv_has_every_number_of_every_arm_in_full() -> None:
    comparison = effect()
    lines = parsed(arms_csv(comparison))
    assert [(line["metric"], line["kl.coef"]) for line in lines] == [
        (metric, coef) for metric in (GREEDY, LOSS) for coef in ("0.04", "0", "0.2")
    ]
    for line, numbers in zip(lines, (each for table in comparison.metrics for each in table.arms), strict=True):
        assert numbers.interval is not None
        assert int(line["n"]) == 3
        assert [float(line[name]) for name in ("mean", "sd", "low", "high")] == [
            numbers.mean, numbers.sd, *numbers.interval
        ]  # fmt: skip
        names = ("difference", "difference_low", "difference_high", "seeds", "p", "p_adjusted", "detectable")
        if numbers.difference is None:
            assert [line[name] for name in names] == [""] * 7
            assert line["verdict"] == "baseline"
        else:
            d = numbers.difference
            assert d.interval is not None
            assert [float(line[name]) for name in names] == [
                d.value, *d.interval, d.seeds, d.p, d.p_adjusted, d.detectable
            ]  # fmt: skip
            assert (line["paired"], line["verdict"]) == ("yes", d.verdict)
        cost = comparison.costs[line["arm"]]
        assert [float(line[name]) for name in ("tokens", "seconds", "peak_memory_mb")] == [
            cost.tokens, cost.seconds, cost.peak_memory_mb
        ]  # fmt: skip


def test_an_arm_that_lacks_a_metric_keeps_its_line() -> None:
    comparison = with_missing()
    line = parsed(arms_csv(comparison))[2]
    assert (line["arm"], line["n"], line["mean"], line["verdict"]) == ("kl.coef = 0.2", "0", "", "no run has it")
    assert [row.verdict for row in rows(comparison, comparison.metrics[0])] == ["baseline", "higher", "no run has it"]


def test_a_single_seed_has_empty_cells_and_not_noughts() -> None:
    for line in parsed(arms_csv(single_seed())):
        assert [line[name] for name in ("sd", "low", "high", "difference_low", "p", "detectable", "tokens")] == [""] * 7


def test_unpaired_differences_are_told_in_the_csv() -> None:
    assert [(line["paired"], line["seeds"]) for line in parsed(arms_csv(unpaired()))] == [
        ("", ""), ("no", "3"), ("no", "2"),
    ]  # fmt: skip


def test_every_run_has_a_line_with_its_keys_and_final_values() -> None:
    comparison = two_keys()
    lines = parsed(runs_csv(comparison))
    assert len(lines) == 12
    for line, run in zip(lines, comparison.runs, strict=True):
        assert (line["id"], line["where"], line["seed"], line["state"]) == (run.id, run.where, str(run.seed), "done")
        assert (line["algorithm"], line["kl.coef"]) == (run.varied["algorithm"], run.varied["kl.coef"])
        assert float(line[GREEDY]) == run.finals[GREEDY]
    failed = parsed(runs_csv(with_missing()))[-1]
    assert (failed["state"], failed["kl.coef"], failed[GREEDY]) == ("failed", "0.2", "")


@pytest.mark.parametrize("text", ["=1+1", "@x", "+cmd", "-cmd|' /C calc'!A0", "\t=1"])
def test_no_cell_starts_a_formula_and_numbers_stay_numbers(text: str) -> None:
    arms = [arm(key=text), arm(key="-0.5")]
    comparison = made(arms, {GREEDY: {each.label: [0.1, 0.2] for each in arms}})
    lines = parsed(arms_csv(comparison))
    assert [line["key"] for line in lines] == [f"'{text}", "-0.5"]


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize(
    "make",
    [effect, single_seed, unpaired, with_missing, two_keys, twenty_arms, hostile],
    ids=lambda make: make.__name__,
)
def test_the_terminal_keeps_to_its_width(
    make: object, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = printed(make(), width, monkeypatch, capsys)  # type: ignore[operator]
    assert max(len(line) for line in out.splitlines()) <= min(width, 100)
    assert not any(ord(letter) < 32 and letter != "\n" for letter in out)
    assert "\u202e" not in out


def test_at_80_columns_no_number_and_no_verdict_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for comparison in (effect(), two_keys(), twenty_arms()):
        out = printed(comparison, 80, monkeypatch, capsys)
        for table in comparison.metrics:
            for each in table.arms:
                assert number(each.mean) in out
                assert interval(each.interval) in out
                if each.difference:
                    assert signed(each.difference.value) in out
                    assert interval(each.difference.interval, "+") in out
        assert "higher" in out
        assert "baseline" in out
        assert "…" not in out


def test_the_terminal_tells_what_is_missing_and_the_notes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = " ".join(printed(with_missing(), 80, monkeypatch, capsys).split())
    assert "Not in the numbers: 3" in out
    for each in with_missing().missing:
        assert each.what in out
        assert each.detail in out
        assert each.where in out
    assert with_missing().notes[0] in out
    assert "no run has it" in out


def test_of_very_many_missing_runs_the_terminal_tells_the_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many = tuple(Missing(f"seed={i}", "", "missing", "") for i in range(40))
    out = printed(replace(effect(), missing=many), 80, monkeypatch, capsys)
    assert "Not in the numbers: 40" in out
    assert "and 28 more" in out


def test_names_are_no_markup_in_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [arm(key="[bold]x[/bold]"), arm(key="[link=http://e.example]y[/link]")]
    comparison = made(arms, {"[red]metric": {each.label: [0.1, 0.2] for each in arms}}, title="[blue]title")
    out = printed(comparison, 100, monkeypatch, capsys)
    assert "[blue]title" in out
    assert "[red]metric" in out
    assert "[bold]x[/bold]" in out
    assert HOSTILE.split()[0] in printed(hostile(), 100, monkeypatch, capsys)


def test_a_comparison_without_a_metric_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = replace(effect(), metrics=(), costs={})
    assert "No run has a metric to compare." in printed(bare, 80, monkeypatch, capsys)
    assert arms_csv(bare).count("\n") == 1
    assert len(bare.arms) == len(KL)

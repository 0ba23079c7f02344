"""What a person sees of a sweep while it runs and at its end."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sweep_tools import point, upstream

from dsmath.sweeps.board import Board, print_failures, summary, table
from dsmath.sweeps.standing import Standing, State
from dsmath.sweeps.units import Unit

AB = upstream("ab")


def stands(unit: Unit | int, state: State, detail: str = "", *, job: str | None = "7_0", where: str = "") -> Standing:
    made = point(unit) if isinstance(unit, int) else unit
    return Standing(made, f"seed={unit}" if isinstance(unit, int) else "sft", state, where, job, detail)


def rows(units: list[Standing], most: int | None = None, width: int = 200) -> list[list[str]]:
    """The cells of the table as a terminal shows it."""
    console = Console(width=width, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115 - the console's
    console.print(table(units, most=most))
    lines = console.export_text().splitlines()
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]


def test_each_unit_has_a_row_with_what_it_last_said() -> None:
    shown = rows([stands(0, "running", "sft 1/2\nsft 2/2", where="n1"), stands(AB, "done", job=None)])
    assert shown == [
        ["0", "seed=0", "running", "7_0", "n1", "sft 2/2"],
        ["upstream-ab", "sft", "done", "", "", ""],
    ]


def test_a_column_that_says_nothing_of_any_unit_is_left_out() -> None:
    local = [replace(stands(0, "done", job=None), seconds=3723.4), stands(1, "waiting", job=None)]
    assert rows(local) == [["0", "seed=0", "done", "1:02:03"], ["1", "seed=1", "waiting", ""]]


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    units = [Standing(point(0), "rl.x=[a,b]", "failed", "n[1-2]", "7_0", "[bold]KeyError: [/red]")]
    assert rows(units) == [["0", "rl.x=[a,b]", "failed", "7_0", "n[1-2]", "[bold]KeyError: [/red]"]]


def test_of_more_units_than_fit_those_are_shown_that_have_something_to_tell() -> None:
    units = [
        stands(0, "done"),
        stands(1, "waiting"),
        stands(2, "running"),
        stands(3, "failed", "no"),
        stands(4, "done"),
    ]
    assert [row[0] for row in rows(units, most=3)] == ["3", "2", "1"]
    assert [row[0] for row in rows(units, most=5)] == ["0", "1", "2", "3", "4"]


def test_the_summary_counts_points_and_not_what_they_share() -> None:
    units = [stands(0, "failed"), stands(1, "running"), stands(2, "running"), stands(3, "done"), stands(AB, "running")]
    assert summary(units) == "4 points: 2 running, 1 done, 1 failed"


def test_without_a_terminal_each_change_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Board() as board:
        board.show([stands(0, "done"), stands(1, "waiting", "Priority"), stands(AB, "running", where="n1", job=None)])
        board.show([stands(0, "done"), stands(1, "waiting", "Resources"), stands(AB, "running", "1/2", job=None)])
        board.show([stands(0, "done"), stands(1, "running", "2/2", where="n2"), stands(AB, "done", job=None)])
        board.show([stands(0, "done"), stands(1, "failed", "ValueError: no", where="n2"), stands(AB, "done", job=None)])
        board.show([stands(0, "done"), stands(1, "waiting", job="8_0"), stands(AB, "done", job=None)])
    assert capsys.readouterr().err.splitlines() == [
        "point 1 (seed=1): waiting, job 7_0: Priority",  # point 0 was done before
        "upstream-ab (sft): running on n1",
        "point 1 (seed=1): running on n2, job 7_0",
        "upstream-ab (sft): done",
        "point 1 (seed=1): failed, job 7_0: ValueError: no",
        "point 1 (seed=1): waiting, job 8_0",
    ]


def test_a_failure_has_the_end_of_its_log_and_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "7_0_0_log.out"
    log.write_text("".join(f"line {i}\n\n" for i in range(40)))
    failed = Standing(point(0), "seed=0", "failed", "n1", "7_0", "ValueError: [no]", log)
    print_failures([failed, stands(1, "failed", "cancelled", job=None), stands(2, "running"), stands(3, "done")])
    assert capsys.readouterr().err == (
        "\npoint 0 (seed=0): failed, job 7_0: ValueError: [no]\n"
        + "".join(f"  | line {i}\n" for i in range(28, 40))
        + f"  log: {log}\n"
        + "\npoint 1 (seed=1): failed: cancelled\n"
    )


def test_in_a_terminal_the_table_is_drawn_anew_and_gone_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"COLUMNS": "80", "LINES": "16", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    units = [stands(number, "waiting") for number in range(20)]
    with Board() as board:
        board.show([*units, stands(20, "failed", "no")])
        board.show([*units, stands(20, "running")])
    drawn = capsys.readouterr().err
    shown = re.findall(r"│ (\d+) +│", drawn)
    assert shown[:8] == shown[8:16] == ["20", *map(str, range(7))]  # 16 lines leave room for 8 rows
    assert drawn.endswith("\x1b[2K")  # the lines are erased

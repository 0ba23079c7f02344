"""A sweep's points handed to dsmath.sweeps, and at its end a line per point, in the terminal and in `results.csv`."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from dsmath.config.compose import Composer
from dsmath.tracking.labels import HELD_OUT, evaluation
from dsmath.tracking.naming import RESULTS as RUN_RESULTS

if TYPE_CHECKING:
    from dsmath.sweeps.standing import Standing

RESULTS = "results.csv"
PRETRAIN = "pretrain"  # the stage whose loss on held-out mathematics is a result by itself (§2.2, Table 1)
HELD_OUT_LOSS = ("validation_loss", "validation_nats_per_byte")


class PointsFailed(Exception):  # noqa: N818 - points have failed, not this
    """Some points of a sweep have no result; each was told."""


def launch_points(
    loader: ConfigLoader, folder: Path, command: Sequence[str], points: Mapping[int, Sequence[str]]
) -> list[JobReturn]:
    """What hydra_plugins/dsmath_launcher does: one JobReturn a point, in their order.

    Raises what dsmath.sweeps.launch.launch raises.
    """
    from dsmath.sweeps.launch import launch

    composed = Composer(loader).points([list(overrides) for overrides in points.values()])
    asked = {n: (overrides, c.experiment) for (n, overrides), c in zip(points.items(), composed, strict=True)}
    standing = launch(folder, [text for text in command if not text.startswith("hydra.mode=")], asked)
    finish(folder, standing, waited=composed[0].experiment.launcher.wait)
    by_name = {each.unit.name: each for each in standing if each.unit.is_point}
    returned = []
    for number, overrides in points.items():
        each = by_name[str(number)]
        done = JobReturn()
        done.overrides = list(overrides)
        done.working_dir = str(folder / str(number))
        done.status = JobStatus.FAILED if each.state == "failed" else JobStatus.COMPLETED
        done.return_value = PointsFailed(_how_many(standing)) if each.state == "failed" else each.objective
        returned.append(done)
    return returned


def finish(folder: Path, standing: "Sequence[Standing]", *, waited: bool) -> None:
    """Tell every failure, and show what there is where Hydra's callback won't, because some points have failed."""
    from dsmath.sweeps.board import print_failures

    print_failures(standing)
    if waited and any(each.state == "failed" for each in standing):
        show_results(folder)


def _how_many(standing: "Sequence[Standing]") -> str:
    points = [each for each in standing if each.unit.is_point]
    failed = sum(each.state == "failed" for each in points)
    return f"{failed} of {len(points)} points failed"


class SweepResults(Callback):
    """A Hydra callback: the points, and where there are several, `dsmath compare` of them in the sweep's folder."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if OmegaConf.select(config, "launcher.wait") is not False:
            show_results(Path(config.hydra.sweep.dir))


def show_results(folder: Path) -> None:
    """The table, `results.csv` and the comparison of a sweep's points."""
    if rows := [_row(run) for run in sorted(folder.glob("*/run.json"), key=_number)]:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        with (folder / RESULTS).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        _print(rows, columns)
        if len(rows) > 1:
            _compare(folder)
        print(f"sweep folder: {folder}")


def _compare(folder: Path) -> None:
    """The arms side by side; a sweep that cannot be compared has its points all the same."""
    from dsmath.errors import UserError
    from dsmath.verbs.compare import compare

    try:
        compare([str(folder)])
    except UserError as error:
        print(f"not compared: {error}")


def _number(path: Path) -> tuple[int, str]:
    name = path.parent.name
    return (int(name) if name.isdigit() else -1, name)


def _row(path: Path) -> dict[str, str]:
    """What was varied and what came out of one run."""
    varied = dict(text.split("=", 1) for text in json.loads(path.read_text(encoding="utf-8"))["overrides"])
    row = {
        "point": path.parent.name,
        **{k.lstrip("+"): v for k, v in varied.items() if k not in ("experiment", "ablation")},
    }
    results = path.parent / RUN_RESULTS
    if not results.exists():
        return row | {"state": "failed"}
    for label, summary in json.loads(results.read_text(encoding="utf-8")).items():
        if evaluated := evaluation(label):
            model, benchmark = evaluated
            whose = model if benchmark == HELD_OUT else f"{model}/{benchmark}"
            numbers = {k: v for k, v in summary.items() if k.partition("@")[0] in ("greedy", "maj", "mean", "pass")}
            row |= {f"{whose} {name}": f"{v:.4f}" for name, v in numbers.items() if isinstance(v, float)}
        elif label == PRETRAIN:
            row |= {f"{label} {name}": f"{summary[name]:.4f}" for name in HELD_OUT_LOSS}
    return row | {"state": "done"}


def _is_shared(column: str, rows: list[dict[str, str]]) -> bool:
    """An override that all points have, which tells none apart; results have a blank in their names."""
    return " " not in column and column not in ("point", "state") and len({row.get(column) for row in rows}) == 1


def _is_detail(column: str, columns: list[str]) -> bool:
    """What `results.csv` alone has: of what was sampled, all but each model's majority of most samples."""
    whose, _, number = column.rpartition(" ")
    if number.startswith(("mean@", "pass@")):
        return True
    votes = [c for c in columns if c.startswith(f"{whose} maj@")]
    return column in votes and column != max(votes, key=lambda c: int(c.partition("@")[2]))


def _print(rows: list[dict[str, str]], columns: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = [c for c in columns if not _is_detail(c, columns) and not _is_shared(c, rows)]
    table = Table()
    for name in shown:
        table.add_column(name, justify="left" if name in ("point", "state") else "right")
    for row in rows:
        table.add_row(*(row.get(name, "") for name in shown))
    Console().print(table)

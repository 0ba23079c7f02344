"""Which number is meant: full names such as `eval/rl/held_out/greedy`, and the short ones that people type."""

from collections.abc import Sequence

import numpy as np

from dsmath.compare.record import RunRecord
from dsmath.errors import UserError, did_you_mean
from dsmath.tracking.labels import HELD_OUT
from dsmath.tracking.naming import AXES, STEP

CHAIN = ("model", "pretrain", "sft", "reward_model", "rl")  # models in the order in which they grow from one another
GREEDY = "greedy"
PRETRAINED = "pretrain/validation_loss"  # of held-out mathematics: a result by itself (§2.2, Table 1)
CURVES = {  # what is drawn of the training of each model, where a run has it
    "rl": ("reward_mean", "validation_accuracy", "kl", "entropy", "completion_length_mean"),
    "reward_model": ("loss", "validation_accuracy"),
    "pretrain": ("loss", "validation_loss"),
    "sft": ("loss", "validation_loss"),
}
COSTS = ("tokens", "samples", "seconds", "peak_memory_mb")
LISTED = 12


def known_metrics(runs: Sequence[RunRecord]) -> list[str]:
    """Every final number that any run has."""
    return list(dict.fromkeys(name for run in runs for name in run.finals))


def resolve(given: str, runs: Sequence[RunRecord]) -> str:
    """The full name of a metric: itself, or `eval/greedy`, `eval/rl/greedy` and `greedy` of the evaluation it means.

    Without a model it is the last that was evaluated, without a benchmark the held-out problems or the only one.

    Raises:
        UserError: when no run has it, with the nearest names, or when several benchmarks are meant.
    """
    known = known_metrics(runs)
    if given in known:
        return given
    head, _, rest = given.partition("/")
    if head == "eval" or not rest:
        wanted = (rest if head == "eval" else given).split("/")
        meant = [name for name in known if (parts := _parts(name)) and _is_meant(parts, wanted)]
        models = [model for model in CHAIN if any(_parts(name)[0] == model for name in meant)]
        chosen = [name for name in meant if models and _parts(name)[0] == models[-1]]
        held_out = [name for name in chosen if _parts(name)[1] == HELD_OUT]
        if len(chosen) == 1 or held_out:
            return (held_out or chosen)[0]
        if chosen:
            raise UserError(f"--metric {given}: of several benchmarks; give one of {', '.join(chosen)}")
    if at_stage := [name for name in known if not rest and name.rpartition("/")[2] == given]:
        raise UserError(f"--metric {given}: give its stage too: {', '.join(at_stage[:LISTED])}")
    short = [f"eval/{number}" for name in known if (number := _parts(name)[2])]
    some = [name for name in known if name.endswith(f"/{GREEDY}")] + [n for n in known if n.count("/") == 1]
    raise UserError(
        f"--metric {given}: no run has it{did_you_mean(given, [*known, *short])}; "
        f"there are {', '.join(some[:LISTED]) or 'none'}{' and more' * (len(some) > LISTED)}"
    )


def _parts(name: str) -> tuple[str, str, str]:
    """Model, benchmark and number of `eval/MODEL/BENCHMARK/NUMBER`; empty for another metric."""
    parts = name.split("/")
    return (parts[1], parts[2], "/".join(parts[3:])) if len(parts) > 3 and parts[0] == "eval" else ("", "", "")


def _is_meant(parts: tuple[str, str, str], wanted: Sequence[str]) -> bool:
    model, benchmark, number = parts
    *place, last = wanted
    return number == last and bool(model) and all(word in (model, benchmark) for word in place)


def default_metrics(runs: Sequence[RunRecord]) -> list[str]:
    """The greedy accuracy of the last model on each benchmark, and the held-out loss of what was trained differently.

    Raises:
        UserError: when no run has any of them.
    """
    known = known_metrics(runs)
    models = [model for model in CHAIN if any(_parts(name)[0] == model for name in known)]
    found = [n for n in known if models and _parts(n)[0] == models[-1] and _parts(n)[2] == GREEDY]
    if PRETRAINED in known and len({run.finals.get(PRETRAINED) for run in runs}) > 1:
        found.append(PRETRAINED)
    if not found:
        ends = dict.fromkeys(run.job_type for run in runs)
        wanted = [f"{stage}/{name}" for stage in ends for name in ("validation_accuracy", "validation_loss", "pages")]
        found = [name for name in wanted if name in known]
    if not found:
        raise UserError(
            f"no metric is an obvious choice; give one with --metric: {', '.join(known[:LISTED]) or 'no run has any'}"
        )
    return found


def stage_of(metric: str) -> str:
    """The stage that trained the model which a metric is of: `rl` of `eval/rl/held_out/greedy` and of `rl/kl`."""
    return _parts(metric)[0] or metric.partition("/")[0]


def curves_of(metrics: Sequence[str], runs: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """(metric, axis) of the learning curves to draw: the metrics that have one, and those of the models' training."""
    stages = dict.fromkeys(stage_of(metric) for metric in metrics)
    names = [m for m in metrics if not _parts(m)[0]]
    names += [f"{stage}/{name}" for stage in stages for name in CURVES.get(stage, ())]
    found = []
    for name in dict.fromkeys(names):
        stage, _, column = name.partition("/")
        tables = [run.history.get(stage, {}) for run in runs]
        if any(column in table and np.count_nonzero(~np.isnan(table[column])) > 1 for table in tables):
            found += [(name, x) for x in AXES if x == STEP or any(x in table for table in tables)]
    return found

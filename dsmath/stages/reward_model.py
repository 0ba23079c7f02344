"""The stage `reward_model`: a model that scores outputs or their steps (§4.2)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from dsmath.config.schema import Prompt
from dsmath.data.process_bench import ProcessBench, fitting_solutions
from dsmath.data.solutions import read_solutions
from dsmath.errors import UserError
from dsmath.evaluation.reward_metrics import best_threshold, first_error_scores, probability
from dsmath.evaluation.reward_model import first_error_metrics, solution_scores
from dsmath.models.load import parameter_count
from dsmath.models.scorer import Scorer, load_scorer, save_scorer, scorer_from_policy
from dsmath.stages.policies import MODEL, initial_policy
from dsmath.training.fit import fit
from dsmath.training.sharding import full_weights, gathered, on_first_rank
from dsmath.work import Work

DESCRIPTION = "reward_model.json"
SHOWN = ("loss", "validation_pairwise_accuracy", "validation_auc", "validation_first_error_f1")
THRESHOLD_PART = "gsm8k"  # of ProcessBench, on which its paper chooses the threshold for all parts


@dataclass(frozen=True)
class Description:
    """What a trained reward model expects, and what its scores are."""

    kind: Literal["outcome", "process"]
    objective: Literal["pairwise", "pointwise"]
    label: Literal["hard", "soft"]
    step_mark: str


def run(work: Work) -> Mapping[str, Any]:
    """Train, keep the model, and say how well it scores what it has not learned from.

    Raises:
        UserError: when the data has nothing of the kind to learn from, or a benchmark of steps is asked of an outcome
            model.
    """
    e = work.experiment
    benchmark = _benchmark(work)
    scorer = scorer_from_policy(initial_policy(work, e.reward_model.init))
    shared = {"kind": e.reward_model.kind, "objective": e.reward_model.objective, "seed": e.seed}
    data = e.reward_model.data.build(
        solutions=read_solutions(work.upstreams["reward_data"].path),
        batch_size=e.reward_model.batch_size,
        tokenizer=scorer.tokenizer,
        **shared,
    )
    module = e.reward_model.module.build(
        scorer=scorer,
        label=e.reward_model.label,
        optim=e.reward_model.optim.build(),
        schedule=e.reward_model.schedule,
        steps=e.reward_model.steps,
        gradient_clip=e.reward_model.gradient_clip,
        micro_batch_size=e.reward_model.micro_batch_size,
        validate_every=e.reward_model.validate_every,
        **shared,
    )
    fit(work, module, data, shown=SHOWN)
    described = Description(
        e.reward_model.kind, e.reward_model.objective, e.reward_model.label, e.reward_data.step_mark
    )
    _keep(scorer, described, work.folder)
    last = module.last_metrics
    summary: dict[str, Any] = {"parameters": parameter_count(scorer.model), "loss": last.get("loss")}
    summary |= {name: value for name, value in last.items() if name.startswith("validation_")}
    summary |= module.cost()
    if benchmark is not None:
        with gathered(scorer.model):
            summary["benchmark"] = benchmark_results(
                benchmark,
                scorer,
                prompt=e.model.prompt,
                mark=e.reward_data.step_mark,
                micro_batch_size=e.reward_model.micro_batch_size,
            )
        _log_benchmark(work, summary["benchmark"], e.reward_model.steps)
    return summary


def load_reward_model(folder: str | Path) -> tuple[Scorer, Description | None]:
    """A reward model that the stage left in its folder; or a token classifier's folder, of which nothing is described.

    Raises:
        UserError: when neither is there.
    """
    place = Path(folder).expanduser()
    if not (place / DESCRIPTION).is_file():
        return load_scorer(place), None
    described = json.loads((place / DESCRIPTION).read_text(encoding="utf-8"))
    return load_scorer(place / MODEL), Description(**described)


def benchmark_results(
    benchmark: ProcessBench, scorer: Scorer, *, prompt: Prompt, mark: str, micro_batch_size: int
) -> dict[str, dict[str, float]]:
    """ProcessBench's numbers for each of its parts, and how many items did not fit the context (these are left out).

    The threshold is the one with the highest F1 on the part gsm8k, as in its paper (§4.1), or where there is none on
    the part itself.
    """
    labels: dict[str, list[int]] = {}
    steps: dict[str, Sequence[Sequence[float]]] = {}
    left_out: dict[str, int] = {}
    for part, items in benchmark.parts.items():
        solutions, left_out[part] = fitting_solutions(items, scorer, prompt=prompt, mark=mark)
        labels[part] = [solution.first_error for solution in solutions]
        scores = solution_scores(
            scorer.model, scorer.tokenizer, solutions, kind="process", micro_batch_size=micro_batch_size
        )
        steps[part] = [[probability(score) for score in own] for own in scores]
    results: dict[str, dict[str, float]] = {}
    for part in benchmark.parts:
        chosen_on = THRESHOLD_PART if labels.get(THRESHOLD_PART) else part
        threshold = best_threshold(steps[chosen_on], labels[chosen_on])
        found = first_error_metrics(first_error_scores(steps[part], labels[part], threshold))
        counts = {"items": float(len(labels[part])), "left_out": float(left_out[part])}
        results[part] = counts | {name: value for name, value in found.items() if value == value}  # noqa: PLR0124 - NaN
    return results


def _benchmark(work: Work) -> ProcessBench | None:
    e = work.experiment
    if e.reward_model.benchmark is None:
        return None
    if e.reward_model.kind != "process":
        raise UserError(
            f"reward_model.benchmark: asks which step is wrong, and reward_model.kind = {e.reward_model.kind} has one "
            "score for the whole output; use reward_model.kind=process, or reward_model.benchmark=null"
        )
    found: ProcessBench = e.reward_model.benchmark.build()
    return found


def _keep(scorer: Scorer, described: Description, folder: Path) -> None:
    weights = full_weights(scorer.model)
    if not on_first_rank():
        return
    save_scorer(scorer, folder / MODEL, weights=weights)
    (folder / DESCRIPTION).write_text(json.dumps(asdict(described), indent=2) + "\n", encoding="utf-8")


def _log_benchmark(work: Work, results: Mapping[str, Mapping[str, float]], step: int) -> None:
    """After the last step's row, in one of its own."""
    metrics = {f"benchmark_{part}_{name}": value for part, found in results.items() for name, value in found.items()}
    work.tracker.stage(work.label, work.folder).log_metrics(metrics, step)

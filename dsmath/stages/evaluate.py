"""The stage `eval`: held-out accuracy of one model, greedy and by vote."""

import json
from collections.abc import Mapping
from typing import Any

from dsmath.data.modules import fitting_prompt
from dsmath.evaluation.evaluate import evaluate
from dsmath.progress import Progress
from dsmath.stages.policies import initial_policy
from dsmath.stages.sampling import placed
from dsmath.work import Work

SAMPLES = "samples.jsonl"


def run(work: Work) -> Mapping[str, Any]:
    """Answer every held-out problem greedily and `samples` times, keep all answers, and count."""
    e = work.experiment
    policy = placed(initial_policy(work, work.variant), e.hardware)
    held_out = e.eval.problems.build().split("test")
    problems = [held_out[i] for i in range(min(e.eval.size, len(held_out)))]
    prompt = {"style": e.model.prompt.style, "instruction": e.model.prompt.instruction}
    prompts = [fitting_prompt(policy, problem, prompt, e.eval.max_new_tokens) for problem in problems]
    (work.folder / SAMPLES).unlink(missing_ok=True)  # of a run that was killed in its last moment
    logger = work.tracker.stage(work.label.replace("@", "/"), work.folder)
    logger.forget_after(-1)
    progress = Progress(work.label, len(problems) * (1 + e.eval.samples), enabled=e.trainer.progress)
    progress.start()
    try:
        result, answers = evaluate(policy, problems, prompts, e.eval, seed=e.seed, on_progress=progress.advance_to)
    finally:
        progress.stop()
    with (work.folder / SAMPLES).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
    logger.log_metrics({k: v for k, v in result.items() if isinstance(v, int | float)}, 0)
    return result

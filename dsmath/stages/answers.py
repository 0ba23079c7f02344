"""The stage `answers`: what a model answers to a benchmark, greedily and sampled, before anything is graded.

Every finished batch is kept while the stage runs: killed and started again, it goes on behind the last one. What is
sampled for a question depends on the question alone, so the result is the same (in bf16 up to roundings, if the
batches have another size from then on).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from dsmath.data.answers import ANSWERS, GREEDY, Answer, read_answers, write_answers
from dsmath.evaluation.answering import Answerer, Question, ask
from dsmath.evaluation.prompts import prompt_style
from dsmath.progress import Progress
from dsmath.reward.equal import same_answer
from dsmath.reward.extract import extract_answer
from dsmath.rollout.engine import engine_of
from dsmath.stages.policies import initial_policy
from dsmath.stages.sampling import placed
from dsmath.work import Work


def run(work: Work) -> Mapping[str, Any]:
    """Ask every question once greedily and `eval.samples` times at the temperature.

    Raises:
        UserError: for a prompt that leaves no room for an answer in the model's context, and for questions that share
            an id.
    """
    e = work.experiment
    model, name = work.variant.split("/", 1)
    benchmark = e.eval.benchmarks[name]
    policy = placed(initial_policy(work, model), e.hardware)
    style = prompt_style(
        e.eval.prompt, model_prompt=e.model.prompt, benchmark=benchmark, prompts_file=e.eval.prompts_file, where=name
    )
    questions = ask(policy.tokenizer, policy.context_length, benchmark, style, e.eval)
    logger = work.tracker.stage(work.label.replace("@", "/"), work.folder)
    logger.forget_after(-1)
    kept = _Kept(work.scratch)
    shown = _Shown(work.label, len(questions) * (1 + e.eval.samples), kept.answers, enabled=e.trainer.progress)
    engine = engine_of(e, policy, max_rows=e.eval.batch_rows)
    with shown, Answerer(policy, engine, style, e.eval, e.tools, seed=e.seed) as answerer:
        for batch in _batches(kept.unanswered(questions, 1, greedy=True), e.eval.batch_rows):
            shown.add(kept.keep(answerer.greedy(batch)))
        for batch in _batches(kept.unanswered(questions, e.eval.samples), e.eval.batch_rows // max(e.eval.samples, 1)):
            shown.add(kept.keep(answerer.sampled(batch)))
    place = {question.problem.id: question.number for question in questions}
    answers = sorted(kept.answers, key=lambda answer: (place[answer.id], answer.sample))
    write_answers(answers, work.folder / ANSWERS)
    numbers = {
        "problems": len(questions),
        "samples": e.eval.samples,
        "tokens_mean": fmean(answer.tokens for answer in answers),
        "truncated": fmean(answer.truncated for answer in answers),
        "tool_runs_mean": fmean(answer.tool_runs for answer in answers),
    }
    logger.log_metrics(numbers, 0)
    asked = {"model": e.model.name, "seed": e.seed, "prompt": e.eval.prompt, "temperature": e.eval.temperature}
    return numbers | asked | {"max_new_tokens": e.eval.max_new_tokens, "tools": e.tools.name}


def _batches(questions: Sequence[Question], size: int) -> Iterator[list[Question]]:
    """Questions of like length together, the longest first, so that memory runs out early if it does."""
    ordered = sorted(questions, key=lambda question: -len(question.prompt))
    size = max(size, 1)
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


class _Kept:
    """The answers so far: a file a batch, in the folder for what only resuming needs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.answers: list[Answer] = []
        for file in sorted(folder.glob("batch-*.parquet")):
            try:
                self.answers += read_answers(file)
            except (OSError, pa.ArrowException):  # torn when the machine went down: it is sampled again
                file.unlink()
        self._next = 1 + max((int(file.stem.partition("-")[2]) for file in folder.glob("batch-*.parquet")), default=-1)

    def keep(self, answers: list[Answer]) -> list[Answer]:
        write_answers(answers, self._folder / f"batch-{self._next:06d}.parquet")
        self._next += 1
        self.answers += answers
        return answers

    def unanswered(self, questions: Sequence[Question], samples: int, *, greedy: bool = False) -> list[Question]:
        """The questions that lack their greedy answer, or their samples; a batch is kept whole or not at all."""
        done = {answer.id for answer in self.answers if (answer.sample == GREEDY) == greedy}
        return [question for question in questions if samples and question.problem.id not in done]


class _Shown:
    """How far it is, with the accuracy so far: by spelling alone, so at least that."""

    def __init__(self, label: str, total: int, answers: Sequence[Answer], *, enabled: bool) -> None:
        self._progress = Progress(label, total, enabled=enabled)
        self._right: dict[bool, list[bool]] = {True: [], False: []}
        for answer in answers:
            self._judge(answer)

    def __enter__(self) -> "_Shown":
        self._progress.start(self._done)
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def add(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self._judge(answer)
        names = {True: "greedy", False: "sampled"}
        self._progress.advance_to(self._done, **{names[k]: fmean(v) for k, v in self._right.items() if v})

    @property
    def _done(self) -> int:
        return sum(map(len, self._right.values()))

    def _judge(self, answer: Answer) -> None:
        said = extract_answer(answer.completion, answer.choices)
        self._right[answer.sample == GREEDY].append(said is not None and same_answer(answer.gold, said))

"""The stage `eval`: what a model answered to a benchmark, graded and counted; nothing is sampled."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsmath import interrupt
from dsmath.data.answers import ANSWERS
from dsmath.evaluation.grading import SAMPLES, Question, grade, questions, write_table
from dsmath.evaluation.numbers import flat, summarise
from dsmath.evaluation.report import PLOT, write_report
from dsmath.progress import Progress
from dsmath.reward.grader import Grader
from dsmath.work import Work

ASKED = ("model", "seed", "prompt", "temperature", "max_new_tokens", "tools")  # of the answers, for the report
LOGGED = 200  # greedy answers in the W&B table, evenly spread over the questions; samples.parquet has them all


def run(work: Work) -> Mapping[str, Any]:
    """Grade the upstream answers, keep them with their verdicts, and leave the report."""
    e = work.experiment
    model, _, benchmark = work.variant.partition("/")
    upstream = work.upstreams["answers"]
    answers = pq.read_table(upstream.path / ANSWERS)
    progress = Progress(work.label, len(answers), enabled=e.trainer.progress)

    def tell(done: int) -> None:
        interrupt.stop_if_requested()
        progress.advance_to(done)

    progress.start()
    try:
        with Grader(symbolic=e.eval.benchmarks[benchmark].symbolic) as grader:
            graded = grade(answers, grader, on_progress=tell)
    finally:
        progress.stop()
    write_table(graded, work.folder / SAMPLES)
    found = questions(graded)
    numbers = summarise(found, k=[k for k in e.eval.k if k], confidence=e.eval.confidence, resamples=e.eval.resamples)
    asked = {name: upstream.summary[name] for name in ASKED if name in upstream.summary} | {
        "answers": upstream.path.name
    }
    write_report(work.folder, found, graded, numbers, model=model, benchmark=benchmark, asked=asked)

    logger = work.tracker.stage(work.label.replace("@", "/"), work.folder)
    logger.forget_after(-1)  # of a run that was killed in its last moment
    logger.log_metrics(flat(numbers), 0)
    logger.log_table("answers", *_table(found, graded))
    logger.log_image("report", work.folder / PLOT)
    return numbers


def _table(found: Sequence[Question], graded: pa.Table) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the greedy answers to be read by a person."""
    columns = ["id", "question", "gold", "extracted", "correct", "decided by", "completion"]
    completions = graded.column("completion")
    chosen = found if len(found) <= LOGGED else [found[i * len(found) // LOGGED] for i in range(LOGGED)]
    rows = [
        [q.id, q.text, q.gold, o.extracted, o.correct, o.decided_by, completions[o.row].as_py()]
        for q in chosen
        for o in (q.greedy,)
    ]
    return columns, rows

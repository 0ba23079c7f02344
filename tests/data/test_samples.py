"""Outputs and labelled solutions survive their files, whatever a model writes."""

import random
from pathlib import Path

from dsmath.data.samples import Sampled, read_samples, write_samples
from dsmath.data.solutions import Solution, StepLabel, read_solutions, write_solutions

NASTY = 'a\nb\r\nc\u2028d\u0085e\\boxed{"7"} \U0001f600 \x00 \ufffd'


def test_what_is_written_is_read_with_any_text(tmp_path: Path) -> None:
    rng = random.Random(0)
    samples = [
        Sampled(
            id=f"train-{i // 2}", question=NASTY, answer="7", sample=i % 2, prompt_tokens=[1, 2],
            tokens=[rng.randint(0, 9) for _ in range(i + 1)], completion=NASTY * i, correct=i % 2 == 0,
            formatted=True, truncated=False, extracted=None if i else "7",
        )
        for i in range(4)
    ]  # fmt: skip
    write_samples(samples, tmp_path)
    assert read_samples(tmp_path) == samples
    assert len((tmp_path / "samples.jsonl").read_bytes().splitlines()) >= 4


def test_solutions_keep_their_steps_and_know_their_first_error(tmp_path: Path) -> None:
    shares = [[1.0, 0.125, 0.0, 0.5, 0.0], [0.25, 1.0], []]
    solutions = [
        Solution(
            id="q", question="?", answer="7", prompt_tokens=[1], tokens=[2, 3], completion=NASTY, correct=False,
            steps=[StepLabel(end, share) for end, share in enumerate(own)], split="validation",
        )
        for own in shares
    ]  # fmt: skip
    write_solutions(solutions, tmp_path)
    assert read_solutions(tmp_path) == solutions
    assert [solution.first_error for solution in solutions] == [2, -1, -1]

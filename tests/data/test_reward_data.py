"""What reward models learn from: tensors, pairs, ranks, and a position that is enough to go on."""

from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dsmath.data.reward_data import ScoredSolutions, pairs, reward_batch
from dsmath.data.solutions import Solution, StepLabel
from dsmath.errors import UserError
from dsmath.models.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(vocab_size=512)


def solution(question: int, number: int, correct: bool, split: str = "train") -> Solution:
    tokens = [300 + question, *range(310, 310 + number % 3 + 1), 2]
    return Solution(
        id=f"q{question}",
        question="?",
        answer="7",
        prompt_tokens=[5] * (1 + question % 4),
        tokens=tokens,
        completion=f"{question}-{number}",
        correct=correct,
        steps=[StepLabel(0, 0.5), StepLabel(len(tokens) - 1, float(correct))],
        split=split,  # type: ignore[arg-type]
    )


def many() -> list[Solution]:
    """Question i has i % 3 right and 2 wrong solutions; the last four questions are held out."""
    return [solution(i, n, n < i % 3, "train" if i < 12 else "validation") for i in range(16) for n in range(i % 3 + 2)]


def data(*, rank: int = 0, ranks: int = 1, **changed: Any) -> ScoredSolutions:
    settings = {"kind": "outcome", "objective": "pairwise", "batch_size": 8, "seed": 0, **changed}
    made = ScoredSolutions(solutions=many(), tokenizer=TOKENIZER, **settings)
    made.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)  # type: ignore[assignment]
    return made


def test_a_batch_holds_the_solutions_and_their_labels() -> None:
    some = [solution(0, 0, True), solution(3, 2, False)]
    batch = reward_batch(some, TOKENIZER)
    for row, one in enumerate(some):
        assert batch.prompt_tokens[row][batch.prompt_mask[row]].tolist() == one.prompt_tokens
        assert batch.completion_tokens[row][batch.response_mask[row]].tolist() == one.tokens
        assert batch.sequences[row][batch.attention_mask[row]].tolist() == one.prompt_tokens + one.tokens
        assert batch.step_ends[row].nonzero().flatten().tolist() == [0, len(one.tokens) - 1]
        assert batch.last[row].nonzero().flatten().tolist() == [len(one.tokens) - 1]
        assert batch.shares[row][batch.step_ends[row]].tolist() == [0.5, float(one.correct)]
    assert batch.correct.tolist() == [1.0, 0.0]
    assert (batch.prompt_mask[0].tolist(), batch.response_mask[0].tolist()) == (
        [False] * 3 + [True],
        [True] * 3 + [False] * 2,
    )


def test_some_rows_have_no_padding_that_only_others_needed() -> None:
    some = [solution(0, 0, True), solution(3, 2, False), solution(2, 1, True)]
    whole, alone = reward_batch(some, TOKENIZER).rows(0, 1), reward_batch(some[:1], TOKENIZER)
    for name in ("prompt_tokens", "prompt_mask", "completion_tokens", "response_mask", "step_ends", "shares"):
        assert torch.equal(getattr(whole, name), getattr(alone, name)), name
    assert whole.ids == ("q0",)


def test_every_solution_of_a_mixed_question_is_in_some_pair() -> None:
    found = pairs(many())
    assert all(right.correct and not wrong.correct and right.id == wrong.id for right, wrong in found)
    mixed = {s.completion for s in many() if int(s.id[1:]) % 3}
    assert {s.completion for pair in found for s in pair} == mixed


def test_an_epoch_of_pairs_holds_each_once_and_nothing_held_out() -> None:
    made = data()
    expected = sorted((r.completion, w.completion) for r, w in pairs([s for s in many() if s.split == "train"]))
    assert len(expected) == 16
    batches = list(islice(made.batches(), 4))
    rows = [row for batch in batches for row in batch.completion_tokens.tolist()]
    assert len(rows) == 32
    assert all(batch.correct.tolist() == [1.0, 0.0] * 4 for batch in batches)
    ids = sorted(i for batch in batches for i in batch.ids[::2])
    assert ids == sorted(right.split("-")[0].join(["q", ""]) for right, _ in expected)
    assert {s.id for s in made.validation} == {f"q{i}" for i in range(12, 16)}


@pytest.mark.parametrize("kind", [("outcome", "pairwise"), ("outcome", "pointwise"), ("process", "pairwise")])
def test_ranks_share_the_batch_that_one_would_have(kind: tuple[str, str]) -> None:
    settings = {"kind": kind[0], "objective": kind[1]}
    for alone, *shared in islice(
        zip(
            data(**settings).batches(),
            data(**settings, rank=0, ranks=2).batches(),
            data(**settings, rank=1, ranks=2).batches(),
            strict=False,
        ),
        5,
    ):
        assert len(alone) == 8
        assert sorted(alone.ids) == sorted([*shared[0].ids, *shared[1].ids])
        assert [len(part) for part in shared] == [4, 4]
        assert alone.after == shared[0].after == shared[1].after


def test_a_position_is_enough_to_go_on() -> None:
    undisturbed = list(islice(data().batches(), 6))
    resumed = data()
    resumed.load_state_dict({"position": undisturbed[2].after})
    for expected, found in zip(undisturbed[3:], resumed.batches(), strict=False):
        assert torch.equal(expected.sequences, found.sequences)


def test_pairs_need_an_even_batch_and_a_question_with_both() -> None:
    with pytest.raises(UserError, match=r"reward_model\.batch_size = 7: counts outputs, and a pair has two"):
        data(batch_size=7)
    right = [solution(i, 0, i % 2 == 0) for i in range(4)]
    with pytest.raises(UserError, match=r"no pairs; use reward_model\.objective=pointwise"):
        ScoredSolutions(
            solutions=right, kind="outcome", objective="pairwise", batch_size=2, tokenizer=TOKENIZER, seed=0
        )

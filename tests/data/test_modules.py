"""The stages' data: nothing lost, nothing twice, each rank its part, and a position is enough to go on."""

from itertools import islice
from types import SimpleNamespace
from typing import Any

import pytest

from dsmath.data.modules import PackedSolutions, Prompts
from dsmath.data.order import Shuffled
from dsmath.data.problem import Problem
from dsmath.errors import UserError
from dsmath.models.load import Policy
from dsmath.models.tokenizer import build_tokenizer

TOKENIZER = build_tokenizer(vocab_size=1024)
POLICY = Policy(None, TOKENIZER, 64)  # type: ignore[arg-type]


class Listed:
    def __init__(self, train: int, validation: int = 3, *, words: int = 3) -> None:
        def problem(split: str, i: int) -> Problem:
            return Problem(
                f"{split}-{i}",
                f"What is {i}?" + " more" * (i % words),
                f"{i} it is. " * (i % 3) + f"\\boxed{{{i}}}",
                f"{i}",
            )

        self._splits = {
            "train": [problem("train", i) for i in range(train)],
            "validation": [problem("validation", i) for i in range(validation)],
        }

    def split(self, name: str) -> list[Problem]:
        return self._splits[name]


def packed(train: int = 40, *, rank: int = 0, ranks: int = 1, **changed: Any) -> PackedSolutions:
    settings = {"batch_size": 4, "sequence_length": 48, "validation_size": 2, "seed": 0, **changed}
    data = PackedSolutions(problems=Listed(train), policy=POLICY, prompt_style="plain", instruction="", **settings)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)  # type: ignore[assignment]
    return data


def prompts(train: int = 40, *, rank: int = 0, ranks: int = 1, **changed: Any) -> Prompts:
    settings = {
        "batch_size": 12,
        "group_size": 3,
        "updates": 2,
        "max_new_tokens": 8,
        "validation_size": 2,
        "seed": 0,
        **changed,
    }
    data = Prompts(problems=Listed(train), policy=POLICY, prompt_style="plain", instruction="", **settings)
    data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)  # type: ignore[assignment]
    return data


def test_an_epoch_of_packed_rows_holds_every_document_once() -> None:
    seen: list[str] = []
    for batch in packed().batches():
        seen += batch.ids
        if len(seen) >= 80:
            break
    every = {f"train-{i}" for i in range(40)}
    assert set(seen[:40]) == every
    assert set(seen[40:80]) == every
    assert seen[:40] != seen[40:80], "the second epoch has an order of its own"


def test_packed_rows_hold_the_rendered_text() -> None:
    batch = next(packed().batches())
    text = TOKENIZER.decode(batch.tokens[0][batch.learned[0]].tolist())
    first = Listed(40).split("train")[int(batch.ids[0].split("-")[1])]
    assert text.startswith(first.solution + "<|eos|>")


def test_positions_resume_packed_batches_where_they_stopped() -> None:
    undisturbed = list(islice(packed().batches(), 9))
    resumed = packed()
    resumed.load_state_dict({"position": undisturbed[4].after})
    for expected, found in zip(undisturbed[5:], resumed.batches(), strict=False):
        assert found.ids == expected.ids
        assert found.tokens.equal(expected.tokens)
        assert found.after == expected.after


def test_ranks_share_out_the_rows_of_one_batch() -> None:
    whole = list(islice(packed().batches(), 5))
    parts = [list(islice(packed(rank=rank, ranks=2).batches(), 5)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert batch.tokens[0::2].equal(first.tokens)
        assert batch.tokens[1::2].equal(second.tokens)
        assert sorted(batch.ids) == sorted(first.ids + second.ids)
        assert batch.after == first.after == second.after


def test_ranks_share_out_the_questions_of_one_exploration() -> None:
    whole = list(islice(prompts().batches(), 4))
    parts = [list(islice(prompts(rank=rank, ranks=2).batches(), 4)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert {p.id for p in batch.problems} == {p.id for p in first.problems} | {p.id for p in second.problems}
        assert len(first.problems) == len(second.problems) == 2


def test_every_update_of_an_exploration_gets_its_questions_and_an_epoch_asks_each_once() -> None:
    batches = list(islice(prompts().batches(), 20))
    assert [b.exploration for b in batches] == [i // 2 for i in range(20)]
    assert all(a == b for a, b in zip(batches[0::2], batches[1::2], strict=True))
    asked = [p.id for batch in batches[::2] for p in batch.problems]
    assert sorted(asked) == sorted(f"train-{i}" for i in range(40))


def test_an_update_count_resumes_prompts_in_the_middle_of_an_exploration() -> None:
    undisturbed = list(islice(prompts().batches(), 8))
    resumed = prompts()
    resumed.load_state_dict({"position": 3})
    assert list(islice(resumed.batches(), 5)) == undisturbed[3:]


def test_orders_differ_by_epoch_seed_and_stage() -> None:
    source = Listed(50).split("train")

    def order(seed: int, stage: str, epoch: int) -> list[str]:
        stream = Shuffled(source, seed=seed, stage=stage)
        return [stream[i].id for i in range(50 * epoch, 50 * (epoch + 1))]

    orders = [order(0, "rl", 0), order(0, "rl", 1), order(1, "rl", 0), order(0, "sft", 0)]
    assert all(sorted(each) == sorted(orders[0]) for each in orders)
    assert len({tuple(each) for each in orders}) == 4
    stream = Shuffled(source, seed=0, stage="rl")
    assert [stream[i].id for i in (60, 3, 60)] == [orders[1][10], orders[0][3], orders[1][10]]


def test_validation_batches_hold_the_held_out_documents_alone() -> None:
    batches = list(packed(validation_size=3, batch_size=2).validation_batches())
    assert [b.ids for b in batches] == [("validation-0", "validation-1"), ("validation-2",)]


def test_a_document_that_is_longer_than_a_row_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"problem validation-\d+: .* tokens, more than sft.sequence_length = 6"):
        packed(sequence_length=6)
    with pytest.raises(UserError, match=r"problem train-2: .* sft.sequence_length = 24"):
        packed(sequence_length=24, validation_size=1)


def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"problem .*: its prompt has \d+ tokens .* model.context_length = 64"):
        prompts(max_new_tokens=60)

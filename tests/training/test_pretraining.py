"""Pre-training: every document learns as if it were alone, over all of its tokens, at the paper's rates."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from training_tools import CONSTANT, fit, small_policy, weights

from dsmath.config.schema import Schedule
from dsmath.data.packing import PackedBatch
from dsmath.data.pretraining import TokenMixture
from dsmath.data.token_shards import TokenShards, tokenise, write_shard
from dsmath.models.load import Policy
from dsmath.training.pretraining import Pretraining

SGD = partial(torch.optim.SGD, lr=1.0)
ADAMW = partial(torch.optim.AdamW, lr=0.03, betas=(0.9, 0.95), weight_decay=0.1)
TEXTS = [f"{n} + {n} = {2 * n}" + ", and so it goes on" * (n % 3) for n in range(20)]
HELD_OUT = ["21 + 21 = 42", "7 is odd " * 40, "∑ 二"]
MULTI_STEP = Schedule(kind="multi_step", warmup_steps=2, milestones=[0.8, 0.9], factors=[0.316, 0.1], final_factor=1.0)


def data_of(policy: Policy, folder: Path, *, length: int = 32, rows: int = 6) -> TokenMixture:
    for name, texts in (("math", TEXTS), ("web", ["a rose is a rose"])):
        path = folder / name / "shard-00000.arrow"
        write_shard(path, tokenise(policy.tokenizer, texts), vocabulary_size=len(policy.tokenizer))
    return TokenMixture(
        shards={name: TokenShards(folder / name) for name in ("math", "web")}, mixture={"math": 0.75, "web": 0.25},
        held_out=list(tokenise(policy.tokenizer, HELD_OUT)), held_out_bytes=sum(len(t.encode()) for t in HELD_OUT),
        batch_rows=rows, validation_rows=2, sequence_length=length, seed=0,
    )  # fmt: skip


def module_of(
    policy: Policy, *, micro: int = 6, steps: int = 1, optim: Any = SGD, schedule: Schedule = CONSTANT, every: int = 100
) -> Pretraining:
    return Pretraining(
        model=policy.model, optim=optim, schedule=schedule, steps=steps, gradient_clip=1e9, seed=0,
        micro_batch_size=micro, validate_every=every,
    )  # fmt: skip


def pieces(batch: PackedBatch) -> Iterator[tuple[int, int, int]]:
    """Row, start and end of every piece of a document."""
    for row, positions in enumerate(batch.positions.tolist()):
        starts = [at for at, position in enumerate(positions) if position == 0]
        yield from ((row, start, end) for start, end in zip(starts, [*starts[1:], len(positions)], strict=True))


def nats(policy: Policy, tokens: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The negative log-likelihood of a text's tokens but the first, of that text alone."""
    if len(tokens) < 2:
        return torch.zeros((), dtype=torch.float64), 0
    logits = policy.model(input_ids=tokens[None, :-1], use_cache=False).logits[0]
    return torch.nn.functional.cross_entropy(logits, tokens[1:], reduction="sum"), len(tokens) - 1


@pytest.mark.parametrize(("attention", "near"), [("sdpa", 1e-12), ("eager", 1e-5)])  # eager's softmax is in float32
def test_a_document_in_a_packed_row_gets_the_logits_that_it_gets_alone(
    tmp_path: Path, attention: str, near: float
) -> None:
    policy = small_policy()
    policy.model.set_attn_implementation(attention)
    batch = data_of(policy, tmp_path).batch(0)
    with torch.no_grad():
        packed = policy.model(input_ids=batch.tokens, position_ids=batch.positions, use_cache=False).logits
        found = list(pieces(batch))
        assert len(found) > 2 * len(batch.tokens)
        for row, start, end in found:
            alone = policy.model(input_ids=batch.tokens[row : row + 1, start:end], use_cache=False).logits[0]
            torch.testing.assert_close(packed[row, start:end], alone, rtol=0, atol=near)
        mixed = policy.model(input_ids=batch.tokens, use_cache=False).logits
    assert (packed - mixed).abs().max() > 0.01  # what it would be if documents saw each other


def test_a_step_follows_the_mean_over_all_tokens_of_documents_alone(tmp_path: Path) -> None:
    policy, reference = small_policy(), small_policy()
    data = data_of(policy, tmp_path)
    batch = data.batch(0)
    parts = [nats(reference, batch.tokens[row, start:end]) for row, start, end in pieces(batch)]
    loss = torch.stack([total for total, _ in parts]).sum() / sum(count for _, count in parts)
    loss.backward()
    expected = torch.cat([(p.detach() - p.grad).flatten() for p in reference.model.parameters()])

    metrics = fit(module_of(policy), data, 1)[0]

    assert metrics["loss"] == pytest.approx(loss.item(), abs=1e-9)
    torch.testing.assert_close(weights(policy), expected, rtol=0, atol=1e-8)
    assert data.position == 1


@pytest.mark.parametrize("micro", [1, 4])
def test_the_gradient_does_not_depend_on_the_micro_batch(tmp_path: Path, micro: int) -> None:
    whole, parts = small_policy(), small_policy()
    fit(module_of(whole), data_of(whole, tmp_path), 1)
    fit(module_of(parts, micro=micro), data_of(parts, tmp_path), 1)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-10)


def test_the_held_out_loss_is_that_of_every_document_and_also_counted_per_byte(tmp_path: Path) -> None:
    policy = small_policy()
    data = data_of(policy, tmp_path)
    metrics = fit(module_of(policy), data, 1)[0]
    total, count = 0.0, 0
    with torch.no_grad():
        for tokens in tokenise(policy.tokenizer, HELD_OUT):
            for start in range(0, len(tokens) - 1, 31):  # what a window has read before does not count again
                part, size = nats(policy, torch.tensor(tokens[start : start + 32]))
                total, count = total + part.item(), count + size
        assert count == sum(len(tokens) - 1 for tokens in tokenise(policy.tokenizer, HELD_OUT))
    assert metrics["validation_loss"] == pytest.approx(total / count, abs=1e-9)
    assert metrics["validation_perplexity"] == pytest.approx(math.exp(total / count), rel=1e-9)
    assert metrics["validation_nats_per_byte"] == pytest.approx(total / len("".join(HELD_OUT).encode()), abs=1e-9)


def test_the_learning_rate_takes_the_papers_steps_and_the_loss_falls(tmp_path: Path) -> None:
    policy = small_policy()
    steps = fit(
        module_of(policy, steps=20, optim=ADAMW, schedule=MULTI_STEP, every=10), data_of(policy, tmp_path), 20
    )  # fmt: skip
    rates = [step["learning_rate"] / 0.03 for step in steps]
    assert rates == pytest.approx([0.5, 1.0] + [1.0] * 14 + [0.316] * 2 + [0.1] * 2)
    assert [at for at, step in enumerate(steps) if "validation_loss" in step] == [9, 19]
    assert steps[-1]["loss"] < steps[0]["loss"] - 1


def test_what_was_trained_on_is_told_by_source(tmp_path: Path) -> None:
    policy = small_policy()
    last = fit(module_of(policy, steps=4), data_of(policy, tmp_path), 4)[-1]
    assert last["tokens"] == 4 * 6 * 32
    assert (last["share_math"], last["share_web"]) == (0.75, 0.25)
    of_web = sum(len(tokens) for tokens in tokenise(policy.tokenizer, ["a rose is a rose"]))
    assert last["epochs_web"] == 6 * 32 / of_web

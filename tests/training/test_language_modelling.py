"""Fine-tuning: the loss is that of completion tokens, however they are packed and cut into micro-batches."""

from functools import partial
from typing import Any

import pytest
import torch
from training_tools import CONSTANT, Listed, fit, small_policy, weights

from dsmath.data.modules import PackedSolutions
from dsmath.models.load import Policy
from dsmath.training.language_modelling import LanguageModelling
from dsmath.training.module import NonFiniteError

SGD = partial(torch.optim.SGD, lr=1.0)


def data_of(policy: Policy, *, length: int = 64) -> PackedSolutions:
    return PackedSolutions(
        problems=Listed(30, 4), policy=policy, prompt_style="plain", instruction="", batch_size=6,
        sequence_length=length, validation_size=4, seed=0,
    )  # fmt: skip


def module_of(
    policy: Policy, *, micro: int = 6, steps: int = 1, optim: Any = SGD, clip: float = 1e9
) -> LanguageModelling:
    return LanguageModelling(
        model=policy.model, optim=optim, schedule=CONSTANT, steps=steps, gradient_clip=clip, seed=0,
        micro_batch_size=micro, validate_every=100,
    )  # fmt: skip


def negative_log_likelihood(policy: Policy, problems: list[Any]) -> tuple[torch.Tensor, int]:
    """Of the solutions' tokens, one document at a time."""
    total, count = torch.zeros((), dtype=torch.float64), 0
    for problem in problems:
        prompt = policy.tokenizer(f"{problem.question}\n", add_special_tokens=False)["input_ids"]
        completion = policy.tokenizer(problem.solution, add_special_tokens=False)["input_ids"] + [
            policy.tokenizer.eos_token_id
        ]
        logits = policy.model(input_ids=torch.tensor([prompt + completion]), use_cache=False).logits[
            0, len(prompt) - 1 : -1
        ]
        total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(completion), reduction="sum")
        count += len(completion)
    return total, count


def test_a_step_follows_the_mean_over_completion_tokens_of_documents_alone() -> None:
    policy, reference = small_policy(), small_policy()
    data = data_of(policy)
    ids = next(data.batches()).ids
    by_id = {p.id: p for p in Listed(30, 4).split("train")}
    total, count = negative_log_likelihood(reference, [by_id[i] for i in ids])
    loss = total / count
    loss.backward()
    expected = torch.cat([(p.detach() - p.grad).flatten() for p in reference.model.parameters()])

    metrics = fit(module_of(policy), data, 1)[0]

    assert metrics["loss"] == pytest.approx(loss.item(), abs=1e-9)
    torch.testing.assert_close(weights(policy), expected, rtol=0, atol=1e-8)
    total, count = negative_log_likelihood(policy, Listed(30, 4).split("validation"))
    assert metrics["validation_loss"] == pytest.approx((total / count).item(), abs=1e-9)
    assert data.position == len(ids)


@pytest.mark.parametrize("micro", [1, 4, 5])
def test_the_gradient_does_not_depend_on_the_micro_batch(micro: int) -> None:
    whole, parts = small_policy(), small_policy()
    fit(module_of(whole), data_of(whole), 1)
    fit(module_of(parts, micro=micro), data_of(parts), 1)
    torch.testing.assert_close(weights(parts), weights(whole), rtol=0, atol=1e-10)


def test_gradients_are_clipped_to_the_norm_and_logged_as_they_were() -> None:
    policy = small_policy()
    before = weights(policy)
    metrics = fit(module_of(policy, clip=0.01), data_of(policy), 1)[0]
    assert metrics["gradient_norm"] > 0.1
    assert (weights(policy) - before).norm().item() == pytest.approx(0.01, rel=1e-4)


def test_weight_decay_is_for_matrices_alone() -> None:
    module = module_of(small_policy(), optim=partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1))
    groups = module.configure_optimizers()["optimizer"].param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in module.model.named_parameters():
        assert decays.pop(id(parameter)) == (0.0 if "norm" in name else 0.1), name
    assert not decays


def test_a_loss_that_is_not_a_number_stops_before_the_weights_change() -> None:
    policy = small_policy()
    policy.model.get_input_embeddings().weight.data[:] = float("inf")
    before = weights(policy)
    with pytest.raises(
        NonFiniteError, match=r"sft: the loss is nan at step 0.*\n  batch: train-\d+, .*and \d+ more\n.*sft.optim.lr"
    ):
        fit(module_of(policy), data_of(policy), 1)
    assert torch.equal(weights(policy), before)

"""The policy that a stage starts from."""

import gc
from pathlib import Path

from dsmath.models.load import Policy, load_saved, save_policy
from dsmath.models.lora import plain_weights
from dsmath.training.sharding import full_weights, on_first_rank
from dsmath.work import Work

MODEL = "model"  # the folder of a stage's result that holds its policy


def initial_policy(work: Work, upstream: str) -> Policy:
    """The upstream stage's policy, or the one that the config's model names when `upstream` is `model`."""
    policy: Policy
    gc.collect()  # a trainer and its module hold each other: an earlier stage's models go before the next comes
    if upstream == "model":
        policy = work.experiment.model.policy.build()
    else:
        policy = load_saved(work.upstreams[upstream].path / MODEL, "float32")
    context = min(work.experiment.model.context_length, policy.context_length)
    return Policy(policy.model, policy.tokenizer, context)


def keep_policy(policy: Policy, folder: Path) -> None:
    """Make the policy part of the stage's result: ranks hold the same, or its shards, and the first keeps it.

    Adapters become part of its weights: what starts from it knows nothing of them.
    """
    weights = full_weights(policy.model)
    if on_first_rank():
        save_policy(policy, folder / MODEL, weights=plain_weights(policy.model, weights))

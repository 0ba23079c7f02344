"""Numbers that must fit one another: batches, groups, pairs and devices; lengths and the model's context."""

from dsmath.config.paradigm import PAIRS, Broken, learns_from_pairs
from dsmath.config.schema import Experiment


def sft_sizes(e: Experiment) -> Broken:
    """A packed batch that the devices share and the model can read."""
    ranks = _ranks(e)
    if e.sft.batch_size % ranks:
        yield (
            "sft.batch_size",
            f" = {e.sft.batch_size}: not divisible by the {ranks} devices of hardware; expected a multiple of {ranks}",
        )
    if e.sft.sequence_length > e.model.context_length:
        yield (
            "sft.sequence_length",
            f" = {e.sft.sequence_length}: longer than the model's context; expected at most model.context_length = "
            f"{e.model.context_length}",
        )


def samples_sizes(e: Experiment) -> Broken:
    """Outputs that leave room for their question."""
    yield from room(e, "samples.max_new_tokens", e.samples.max_new_tokens)


def reward_data_sizes(e: Experiment) -> Broken:
    """No more solutions than there are, and rollouts that can go beyond them."""
    data, samples = e.reward_data, e.samples
    if data.solutions_per_question > samples.per_question:
        yield (
            "reward_data.solutions_per_question",
            f" = {data.solutions_per_question}: only samples.per_question = {samples.per_question} are sampled; "
            "expected at most that",
        )
    if not data.step_mark:
        yield "reward_data.step_mark", " = '': it ends a step; expected text, such as a line break"
    if e.reward_model.kind == "process":
        yield from room(e, "reward_data.max_new_tokens", data.max_new_tokens)
        if data.max_new_tokens < samples.max_new_tokens:
            yield (
                "reward_data.max_new_tokens",
                f" = {data.max_new_tokens}: of a solution with its rollout, and a solution alone may have "
                f"samples.max_new_tokens = {samples.max_new_tokens}; expected at least that",
            )


def reward_model_sizes(e: Experiment) -> Broken:
    """Whole pairs, shared by the devices."""
    model = e.reward_model
    pairs = model.kind == "outcome" and model.objective == "pairwise"
    if pairs and e.reward_data.solutions_per_question == 1:
        yield (
            "reward_data.solutions_per_question",
            " = 1: a pair has a right and a wrong solution of one question; expected at least 2, or "
            "reward_model.objective=pointwise",
        )
    yield from _shared(e, "reward_model", pairs=pairs)


def rl_sizes(e: Experiment) -> Broken:
    """Whole groups or pairs, shared by the devices, and outputs that leave room for their question."""
    yield from room(e, "sampling.max_new_tokens", e.sampling.max_new_tokens)
    if e.source.name == "online":
        yield from _groups(e)
    else:
        yield from _shared(e, "rl", pairs=learns_from_pairs(e))
    if e.source.name == "offline":
        yield from _offline(e)
    if e.iteration.reward_steps:
        yield from _continued(e)


def room(e: Experiment, key: str, length: int) -> Broken:
    """Completions as long as the context leave no room for a prompt."""
    if length >= e.model.context_length:
        yield (
            key,
            f" = {length}: leaves no room for a prompt; expected less than model.context_length = "
            f"{e.model.context_length}",
        )


def _groups(e: Experiment) -> Broken:
    size, batch, advantage = e.sampling.group_size, e.rl.batch_size, e.advantage.name
    if size == 1 and advantage in ("group", "group_process"):
        yield (
            "sampling.group_size",
            " = 1: a group's mean is its only baseline, so the advantage of a single sample is always 0; "
            "expected at least 2, or algorithm=ppo, which needs no group",
        )
    if size == 1 and advantage == "leave_one_out":
        yield (
            "sampling.group_size",
            " = 1: the baseline is the mean reward of the group's other outputs, and there is no other; "
            "expected at least 2, or algorithm=ppo, which needs no group",
        )
    if batch % size:
        yield (
            "rl.batch_size",
            f" = {batch}: not divisible by sampling.group_size = {size}, so a group would be cut; expected a multiple "
            f"of it, such as {_near(batch, size)}",
        )
        return
    ranks = _ranks(e)
    if batch // size % ranks:
        yield (
            "rl.batch_size",
            f" = {batch}: {batch // size} groups of {size} cannot be shared equally by {ranks} devices; expected a "
            f"multiple of {size * ranks}",
        )


def _shared(e: Experiment, section: str, *, pairs: bool) -> Broken:
    """A batch of pairs or of single outputs."""
    batch, ranks = getattr(e, section).batch_size, _ranks(e)
    if pairs and batch % 2:
        yield (
            f"{section}.batch_size",
            f" = {batch}: counts outputs, so a pair would be cut; expected an even number, such as {_near(batch, 2)}",
        )
    elif batch % (ranks * (1 + pairs)):
        what = f"{batch // 2} pairs" if pairs else "its outputs"
        yield (
            f"{section}.batch_size",
            f" = {batch}: {what} cannot be shared equally by {ranks} devices; expected a multiple of "
            f"{ranks * (1 + pairs)}",
        )


def _offline(e: Experiment) -> Broken:
    if e.samples.init != e.rl.init:
        yield (
            "samples.init",
            f" = {e.samples.init}: offline outputs are those of the model that learning starts from (§5.2.1), here "
            f"rl.init = {e.rl.init}; use samples.init={e.rl.init}, or rl.init={e.samples.init}",
        )
    if e.source.data.target == PAIRS and e.samples.per_question == 1:
        yield (
            "samples.per_question",
            " = 1: a pair has a right and a wrong output of one question; expected at least 2",
        )


def _continued(e: Experiment) -> Broken:
    """The reward model continues on what the policy samples (§4.1.4)."""
    if e.reward.name == "model" and e.reward_model.objective == "pairwise" and e.sampling.group_size == 1:
        yield (
            "sampling.group_size",
            f" = 1: iteration.reward_steps = {e.iteration.reward_steps} need pairs of a right and a wrong output of "
            "one question; expected at least 2, or reward_model.objective=pointwise",
        )
    if e.reward.name == "process" and e.reward_data.max_new_tokens < e.sampling.max_new_tokens:
        yield (
            "reward_data.max_new_tokens",
            f" = {e.reward_data.max_new_tokens}: of an output with its rollout, and an output alone may have "
            f"sampling.max_new_tokens = {e.sampling.max_new_tokens}; expected at least that",
        )


def _near(number: int, step: int) -> str:
    below, above = number // step * step, (number // step + 1) * step
    return " or ".join(str(n) for n in (below, above) if n)


def _ranks(e: Experiment) -> int:
    return e.hardware.devices * e.hardware.num_nodes

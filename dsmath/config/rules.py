"""What no single value shows: combinations that cannot work, each with what to change."""

from collections.abc import Iterator

from dsmath.config.schema import Experiment


def broken_rules(e: Experiment) -> Iterator[tuple[str, str]]:
    """The key and the rest of the message for each combination that cannot work in a stage that this chain has."""
    stages = chain(e)
    if "rl" in stages:
        yield from _groups(e)
        yield from _pieces(e)
    if "sft" in stages:
        yield from _packing(e)
    if "eval" in stages:
        yield from _evaluation(e)
    yield from _schedules(e)
    yield from _optimisers(e)
    yield from _folders(e)


def upstreams(e: Experiment, stage: str) -> list[str]:
    """The stages that a stage grows from in this experiment; `model` is none, it is where everything starts."""
    grown: dict[str, list[str]] = {
        "pretrain": ["corpus"],
        "sft": [e.sft.init],
        "reward_model": [e.reward_model.init],
        "rl": [e.rl.init, *(["reward_model"] if e.reward.name != "rule" else [])],
        "eval": [*e.eval.of],
    }
    return [name for name in grown.get(stage, []) if name != "model"]


def chain(e: Experiment) -> set[str]:
    """The target stage and all that it grows from."""
    found: set[str] = set()
    ahead: list[str] = [e.stage.name]
    while ahead:
        stage = ahead.pop()
        found.add(stage)
        ahead += [name for name in upstreams(e, stage) if name not in found]
    return found


def _groups(e: Experiment) -> Iterator[tuple[str, str]]:
    size, batch = e.sampling.group_size, e.rl.batch_size
    yield from _room(e, "sampling.max_new_tokens", e.sampling.max_new_tokens)
    if e.advantage.name == "group" and size == 1:
        yield (
            "sampling.group_size",
            " = 1: a group's mean is its only baseline, so the advantage of a single sample is always 0; "
            "expected at least 2, or another advantage=",
        )
    if batch % size:
        below, above = batch // size * size, (batch // size + 1) * size
        near = " or ".join(str(n) for n in (below, above) if n)
        yield (
            "rl.batch_size",
            f" = {batch}: not divisible by sampling.group_size = {size}, so a group would be cut; expected a multiple "
            f"of it, such as {near}",
        )
        return
    ranks = e.hardware.devices * e.hardware.num_nodes
    if batch // size % ranks:
        yield (
            "rl.batch_size",
            f" = {batch}: {batch // size} groups of {size} cannot be shared equally by {ranks} devices; expected a "
            f"multiple of {size * ranks}",
        )


def _packing(e: Experiment) -> Iterator[tuple[str, str]]:
    ranks = e.hardware.devices * e.hardware.num_nodes
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


def _room(e: Experiment, key: str, length: int) -> Iterator[tuple[str, str]]:
    if length >= e.model.context_length:
        yield (
            key,
            f" = {length}: leaves no room for a prompt; expected less than model.context_length = "
            f"{e.model.context_length}",
        )


def _pieces(e: Experiment) -> Iterator[tuple[str, str]]:
    if e.algorithm.name == "grpo" and e.advantage.name == "gae":
        yield "advantage", " = gae: needs a value model, which grpo has none of; use algorithm=ppo, or advantage=group"
    if e.algorithm.name == "ppo" and e.advantage.name != "gae":
        yield (
            "advantage",
            f" = {e.advantage.name}: ppo's advantage comes from its value model; use advantage=gae, or algorithm=grpo",
        )
    if e.advantage.name == "gae" and (e.advantage.gamma is None or e.advantage.lam is None):
        yield "advantage", ": gae needs both advantage.gamma and advantage.lam"
    if e.algorithm.aggregation == "constant" and e.algorithm.aggregation_constant is None:
        yield (
            "algorithm.aggregation_constant",
            ": no value; algorithm.aggregation=constant divides by it, usually sampling.max_new_tokens",
        )
    if e.kl.placement == "none" and e.kl.coef > 0:
        yield (
            "kl.coef",
            f" = {e.kl.coef:g}: has no effect with kl.placement=none; use kl.coef=0, or kl=loss_k3 to have the penalty",
        )
    if e.reward.name == "rule" and e.reward.function is None:
        yield "reward.function", ": no value; reward=rule needs a component, see conf/reward/rule.yaml"


def _schedules(e: Experiment) -> Iterator[tuple[str, str]]:
    named = {"sft": e.sft.schedule, "rl": e.rl.schedule, "pretrain": e.pretrain.schedule}
    named["reward_model"] = e.reward_model.schedule
    for stage, schedule in named.items():
        if len(schedule.milestones) != len(schedule.factors):
            yield (
                f"{stage}.schedule.factors",
                f" = {schedule.factors}: one factor for each of the {len(schedule.milestones)} milestones was expected",
            )
        if sorted(schedule.milestones) != schedule.milestones:
            yield f"{stage}.schedule.milestones", f" = {schedule.milestones}: expected in rising order"


def _optimisers(e: Experiment) -> Iterator[tuple[str, str]]:
    for stage in ("pretrain", "sft", "reward_model", "rl"):
        optim = getattr(e, stage).optim
        betas = optim.arguments.get("betas")
        if optim.target == "torch.optim.AdamW" and isinstance(betas, list) and len(betas) != 2:
            yield f"{stage}.optim.betas", f" = {betas}: expected two numbers, of the mean and of the square"


def _folders(e: Experiment) -> Iterator[tuple[str, str]]:
    if e.name in ("", ".", "..") or "/" in e.name or "\\" in e.name:
        yield "name", f" = {e.name!r}: it names a folder; expected text without a slash"
    for name in ("runs", "sweeps", "store"):
        if not getattr(e.paths, name).strip():
            yield f"paths.{name}", " = '': expected a folder"


def _evaluation(e: Experiment) -> Iterator[tuple[str, str]]:
    yield from _room(e, "eval.max_new_tokens", e.eval.max_new_tokens)
    if not e.eval.of:
        yield "eval.of", " = []: nothing to evaluate; expected some of model, pretrain, sft, rl"
    if len(set(e.eval.of)) != len(e.eval.of):
        yield "eval.of", f" = {e.eval.of}: names a stage twice"

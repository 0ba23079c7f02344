"""How the policy is updated: options of the penalty, the loss and the outer iterations that need one another."""

from dsmath.config.paradigm import GROUPED, TRAINED, Broken
from dsmath.config.schema import Experiment


def updates(e: Experiment) -> Broken:
    """Options of the update that contradict one another, or would do nothing."""
    yield from _penalty(e)
    yield from _adaptive(e)
    yield from _loss(e)
    yield from _iteration(e)


def _penalty(e: Experiment) -> Broken:
    kl = e.kl
    if kl.placement == "none" and kl.coef > 0:
        yield (
            "kl.coef",
            f" = {kl.coef:g}: has no effect with kl.placement=none; use kl.coef=0, or kl=loss_k3 to have the penalty",
        )
    if kl.placement == "loss" and kl.estimator == "k1" and kl.gradient == "plain" and kl.coef > 0:
        yield (
            "kl.estimator",
            " = k1: in the loss its gradient is 0 on average (that of log π), so it would add noise and hold nothing; "
            "use kl.estimator=k2 or k3, kl.gradient=ratio, or kl=reward_k1",
        )
    if kl.gradient != "plain" and kl.placement != "loss":
        yield (
            "kl.gradient",
            f" = {kl.gradient}: no gradient passes a penalty with kl.placement={kl.placement}; use kl.gradient=plain, "
            "or kl=loss_k3",
        )


def _adaptive(e: Experiment) -> Broken:
    kl = e.kl
    if (kl.target is None) != (kl.horizon is None):
        absent, given = ("target", "horizon") if kl.target is None else ("horizon", "target")
        yield (
            f"kl.{absent}",
            f": no value, and kl.{given} = {getattr(kl, given):g}; give both, as kl=reward_adaptive does, or neither",
        )
    if kl.target is not None and kl.placement not in ("loss", "reward"):
        yield (
            "kl.target",
            f" = {kl.target:g}: no coefficient can be adapted with kl.placement={kl.placement}; use "
            "kl=reward_adaptive, or kl.target=null kl.horizon=null",
        )
    elif kl.target is not None and not kl.coef:
        yield (
            "kl.coef",
            f" = 0: kl.target = {kl.target:g} is reached by multiplying it, and 0 stays 0; expected more than 0, or "
            "kl.target=null kl.horizon=null",
        )
    elif kl.horizon is not None and kl.horizon <= 0.2 * e.rl.batch_size:
        yield (
            "kl.horizon",
            f" = {kl.horizon}: one exploration of rl.batch_size = {e.rl.batch_size} outputs could take the coefficient "
            f"to 0 or below; expected more than {0.2 * e.rl.batch_size:g}",
        )


def _loss(e: Experiment) -> Broken:
    algorithm, advantage = e.algorithm, e.advantage.name
    if (algorithm.clip_low is None) != (algorithm.clip_high is None):
        absent, given = ("low", "high") if algorithm.clip_low is None else ("high", "low")
        value = getattr(algorithm, f"clip_{given}")
        yield (
            f"algorithm.clip_{absent}",
            f": no value, and algorithm.clip_{given} = {value:g}; give both, as algorithm=grpo does, or neither",
        )
    if algorithm.dual_clip is not None and (algorithm.clip_low is None or algorithm.clip_high is None):
        yield (
            "algorithm.dual_clip",
            f" = {algorithm.dual_clip:g}: a second bound where the first, algorithm.clip_low and clip_high, is absent; "
            "give all three, or algorithm.dual_clip=null",
        )
    if algorithm.ratio == "sequence" and advantage in ("gae", "group_process"):
        yield (
            "algorithm.ratio",
            f" = sequence: one ratio for the whole output, whose tokens have different advantages with "
            f"advantage={advantage}; use algorithm.ratio=token, or advantage=group (algorithm=gspo)",
        )
    if algorithm.aggregation == "constant" and algorithm.aggregation_constant is None:
        yield (
            "algorithm.aggregation_constant",
            ": no value; algorithm.aggregation=constant divides by it, usually sampling.max_new_tokens",
        )
    if algorithm.dynamic_sampling and e.source.name == "online" and advantage not in GROUPED:
        yield (
            "algorithm.dynamic_sampling",
            f" = {algorithm.dynamic_sampling}: advantage={advantage} has no groups that could have equal rewards; use "
            "algorithm.dynamic_sampling=0, or algorithm=dapo",
        )


def _iteration(e: Experiment) -> Broken:
    iteration = e.iteration
    if iteration.name == "single":
        nothing = {"explorations": None, "refresh_reference": False, "reward_steps": 0, "replay": None}
        for name, absent in nothing.items():
            value = getattr(iteration, name)
            if value != absent:
                yield (
                    f"iteration.{name}",
                    f" = {str(value).lower()}: iteration=single has no use for it; algorithm=grpo_iterative takes it",
                )
        return
    if e.source.name != "online":
        return  # refused as such, with the reason
    if iteration.explorations is None:
        yield (
            "iteration.explorations",
            ": no value; iteration=iterative needs one, conf/iteration/iterative.yaml has it",
        )
    elif iteration.explorations > e.rl.steps:
        yield (
            "iteration.explorations",
            f" = {iteration.explorations}: the first outer iteration would not end in rl.steps = "
            f"{e.rl.steps}; expected at most that",
        )
    if not iteration.refresh_reference and not iteration.reward_steps:
        yield (
            "iteration",
            " = iterative: neither the reference nor the reward model would change; use "
            "iteration.refresh_reference=true or iteration.reward_steps=20, or iteration=single",
        )
    if iteration.refresh_reference and (e.kl.placement == "none" or not e.kl.coef):
        given = "kl.placement=none" if e.kl.placement == "none" else "kl.coef=0"
        yield (
            "iteration.refresh_reference",
            f" = true: there is no reference with {given}; use iteration.refresh_reference=false, or kl=loss_k3",
        )
    if iteration.reward_steps:
        yield from _continued_reward(e)


def _continued_reward(e: Experiment) -> Broken:
    steps = e.iteration.reward_steps
    if e.reward.name not in TRAINED:
        yield (
            "iteration.reward_steps",
            f" = {steps}: reward={e.reward.name} trains no model; use iteration.reward_steps=0, or reward=model",
        )
    elif e.reward.path is not None:
        yield (
            "iteration.reward_steps",
            f" = {steps}: the model of reward.path comes without the data to replay; use iteration.reward_steps=0, or "
            "reward.path=null, with which the stage reward_model trains one",
        )
    if e.iteration.replay is None:
        yield (
            "iteration.replay",
            f": no value; iteration.reward_steps = {steps} needs the share of earlier data, 0.1 in the paper",
        )

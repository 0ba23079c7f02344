"""The pieces of the unified paradigm (§5.2.1): which go together, why others do not, and what works instead."""

from collections.abc import Iterator
from dataclasses import fields

from dsmath.config.schema import Experiment

Broken = Iterator[tuple[str, str]]

PAIRS = "dsmath.data.offline.Pairs"
GROUPED = ("group", "group_process", "leave_one_out")
TRAINED = ("model", "process")  # rewards that are models

_PRESETS = {  # the one whose advantage it is
    **{"group": "grpo", "group_process": "grpo_process", "leave_one_out": "rloo", "gae": "ppo"},
    **{"reward": "online_rft", "constant": "sft", "preference": "dpo"},
}
_SOURCES = {  # what each advantage can learn from, with the preset that does, and why from nothing else
    **{name: ({"online": _PRESETS[name]}, "compares outputs of the current policy") for name in GROUPED},
    "gae": ({"online": "ppo"}, "values outputs of the current policy"),
    "reward": ({"online": "online_rft", "offline": "rft"}, "weighs sampled outputs, each by its own reward"),
    "constant": ({"dataset": "sft"}, "takes every output for right, as only the data set's solutions are"),
    "preference": ({"pairs": "dpo"}, "compares a right output with a wrong one"),
}
_OF_SOURCE = {"online": "online_rft", "offline": "rft", "pairs": "dpo", "dataset": "sft"}
_DATA = {
    "online": ("dsmath.data.modules.Prompts",),
    "offline": ("dsmath.data.offline.RightSamples", PAIRS),
    "dataset": ("dsmath.data.offline.Solutions",),
}
_NEEDS: dict[str, dict[str, tuple[str, ...]]] = {  # the fields that a kind cannot do without
    "advantage": {
        **dict.fromkeys(("group", "group_process"), ("std", "epsilon", "tolerance")),
        "leave_one_out": ("tolerance",),
        "gae": ("epsilon", "gamma", "lam", "whiten"),
    },
    "value": dict.fromkeys(("separate", "head"), ("init", "lr", "coef")),
}
_TAKES: dict[str, dict[str, tuple[str, ...]]] = {  # those that may be null also for the kinds that take them
    "advantage": {},
    "value": dict.fromkeys(("separate", "head"), ("clip",)),  # null: values are not clipped
}


def pieces(e: Experiment) -> Broken:
    """Pieces that do not go together."""
    yield from _fields(e, "advantage", _PRESETS)
    yield from _fields(e, "value", {"separate": "ppo", "head": "ppo"})
    source = list(_source(e))
    yield from source
    if not source and e.source.name != "online":
        yield from _nothing_explored(e)
    yield from _steps(e)
    yield from _reward(e)
    yield from _value(e)
    yield from _implicit(e)


def learns_from_pairs(e: Experiment) -> bool:
    """Whether a row of the batch is half of a pair (DPO)."""
    return e.advantage.name == "preference"


def _fields(e: Experiment, section: str, presets: dict[str, str]) -> Broken:
    """Options of another kind of advantage or value model, and absent ones of this kind."""
    kind = getattr(e, section).name
    needs, takes = _NEEDS[section], _TAKES[section]
    for field in fields(getattr(e, section)):
        value, key = getattr(getattr(e, section), field.name), f"{section}.{field.name}"
        takers = [k for k in (*needs, *takes) if field.name in (*needs.get(k, ()), *takes.get(k, ()))]
        if value is None and field.name in needs.get(kind, ()):
            yield key, f": no value; {section}={kind} needs one, conf/{section}/{kind}.yaml has it"
        elif value is not None and takers and kind not in takers:
            taker = presets[takers[0]]
            yield key, f" = {_shown(value)}: {section}={kind} has no use for it; algorithm={taker} takes it"


def _source(e: Experiment) -> Broken:
    advantage, name, target = e.advantage.name, e.source.name, e.source.data.target
    shipped = target.startswith("dsmath.")
    if shipped and target not in _DATA[name]:
        yield (
            "source.data._target_",
            f" = {target}: not of source.name={name}; source=online, offline, pairs and dataset each bring both",
        )
        return
    given = _given(e)
    fitting, why = _SOURCES[advantage]
    if given not in fitting and not (name == "offline" and not shipped and "pairs" in fitting):
        instead = " or ".join(f"source={source} (algorithm={preset})" for source, preset in fitting.items())
        yield (
            "source",
            f" = {given}: advantage={advantage} {why}; use {instead}, or algorithm={_OF_SOURCE[given]}, which learns "
            f"from source={given}",
        )


def _given(e: Experiment) -> str:
    """The source as one chooses it."""
    return "pairs" if e.source.data.target == PAIRS else e.source.name


def _nothing_explored(e: Experiment) -> Broken:
    """What only outputs of the current policy can have."""
    algorithm, reward = e.algorithm, e.reward
    judged, apart = "have been judged already", "were not drawn from the policy, so there is no ratio to it"
    both = "reward.overlong_buffer=null reward.overlong_penalty=null"
    for key, value, fits, why, instead, taker in (
        ("reward", reward.name, "rule", judged, "reward=rule", "online_rft"),
        ("reward.overlong_buffer", reward.overlong_buffer, None, judged, both, "dapo"),
        ("algorithm.updates_per_exploration", algorithm.updates_per_exploration, 1, "are not explored", "", "grpo"),
        ("algorithm.dynamic_sampling", algorithm.dynamic_sampling, 0, "are not sampled anew", "", "dapo"),
        ("algorithm.clip_low", algorithm.clip_low, None, apart, "", "grpo"),
        ("algorithm.clip_high", algorithm.clip_high, None, apart, "", "grpo"),
        ("algorithm.ratio", algorithm.ratio, "token", apart, "", "gspo"),
        ("iteration", e.iteration.name, "single", "stay the same", "", "grpo_iterative"),
    ):
        if value != fits:
            use = instead or f"{key}={'null' if fits is None else fits}"
            yield (
                key,
                f" = {_shown(value)}: outputs of source={_given(e)} {why}; use {use}, or algorithm={taker}, which "
                "takes it",
            )
    if e.kl.placement == "reward":
        yield (
            "kl.placement",
            f" = reward: outputs of source={_given(e)} keep the reward that they have; use kl=loss_k3 or kl=none, or "
            "algorithm=ppo, which takes it",
        )


def _steps(e: Experiment) -> Broken:
    """Process supervision (§4.1.3): a score for every step, and an advantage that takes one."""
    if e.reward.name == "process" and e.advantage.name in ("group", "leave_one_out", "reward"):
        yield (
            "reward",
            f" = process: a score for every step, and advantage={e.advantage.name} takes one for the whole output; "
            "use advantage=group_process (algorithm=grpo_process) or advantage=gae (algorithm=ppo), or reward=model",
        )
    if e.advantage.name == "group_process" and e.reward.name != "process":
        yield (
            "advantage",
            f" = group_process: needs a score for every step, and reward={e.reward.name} has one for the whole output; "
            "use reward=process (algorithm=grpo_process), or advantage=group",
        )


def _reward(e: Experiment) -> Broken:
    reward, kind = e.reward, {"model": "outcome", "process": "process"}.get(e.reward.name)
    if kind is None and reward.path is not None:
        yield "reward.path", f" = {reward.path}: reward=rule loads no model; use reward=model, or reward.path=null"
    if kind is None and reward.transform is not None:
        yield (
            "reward.transform",
            f" = {reward.transform}: reward=rule has no score to transform; use reward=model, or reward.transform=null",
        )
    if kind is not None and reward.transform is None:
        yield "reward.transform", f": no value; reward={reward.name} needs one, score or probability"
    if kind is not None and reward.path is None and e.reward_model.kind != kind:
        other = "model" if kind == "process" else "process"
        yield (
            "reward_model.kind",
            f" = {e.reward_model.kind}: reward={reward.name} needs a model of kind {kind}; use "
            f"reward_model.kind={kind}, or reward={other}",
        )
    if (reward.overlong_buffer is None) != (reward.overlong_penalty is None):
        absent, given = ("buffer", "penalty") if reward.overlong_buffer is None else ("penalty", "buffer")
        value = getattr(reward, f"overlong_{given}")
        yield (
            f"reward.overlong_{absent}",
            f": no value, and reward.overlong_{given} = {_shown(value)}; give both, as algorithm=dapo does, or neither",
        )
    if reward.overlong_buffer is not None and reward.overlong_buffer >= e.sampling.max_new_tokens:
        yield (
            "reward.overlong_buffer",
            f" = {reward.overlong_buffer}: every output would lose reward for its length; expected less than "
            f"sampling.max_new_tokens = {e.sampling.max_new_tokens}",
        )


def _value(e: Experiment) -> Broken:
    if e.advantage.name == "gae" and e.value.name == "none":
        yield (
            "advantage",
            " = gae: needs a value model, and value=none has none; use value=separate or value=head (algorithm=ppo), "
            "or advantage=group",
        )
    if e.advantage.name != "gae" and e.value.name != "none":
        yield (
            "value",
            f" = {e.value.name}: advantage={e.advantage.name} needs no value model; use value=none, or algorithm=ppo",
        )
    if e.value.init == "reward_model" and e.value.name == "head":
        yield (
            "value.init",
            " = reward_model: a head sits on the policy's own hidden states; use value.init=policy, or value=separate",
        )
    elif e.value.init == "reward_model" and e.reward.name not in TRAINED:
        yield (
            "value.init",
            f" = reward_model: reward={e.reward.name} has no model to start from; use value.init=policy, or "
            "reward=model",
        )


def _implicit(e: Experiment) -> Broken:
    """DPO's β stands in its coefficient, and there alone."""
    preference, implicit = e.advantage.name == "preference", e.kl.placement == "implicit"
    if preference and not implicit:
        yield (
            "kl.placement",
            f" = {e.kl.placement}: advantage=preference has its penalty, β, in the coefficient; use kl=implicit, as "
            "algorithm=dpo does",
        )
    if implicit and not preference:
        yield (
            "kl.placement",
            f" = implicit: advantage={e.advantage.name} has no β in its coefficient; use kl=loss_k3 or kl=none, or "
            "algorithm=dpo",
        )
    if preference and implicit and not e.kl.coef:
        yield "kl.coef", " = 0: it is DPO's β, and without it no pair has a gradient; expected more than 0"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)

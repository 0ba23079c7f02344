"""Combinations that make no sense are refused: the key, what was given, why, and the nearest thing that works."""

import re
from collections.abc import Callable

import pytest

from dsmath.config.compose import Composer

Broken = Callable[[str], list[str]]

TEXTS = {
    "advantage.lam=0.9": [
        "advantage.lam = 0.9: advantage=group has no use for it; algorithm=ppo takes it",
    ],
    "advantage.whiten=true": [
        "advantage.whiten = true: advantage=group has no use for it; algorithm=ppo takes it",
    ],
    "algorithm=ppo advantage.std=sample": [
        "advantage.std = sample: advantage=gae has no use for it; algorithm=grpo takes it",
    ],
    "algorithm=ppo advantage.tolerance=0": [
        "advantage.tolerance = 0: advantage=gae has no use for it; algorithm=grpo takes it",
    ],
    "algorithm=rloo advantage.epsilon=1e-6": [
        "advantage.epsilon = 1e-06: advantage=leave_one_out has no use for it; algorithm=grpo takes it",
    ],
    "algorithm=online_rft advantage.std=none": [
        "advantage.std = none: advantage=reward has no use for it; algorithm=grpo takes it",
    ],
    "algorithm=ppo advantage.lam=null": [
        "advantage.lam: no value; advantage=gae needs one, conf/advantage/gae.yaml has it",
    ],
    "advantage.epsilon=null": [
        "advantage.epsilon: no value; advantage=group needs one, conf/advantage/group.yaml has it",
    ],
    "value.clip=0.2": [
        "value.clip = 0.2: value=none has no use for it; algorithm=ppo takes it",
    ],
    "algorithm=ppo value.lr=null": [
        "value.lr: no value; value=separate needs one, conf/value/separate.yaml has it",
    ],
    "algorithm.clip_low=null": [
        "algorithm.clip_low: no value, and algorithm.clip_high = 0.2; give both, as algorithm=grpo does, or neither",
    ],
    "algorithm.clip_high=null": [
        "algorithm.clip_high: no value, and algorithm.clip_low = 0.2; give both, as algorithm=grpo does, or neither",
    ],
    "iteration.explorations=8": [
        "iteration.explorations = 8: iteration=single has no use for it; algorithm=grpo_iterative takes it",
    ],
    "iteration.refresh_reference=true": [
        "iteration.refresh_reference = true: iteration=single has no use for it; algorithm=grpo_iterative takes it",
    ],
    "iteration.reward_steps=5": [
        "iteration.reward_steps = 5: iteration=single has no use for it; algorithm=grpo_iterative takes it",
    ],
    "iteration.replay=0.1": [
        "iteration.replay = 0.1: iteration=single has no use for it; algorithm=grpo_iterative takes it",
    ],
    "algorithm=grpo_iterative iteration.explorations=null": [
        "iteration.explorations: no value; iteration=iterative needs one, conf/iteration/iterative.yaml has it",
    ],
    "kl.target=6": [
        "kl.horizon: no value, and kl.target = 6; give both, as kl=reward_adaptive does, or neither",
    ],
    "kl.horizon=1000": [
        "kl.target: no value, and kl.horizon = 1000; give both, as kl=reward_adaptive does, or neither",
    ],
    "algorithm=ppo value=none": [
        "advantage = gae: needs a value model, and value=none has none; use value=separate or value=head "
        "(algorithm=ppo), or advantage=group",
    ],
    "advantage=gae": [
        "advantage = gae: needs a value model, and value=none has none; use value=separate or value=head "
        "(algorithm=ppo), or advantage=group",
    ],
    "value=separate": [
        "value = separate: advantage=group needs no value model; use value=none, or algorithm=ppo",
    ],
    "algorithm=ppo advantage=group": [
        "value = separate: advantage=group needs no value model; use value=none, or algorithm=ppo",
        "sampling.group_size = 1: a group's mean is its only baseline, so the advantage of a single sample is"
        " always 0; expected at least 2, or algorithm=ppo, which needs no group",
    ],
    "algorithm=ppo source=offline": [
        "source = offline: advantage=gae values outputs of the current policy; use source=online "
        "(algorithm=ppo), or algorithm=rft, which learns from source=offline",
    ],
    "source=offline": [
        "source = offline: advantage=group compares outputs of the current policy; use source=online "
        "(algorithm=grpo), or algorithm=rft, which learns from source=offline",
    ],
    "source=dataset": [
        "source = dataset: advantage=group compares outputs of the current policy; use source=online "
        "(algorithm=grpo), or algorithm=sft, which learns from source=dataset",
    ],
    "source=pairs": [
        "source = pairs: advantage=group compares outputs of the current policy; use source=online "
        "(algorithm=grpo), or algorithm=dpo, which learns from source=pairs",
    ],
    "sampling.group_size=1": [
        "sampling.group_size = 1: a group's mean is its only baseline, so the advantage of a single sample is"
        " always 0; expected at least 2, or algorithm=ppo, which needs no group",
    ],
    "algorithm=rloo sampling.group_size=1": [
        "sampling.group_size = 1: the baseline is the mean reward of the group's other outputs, and there is "
        "no other; expected at least 2, or algorithm=ppo, which needs no group",
    ],
    "algorithm=grpo_process sampling.group_size=1": [
        "sampling.group_size = 1: a group's mean is its only baseline, so the advantage of a single sample is"
        " always 0; expected at least 2, or algorithm=ppo, which needs no group",
    ],
    "algorithm=grpo_process reward=rule": [
        "advantage = group_process: needs a score for every step, and reward=rule has one for the whole "
        "output; use reward=process (algorithm=grpo_process), or advantage=group",
    ],
    "algorithm=grpo_process reward=model": [
        "advantage = group_process: needs a score for every step, and reward=model has one for the whole "
        "output; use reward=process (algorithm=grpo_process), or advantage=group",
    ],
    "reward=process": [
        "reward = process: a score for every step, and advantage=group takes one for the whole output; use "
        "advantage=group_process (algorithm=grpo_process) or advantage=gae (algorithm=ppo), or reward=model",
    ],
    "algorithm=rloo reward=process": [
        "reward = process: a score for every step, and advantage=leave_one_out takes one for the whole "
        "output; use advantage=group_process (algorithm=grpo_process) or advantage=gae (algorithm=ppo), or "
        "reward=model",
    ],
    "algorithm=online_rft reward=process": [
        "reward = process: a score for every step, and advantage=reward takes one for the whole output; use "
        "advantage=group_process (algorithm=grpo_process) or advantage=gae (algorithm=ppo), or reward=model",
    ],
    "advantage=constant": [
        "source = online: advantage=constant takes every output for right, as only the data set's solutions "
        "are; use source=dataset (algorithm=sft), or algorithm=online_rft, which learns from source=online",
    ],
    "algorithm=sft source=offline": [
        "source = offline: advantage=constant takes every output for right, as only the data set's solutions "
        "are; use source=dataset (algorithm=sft), or algorithm=rft, which learns from source=offline",
    ],
    "algorithm=sft advantage=reward": [
        "source = dataset: advantage=reward weighs sampled outputs, each by its own reward; use source=online"
        " (algorithm=online_rft) or source=offline (algorithm=rft), or algorithm=sft, which learns from "
        "source=dataset",
    ],
    "algorithm=rft source=pairs": [
        "source = pairs: advantage=reward weighs sampled outputs, each by its own reward; use source=online "
        "(algorithm=online_rft) or source=offline (algorithm=rft), or algorithm=dpo, which learns from "
        "source=pairs",
    ],
    "algorithm=rft source=dataset": [
        "source = dataset: advantage=reward weighs sampled outputs, each by its own reward; use source=online"
        " (algorithm=online_rft) or source=offline (algorithm=rft), or algorithm=sft, which learns from "
        "source=dataset",
    ],
    "algorithm=dpo source=offline": [
        "source = offline: advantage=preference compares a right output with a wrong one; use source=pairs "
        "(algorithm=dpo), or algorithm=rft, which learns from source=offline",
    ],
    "algorithm=dpo source=online": [
        "source = online: advantage=preference compares a right output with a wrong one; use source=pairs "
        "(algorithm=dpo), or algorithm=online_rft, which learns from source=online",
    ],
    "algorithm=dpo kl=none": [
        "kl.placement = none: advantage=preference has its penalty, β, in the coefficient; use kl=implicit, "
        "as algorithm=dpo does",
    ],
    "algorithm=dpo kl=loss_k3": [
        "kl.placement = loss: advantage=preference has its penalty, β, in the coefficient; use kl=implicit, "
        "as algorithm=dpo does",
    ],
    "kl=implicit": [
        "kl.placement = implicit: advantage=group has no β in its coefficient; use kl=loss_k3 or kl=none, or "
        "algorithm=dpo",
    ],
    "algorithm=dpo kl.coef=0": [
        "kl.coef = 0: it is DPO's β, and without it no pair has a gradient; expected more than 0",
    ],
    "algorithm=dpo rl.batch_size=255": [
        "rl.batch_size = 255: counts outputs, so a pair would be cut; expected an even number, such as 254 or 256",
    ],
    "algorithm=sft source=online": [
        "source = online: advantage=constant takes every output for right, as only the data set's solutions "
        "are; use source=dataset (algorithm=sft), or algorithm=online_rft, which learns from source=online",
    ],
    "algorithm=dpo samples.per_question=1": [
        "samples.per_question = 1: a pair has a right and a wrong output of one question; expected at least 2",
    ],
    "algorithm=dpo hardware.devices=3 sft.batch_size=6": [
        "rl.batch_size = 256: 128 pairs cannot be shared equally by 3 devices; expected a multiple of 6",
    ],
    "algorithm=rft kl=reward_k1": [
        "kl.placement = reward: outputs of source=offline keep the reward that they have; use kl=loss_k3 or "
        "kl=none, or algorithm=ppo, which takes it",
    ],
    "algorithm=rft algorithm.updates_per_exploration=2": [
        "algorithm.updates_per_exploration = 2: outputs of source=offline are not explored; use "
        "algorithm.updates_per_exploration=1, or algorithm=grpo, which takes it",
    ],
    "algorithm=rft algorithm.dynamic_sampling=1": [
        "algorithm.dynamic_sampling = 1: outputs of source=offline are not sampled anew; use "
        "algorithm.dynamic_sampling=0, or algorithm=dapo, which takes it",
    ],
    "algorithm=rft iteration=iterative": [
        "iteration = iterative: outputs of source=offline stay the same; use iteration=single, or "
        "algorithm=grpo_iterative, which takes it",
    ],
    "algorithm=rft reward=model": [
        "reward = model: outputs of source=offline have been judged already; use reward=rule, or "
        "algorithm=online_rft, which takes it",
    ],
    "algorithm=rft reward.overlong_buffer=8 reward.overlong_penalty=1": [
        "reward.overlong_buffer = 8: outputs of source=offline have been judged already; use "
        "reward.overlong_buffer=null reward.overlong_penalty=null, or algorithm=dapo, which takes it",
    ],
    "algorithm=rft algorithm.clip_low=0.2 algorithm.clip_high=0.2": [
        "algorithm.clip_low = 0.2: outputs of source=offline were not drawn from the policy, so there is no "
        "ratio to it; use algorithm.clip_low=null, or algorithm=grpo, which takes it",
        "algorithm.clip_high = 0.2: outputs of source=offline were not drawn from the policy, so there is no "
        "ratio to it; use algorithm.clip_high=null, or algorithm=grpo, which takes it",
    ],
    "algorithm=rft algorithm.ratio=sequence": [
        "algorithm.ratio = sequence: outputs of source=offline were not drawn from the policy, so there is no"
        " ratio to it; use algorithm.ratio=token, or algorithm=gspo, which takes it",
    ],
    "algorithm=rft rl.init=model": [
        "samples.init = sft: offline outputs are those of the model that learning starts from (§5.2.1), here "
        "rl.init = model; use samples.init=model, or rl.init=sft",
    ],
    "source.name=offline": [
        "source.data._target_ = dsmath.data.modules.Prompts: not of source.name=offline; source=online, "
        "offline, pairs and dataset each bring both",
    ],
    "kl.estimator=k1": [
        "kl.estimator = k1: in the loss its gradient is 0 on average (that of log π), so it would add noise "
        "and hold nothing; use kl.estimator=k2 or k3, kl.gradient=ratio, or kl=reward_k1",
    ],
    "kl=reward_k1 kl.gradient=ratio": [
        "kl.gradient = ratio: no gradient passes a penalty with kl.placement=reward; use kl.gradient=plain, "
        "or kl=loss_k3",
    ],
    "kl=none kl.gradient=straight_through": [
        "kl.gradient = straight_through: no gradient passes a penalty with kl.placement=none; use "
        "kl.gradient=plain, or kl=loss_k3",
    ],
    "kl=none kl.coef=0.1": [
        "kl.coef = 0.1: has no effect with kl.placement=none; use kl.coef=0, or kl=loss_k3 to have the penalty",
    ],
    "kl=none kl.target=6 kl.horizon=100": [
        "kl.target = 6: no coefficient can be adapted with kl.placement=none; use kl=reward_adaptive, or "
        "kl.target=null kl.horizon=null",
    ],
    "kl=reward_adaptive kl.coef=0": [
        "kl.coef = 0: kl.target = 6 is reached by multiplying it, and 0 stays 0; expected more than 0, or "
        "kl.target=null kl.horizon=null",
    ],
    "algorithm=grpo_iterative kl=none": [
        "iteration.refresh_reference = true: there is no reference with kl.placement=none; use "
        "iteration.refresh_reference=false, or kl=loss_k3",
    ],
    "algorithm=grpo_iterative kl.coef=0": [
        "iteration.refresh_reference = true: there is no reference with kl.coef=0; use "
        "iteration.refresh_reference=false, or kl=loss_k3",
    ],
    "algorithm=ppo value.init=reward_model": [
        "value.init = reward_model: reward=rule has no model to start from; use value.init=policy, or reward=model",
    ],
    "algorithm=ppo reward=model value=head value.init=reward_model": [
        "value.init = reward_model: a head sits on the policy's own hidden states; use value.init=policy, or "
        "value=separate",
    ],
    "reward.path=folder": [
        "reward.path = folder: reward=rule loads no model; use reward=model, or reward.path=null",
    ],
    "reward.transform=score": [
        "reward.transform = score: reward=rule has no score to transform; use reward=model, or reward.transform=null",
    ],
    "reward=model reward.transform=null": [
        "reward.transform: no value; reward=model needs one, score or probability",
    ],
    "reward=process algorithm=grpo_process reward_model.kind=outcome": [
        "reward_model.kind = outcome: reward=process needs a model of kind process; use "
        "reward_model.kind=process, or reward=model",
    ],
    "reward=model reward_model.kind=process": [
        "reward_model.kind = process: reward=model needs a model of kind outcome; use "
        "reward_model.kind=outcome, or reward=process",
    ],
    "reward.overlong_buffer=8": [
        "reward.overlong_penalty: no value, and reward.overlong_buffer = 8; give both, as algorithm=dapo "
        "does, or neither",
    ],
    "reward.overlong_penalty=1": [
        "reward.overlong_buffer: no value, and reward.overlong_penalty = 1; give both, as algorithm=dapo "
        "does, or neither",
    ],
    "algorithm=dapo sampling.max_new_tokens=8": [
        "reward.overlong_buffer = 8: every output would lose reward for its length; expected less than "
        "sampling.max_new_tokens = 8",
    ],
    "algorithm=grpo_iterative reward=rule": [
        "iteration.reward_steps = 20: reward=rule trains no model; use iteration.reward_steps=0, or reward=model",
    ],
    "algorithm=grpo_iterative reward.path=folder": [
        "iteration.reward_steps = 20: the model of reward.path comes without the data to replay; use "
        "iteration.reward_steps=0, or reward.path=null, with which the stage reward_model trains one",
    ],
    "algorithm=grpo_iterative iteration.replay=null": [
        "iteration.replay: no value; iteration.reward_steps = 20 needs the share of earlier data, 0.1 in the paper",
    ],
    "algorithm=grpo_iterative iteration.explorations=33": [
        "iteration.explorations = 33: the first outer iteration would not end in rl.steps = 32; expected at most that",
    ],
    "algorithm=grpo_iterative iteration.reward_steps=0 iteration.refresh_reference=false": [
        "iteration = iterative: neither the reference nor the reward model would change; use "
        "iteration.refresh_reference=true or iteration.reward_steps=20, or iteration=single",
    ],
    "algorithm=ppo algorithm.ratio=sequence": [
        "algorithm.ratio = sequence: one ratio for the whole output, whose tokens have different advantages "
        "with advantage=gae; use algorithm.ratio=token, or advantage=group (algorithm=gspo)",
    ],
    "algorithm=grpo_process algorithm.ratio=sequence": [
        "algorithm.ratio = sequence: one ratio for the whole output, whose tokens have different advantages "
        "with advantage=group_process; use algorithm.ratio=token, or advantage=group (algorithm=gspo)",
    ],
    "algorithm=online_rft algorithm.dual_clip=3": [
        "algorithm.dual_clip = 3: a second bound where the first, algorithm.clip_low and clip_high, is "
        "absent; give all three, or algorithm.dual_clip=null",
    ],
    "algorithm.aggregation=constant": [
        "algorithm.aggregation_constant: no value; algorithm.aggregation=constant divides by it, usually "
        "sampling.max_new_tokens",
    ],
    "algorithm=ppo algorithm.dynamic_sampling=2": [
        "algorithm.dynamic_sampling = 2: advantage=gae has no groups that could have equal rewards; use "
        "algorithm.dynamic_sampling=0, or algorithm=dapo",
    ],
    "stage=samples samples.max_new_tokens=192": [
        "samples.max_new_tokens = 192: leaves no room for a prompt; expected less than model.context_length = 192",
    ],
    "algorithm=ppo kl=reward_adaptive kl.horizon=51": [
        "kl.horizon = 51: one exploration of rl.batch_size = 256 outputs could take the coefficient to 0 or below; "
        "expected more than 51.2",
    ],
    "reward=model samples.per_question=2": [
        "reward_data.solutions_per_question = 4: only samples.per_question = 2 are sampled; expected at most that",
    ],
    "reward=model reward_data.solutions_per_question=1 reward_model.objective=pairwise": [
        "reward_data.solutions_per_question = 1: a pair has a right and a wrong solution of one question; "
        "expected at least 2, or reward_model.objective=pointwise",
    ],
    "reward=model reward_data.step_mark=''": [
        "reward_data.step_mark = '': it ends a step; expected text, such as a line break",
    ],
    "algorithm=grpo_process reward_data.max_new_tokens=39": [
        "reward_data.max_new_tokens = 39: of a solution with its rollout, and a solution alone may have "
        "samples.max_new_tokens = 40; expected at least that",
    ],
    "algorithm=grpo_process reward_data.max_new_tokens=192": [
        "reward_data.max_new_tokens = 192: leaves no room for a prompt; expected less than model.context_length = 192",
    ],
    "reward=model reward_model.batch_size=63 reward_model.objective=pairwise": [
        "reward_model.batch_size = 63: counts outputs, so a pair would be cut; expected an even number, such "
        "as 62 or 64",
    ],
    "stage=reward_model hardware.devices=3 sft.batch_size=6 reward_model.objective=pairwise": [
        "reward_model.batch_size = 64: 32 pairs cannot be shared equally by 3 devices; expected a multiple of 6",
    ],
    "algorithm=grpo_process sampling.max_new_tokens=50 iteration=iterative": [
        "reward_data.max_new_tokens = 40: of an output with its rollout, and an output alone may have "
        "sampling.max_new_tokens = 50; expected at least that",
    ],
    "algorithm=ppo iteration=iterative reward=model reward_model.objective=pairwise": [
        "sampling.group_size = 1: iteration.reward_steps = 20 need pairs of a right and a wrong output of one"
        " question; expected at least 2, or reward_model.objective=pointwise",
    ],
    "stage=reward_model reward_model.benchmark={_target_:dsmath.data.process_bench.ProcessBench,path:folder}": [
        "reward_model.benchmark = dsmath.data.process_bench.ProcessBench: grades steps, and a model of kind outcome "
        "scores whole outputs; use reward_model.kind=process, or reward_model.benchmark=null",
    ],
    "tools.rounds=3": [
        "tools.rounds = 3: tools=none runs nothing; use tools=python, or tools.rounds=null",
    ],
    "tools=python tools.seconds=null": [
        "tools.seconds: no value; tools=python needs one, conf/tools/python.yaml has it",
    ],
    "tools=python algorithm=dpo": [
        "tools = python: outputs of source=offline are there already, and nothing in them is run; use tools=none, or "
        "source=online (algorithm=grpo)",
    ],
    "tools=python algorithm=grpo_process": [
        "tools = python: reward=process scores every step of an output, and what a tool says is no step of the "
        "policy's; use tools=none, or reward=rule or reward=model (algorithm=grpo)",
    ],
    "eval.k=[1,16]": [
        "eval.k = [1, 16]: pass@16 and maj@16 want 16 samples a question, and there are eval.samples = 8; raise that, "
        "or lower k",
    ],
    "eval.k=[0,8]": ["eval.k = [0, 8]: expected numbers of samples, from 1"],
    "eval.of=[]": ["eval.of = []: nothing to evaluate; expected some of model, pretrain, sft, rl"],
    "eval.prompt=few_shot": [
        "eval.prompts_file = null: eval.prompt=few_shot takes its prompts from a file; expected a path of JSON, such "
        "as DeepSeek-Math's (docs/benchmarks.md)",
        "eval.benchmarks.held_out.few_shot = null: eval.prompt=few_shot needs the name of a prompt in "
        "eval.prompts_file",
    ],
    "benchmark=math eval.prompt=program eval.prompts_file=FILE": [
        "eval.prompt = 'program': has the model write programs, and nothing runs them; add tools=python",
    ],
    "eval.prompt=tool": [
        "eval.prompt = 'tool': has the model write programs, and nothing runs them; add tools=python",
    ],
    "benchmark=gsm8k eval.prompt=few_shot eval.prompts_file=FILE tools=python": [
        "eval.prompt = 'few_shot': its examples are text, in which nothing is run; use tools=none",
    ],
}
FINE = [
    "tools=python algorithm=ppo",
    "tools=python algorithm=dapo data=embedded_python",
    "tools=python algorithm=grpo reward=model",
    "algorithm=ppo value.clip=null",
    "algorithm=ppo reward=process",
    "kl.estimator=k1 kl.gradient=ratio",
    "kl.estimator=k1 kl.coef=0",
    "kl=reward_adaptive",
    "algorithm=ppo reward=model value.init=reward_model",
    "reward=model reward_model.kind=process reward.path=folder",
    "algorithm=grpo_iterative reward=rule iteration.reward_steps=0",
    "algorithm.dual_clip=3",
    "reward=model reward_data.max_new_tokens=39",
    "reward=model reward_model.objective=pointwise reward_model.batch_size=63",
    "reward=model reward_model.micro_batch_size=7 reward_model.objective=pairwise",
]

SHORT = {  # of the stage that each rule is about; without it in the chain nobody asks
    "stage=sft": [
        "tools=python tools.rounds=null",
        "source=offline",
        "value.clip=0.2",
        "reward=model samples.per_question=2",
        "sampling.group_size=1",
    ],
    "stage=samples": ["samples.init=model rl.init=sft algorithm=rft", "reward_data.step_mark=''"],
}


@pytest.mark.parametrize("overrides", TEXTS)
def test_a_combination_without_sense_is_refused_in_these_words(broken: Broken, overrides: str) -> None:
    assert broken(overrides) == TEXTS[overrides]


@pytest.mark.parametrize("overrides", FINE)
def test_its_neighbour_that_has_sense_is_not(broken: Broken, overrides: str) -> None:
    assert broken(overrides) == []


@pytest.mark.parametrize("overrides", [f"{stage} {other}" for stage, others in SHORT.items() for other in others])
def test_a_rule_of_a_stage_that_is_not_in_the_chain_is_not_applied(broken: Broken, overrides: str) -> None:
    assert broken(overrides) == []


def test_every_choice_that_a_message_names_exists(compose: Composer) -> None:
    named = {
        match
        for texts in TEXTS.values()
        for text in texts
        for match in re.findall(r"(?<![\w.])([a-z]+)=([a-z_0-9]+)", text)
    }
    chosen = {(group, option) for group, option in named if group in compose.groups}
    assert len(chosen) > 20
    assert {(group, option) for group, option in chosen if option not in compose.groups[group]} == set()


@pytest.mark.parametrize(
    ("overrides", "advice"),
    [
        ("source=offline", "algorithm=rft"),
        ("source=pairs", "algorithm=dpo"),
        ("source=dataset", "algorithm=sft"),
        ("advantage=gae", "value=separate"),
        ("advantage=gae", "algorithm=ppo"),
        ("algorithm=rft source=pairs", "algorithm=dpo"),
        ("algorithm=dpo source=offline", "source=pairs"),
        ("algorithm=sft advantage=reward", "source=online"),
        ("algorithm=sft advantage=reward", "source=offline"),
        ("reward=process", "advantage=group_process"),
        ("algorithm=grpo_process reward=rule", "advantage=group"),
        ("algorithm=rft reward=model", "algorithm=online_rft"),
        ("kl.estimator=k1", "kl.gradient=ratio"),
        ("kl.estimator=k1", "kl=reward_k1"),
        ("algorithm=grpo_iterative reward=rule", "iteration.reward_steps=0"),
        ("algorithm=grpo_iterative kl=none", "iteration.refresh_reference=false"),
        ("algorithm=ppo value.init=reward_model", "reward=model"),
        ("algorithm=rft rl.init=model", "samples.init=model"),
    ],
)
def test_what_a_message_advises_works(broken: Broken, overrides: str, advice: str) -> None:
    """The advice takes the place of the group or value that it names."""
    assert any(advice in text for text in broken(overrides))
    replaced = advice.split("=", maxsplit=1)[0]
    kept = [text for text in overrides.split() if not text.startswith(f"{replaced}=")]
    assert broken(" ".join([*kept, advice])) == []


def test_ones_own_pairs_can_be_learned_from(broken: Broken) -> None:
    for algorithm in ("rft", "dpo"):
        assert broken(f"algorithm={algorithm} source.data={{_target_:fractions.Fraction}}") == []


def test_a_name_is_only_a_label(broken: Broken) -> None:
    """The pieces decide what is run: another name changes no check."""
    assert broken("algorithm=ppo algorithm.name=grpo") == []

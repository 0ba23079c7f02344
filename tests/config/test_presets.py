"""Every `algorithm=` is what its paper says, checks, and plans the stages that it needs."""

from pathlib import Path

import pytest

from dsmath.config.compose import Composer
from dsmath.config.schema import Experiment
from dsmath.graph.chain import nodes, require_available

# §5.2.1 and Table 10: where outputs come from, what rewards them, and the gradient coefficient
PARADIGM = {
    "sft": ("dataset", None, "1"),
    "rft": ("SFT model, right", "rule", "reward"),
    "dpo": ("SFT model, pairs", "rule", "σ(β log-ratio of the wrong - that of the right)"),
    "online_rft": ("policy", "rule", "reward"),
    "ppo": ("policy", "model", "GAE"),
    "grpo": ("policy", "model", "group's normalised reward + β(π_ref/π_θ - 1)"),
}
EVALUATIONS = [f"{stage}@{model}/held_out" for model in ("sft", "rl") for stage in ("answers", "eval")]
BEFORE = {"sft": ["sft"], "rft": ["sft", "samples"], "dpo": ["sft", "samples"]}
REWARD = ["sft", "samples", "reward_data", "reward_model"]
BEFORE |= {"grpo_process": REWARD, "grpo_iterative": REWARD}
ONE_RUN = {"grpo_iterative": ["iteration.explorations=2"]}  # what an experiment of a few steps needs
PRESETS = (
    *("sft", "rft", "online_rft", "dpo", "ppo", "grpo", "grpo_process", "grpo_iterative", "dr_grpo", "dapo"),
    *("rloo", "gspo"),
)


def source(e: Experiment) -> str:
    if e.source.name == "offline":
        kind = {"RightSamples": "right", "Pairs": "pairs"}[e.source.data.target.rsplit(".", 1)[1]]
        assert e.samples.init == e.rl.init == "sft"
        return f"SFT model, {kind}"
    return {"online": "policy", "dataset": "dataset"}[e.source.name]


def coefficient(e: Experiment) -> str:
    """The gradient coefficient that the pieces amount to; the KL in the reward is part of GAE's advantage."""
    advantage, kl = e.advantage, e.kl
    match advantage.name, kl.placement:
        case "constant", "none":
            return "1"
        case "reward", "none":
            rule = e.reward.function.arguments
            assert (rule["right"], rule["wrong"], rule["format"]) == (1.0, 0.0, 0.0)
            return "reward"
        case "gae", "reward":
            assert (kl.estimator, kl.coef) == ("k1", 0.04)
            return "GAE"
        case "group", "loss":
            assert (advantage.std, kl.estimator, kl.gradient, kl.coef) == ("sample", "k3", "plain", 0.04)
            return "group's normalised reward + β(π_ref/π_θ - 1)"
        case "preference", "implicit":
            return "σ(β log-ratio of the wrong - that of the right)"
    raise AssertionError(f"{advantage.name} with a penalty in {kl.placement}: no row of the table")


@pytest.mark.parametrize("algorithm", PARADIGM)
def test_a_preset_is_its_row_of_the_unified_paradigm(compose: Composer, algorithm: str) -> None:
    outputs, reward, gradient = PARADIGM[algorithm]
    # the paper's PPO and GRPO learn from a reward model; their presets leave the reward as it is, a rule to begin with
    overrides = ["reward=model"] if reward == "model" else []
    e = compose.one([f"algorithm={algorithm}", *overrides]).experiment
    assert source(e) == outputs
    assert reward in (None, e.reward.name)
    assert coefficient(e) == gradient
    assert e.algorithm.updates_per_exploration == 1
    assert e.iteration.name == "single"
    assert (e.value.name != "none") == (algorithm == "ppo")
    assert (e.sampling.group_size > 1) == (algorithm != "ppo")
    if algorithm in ("sft", "rft", "dpo", "online_rft"):
        assert (e.algorithm.clip_low, e.algorithm.clip_high) == (None, None)
    else:
        assert e.algorithm.clip_low == e.algorithm.clip_high


@pytest.mark.parametrize(
    ("algorithm", "values"),
    [
        ("grpo_process", {"reward.name": "process", "advantage.name": "group_process", "kl.placement": "loss"}),
        (
            "grpo_iterative",
            {"iteration.refresh_reference": True, "iteration.replay": 0.1, "reward.name": "model", "kl.coef": 0.04},
        ),
        (
            "dr_grpo",  # arXiv 2503.20783: neither the std nor the length divides, no KL
            {"advantage.std": "none", "algorithm.aggregation": "constant", "algorithm.aggregation_constant": 40.0}
            | {"kl.placement": "none"},
        ),
        (
            "dapo",  # arXiv 2503.14476, §4.1
            {"algorithm.clip_low": 0.2, "algorithm.clip_high": 0.28, "algorithm.aggregation": "token_mean"}
            | {"kl.placement": "none", "reward.overlong_penalty": 1.0},
        ),
        (
            "rloo",  # arXiv 2402.14740: the gradient of the log-probability of the whole output
            {"advantage.name": "leave_one_out", "kl.placement": "reward", "kl.estimator": "k1"}
            | {"algorithm.aggregation": "constant", "algorithm.aggregation_constant": 1.0},
        ),
        (
            "gspo",  # arXiv 2507.18071, §5.1
            {"algorithm.ratio": "sequence", "algorithm.clip_low": 3e-4, "algorithm.clip_high": 4e-4}
            | {"advantage.name": "group", "algorithm.aggregation": "sequence_mean"},
        ),
    ],
)
def test_a_variant_is_what_its_paper_says(compose: Composer, algorithm: str, values: dict[str, object]) -> None:
    e = compose.one([f"algorithm={algorithm}"]).experiment
    assert e.algorithm.name == algorithm
    for key, value in values.items():
        section, name = key.split(".")
        assert getattr(getattr(e, section), name) == value, key


def test_every_preset_is_expected_here(compose: Composer) -> None:
    assert set(compose.groups["algorithm"]) == set(PRESETS)


@pytest.mark.parametrize("algorithm", PRESETS)
@pytest.mark.parametrize("experiment", ["null", "smoke", "grpo_gsm8k_smollm2"])
def test_a_preset_checks_and_plans_its_stages_in_every_small_experiment(
    compose: Composer, algorithm: str, experiment: str, tmp_path: Path
) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n', encoding="utf-8")
    chosen = {"null": [], "smoke": ["experiment=smoke"]}.get(
        experiment, [f"experiment={experiment}", f"data.path={tmp_path}"]
    )
    e = compose.one([f"algorithm={algorithm}", *chosen, *ONE_RUN.get(algorithm, [])]).experiment
    planned = nodes(e)
    labels = [node.label for node in planned]
    assert sorted(labels) == sorted([*BEFORE.get(algorithm, ["sft"]), "rl", *EVALUATIONS])
    assert all(labels.index(up.label) < labels.index(node.label) for node in planned for up in node.upstreams)
    require_available(planned, e)

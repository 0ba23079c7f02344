"""Everything in conf/ and experiments/ composes, is checked, and plans the stages that it should."""

from dataclasses import is_dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from dsmath.config import places
from dsmath.config.compose import Composer
from dsmath.config.help import first_comment, help_text
from dsmath.config.schema import Experiment
from dsmath.config.types import Component
from dsmath.graph.chain import nodes

FILES = [file for name in ("conf", "experiments") for file in sorted(places.root(name).glob("*/*.yaml"))]
OPTIONS = [(file.parent.name, file.stem) for file in FILES if file.parent.name not in ("local", "hydra")]
NEEDED = {  # what an option cannot do without
    ("model", "hf"): ["model.policy.path=FOLDER"],
    ("data", "gsm8k"): ["data.path=FOLDER"],
    ("data", "math"): ["data.path=FOLDER"],
    ("data", "hf_dataset"): ["data.path=FOLDER"],
    ("experiment", "grpo_gsm8k_smollm2"): ["data.path=FOLDER"],
    ("rl", "paper"): ["sampling=group_64", "model=hf", "model.policy.path=FOLDER"],
    ("sft", "paper"): ["model=deepseek_math_7b"],
    ("rollout", "vllm"): ["hardware=gpu"],
    ("samples", "paper"): ["stage=samples", "model=deepseek_math_7b"],
    ("reward_data", "paper"): ["stage=reward_data", "samples=paper", "model=deepseek_math_7b"],
    ("reward_model", "paper"): ["stage=reward_model"],
    ("sampling", "group_64"): ["model=deepseek_math_7b", "rl.batch_size=64"],
    ("sampling", "single"): ["model=deepseek_math_7b", "algorithm=ppo", "rl.batch_size=8"],
    ("eval", "paper"): ["model=deepseek_math_7b"],
    ("source", "dataset"): ["algorithm=sft"],
    ("source", "offline"): ["algorithm=rft"],
    ("source", "pairs"): ["algorithm=dpo"],
    ("reward", "process"): ["algorithm=grpo_process"],
    ("advantage", "gae"): ["algorithm=ppo"],
    ("advantage", "group_process"): ["reward=process"],
    ("advantage", "reward"): ["algorithm=online_rft"],
    ("advantage", "constant"): ["algorithm=sft"],
    ("advantage", "preference"): ["algorithm=dpo"],
    ("kl", "implicit"): ["algorithm=dpo"],
    ("value", "separate"): ["algorithm=ppo"],
    ("value", "head"): ["algorithm=ppo"],
    ("iteration", "iterative"): ["reward=model"],
    ("crawl", "warc"): ["crawl.path=folder"],
    ("launcher", "slurm"): ["launcher.slurm.partition=cpu"],
    ("hardware", "a100x8"): ["rl.batch_size=512", "sft.batch_size=32"],
    ("hardware", "h100x8"): ["rl.batch_size=512", "sft.batch_size=32"],
    ("hardware", "h100x8_4n"): ["rl.batch_size=512", "sft.batch_size=32"],
}
NAMES = {
    ("source", "pairs"): "offline",
    ("annotation", "embedded"): "file",
    ("lora", "attention_16"): "adapters",
    ("lora", "rank_16"): "adapters",
}  # a section's name where it is not the option's
EVALUATION = ("answers", "eval")
CORPUS = ["pages", *(f"corpus@round-{number}" for number in range(1, 5))]
BASE = [*CORPUS, "tokens", "pretrain", "sft"]
REWARD = ["samples", "reward_data", "reward_model"]
SMALL = ["sft", *(f"{s}@sft/held_out" for s in EVALUATION), "rl", *(f"{s}@rl/held_out" for s in EVALUATION)]
PLANS = {
    "smoke": SMALL,
    "claims": SMALL,
    "full_chain": [
        *(
            "pages",
            "corpus@round-1",
            "corpus@round-2",
            "corpus@round-3",
            "corpus@round-4",
            "tokens",
            "pretrain",
            "sft",
            "rl",
        ),
        *(f"{stage}@{model}/held_out" for stage in ("answers", "eval") for model in ("pretrain", "sft", "rl")),
    ],
    "grpo_gsm8k_smollm2": SMALL,
    "base_1b3": [*CORPUS, "tokens", "pretrain"],
    "base_7b": [*CORPUS, "tokens", "pretrain"],
    "instruct_7b": BASE,
    "reward_7b": [*BASE, *REWARD],
    "grpo_7b": [*BASE, *REWARD, "rl"],
    "grpo_process_7b": [*BASE, *REWARD, "rl"],
    "grpo_iterative_7b": [*BASE, *REWARD, "rl"],
    "ppo_7b": [*BASE, *REWARD, "rl"],
    "online_rft_7b": [*BASE, "rl"],
    "rft_7b": [*BASE, "samples", "rl"],
    "dpo_7b": [*BASE, "samples", "rl"],
}


def grid(seeds: int, **choices: list[str]) -> set[str]:
    """Every point of an ablation; `__` stands for the dot of a value's key."""
    points = [f"{key.replace('__', '.')}={{}}" for key in choices]
    return {
        " ".join([text.format(value) for text, value in zip(points, values, strict=True)] + [f"seed={seed}"])
        for values in product(*choices.values())
        for seed in range(seeds)
    }


ABLATIONS = {
    "aggregation": grid(3, algorithm__aggregation=["sequence_mean", "token_mean"]),
    "corpus_round": grid(3, round=["1", "2", "3", "4"]),
    "corpus_source": grid(3, mixture=["no_math", "seed_only", "round_1", "round_2", "round_3", "round_4"]),
    "group_size": grid(5, sampling__group_size=["4", "8", "16"]),
    "iterative": grid(5, algorithm=["grpo"], reward=["model"], iteration=["single", "iterative"]),
    "kl_coefficient": grid(5, kl__coef=["0.0", "0.01", "0.04", "0.16"]),
    "kl_placement": grid(5, kl=["loss_k3", "reward_k1"]),
    "maj_vs_pass": grid(5),
    "ppo_vs_grpo": grid(5, algorithm=["grpo", "ppo"]),
    "reward_hacking": grid(5, reward=["rule", "model"], kl=["none"]),
    "seed": grid(3),
    "unified": grid(5, algorithm=["rft", "online_rft", "grpo", "grpo_process"]),
}


def name_of(option: tuple[str, str]) -> str:
    return "=".join(option)


@pytest.mark.parametrize("option", [o for o in OPTIONS if o[0] != "ablation"], ids=name_of)
def test_an_option_composes_and_is_checked(compose: Composer, option: tuple[str, str]) -> None:
    group, name = option
    places = {"optim": "sft.optim", "schedule": "sft.schedule", "rule": "samples.rule", "held_out": "pretrain.held_out"}
    place = f"@{places[group]}" if group in places else ""
    choice = f"{group}{place}={name}"
    lr = ["++sft.optim.lr=0.001"] if group == "optim" else []
    composed = compose.one([choice, *lr, *NEEDED.get(option, [])])
    section = getattr(composed.experiment, group, None)
    if hasattr(section, "name"):
        assert section.name == NAMES.get(option, name)


def test_every_experiment_and_ablation_is_expected_here() -> None:
    found = {group: {name for g, name in OPTIONS if g == group} for group in ("experiment", "ablation")}
    assert found == {"experiment": set(PLANS), "ablation": set(ABLATIONS)}


@pytest.mark.parametrize("experiment", PLANS)
def test_an_experiment_plans_exactly_its_stages(compose: Composer, experiment: str, tmp_path: Path) -> None:
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n', encoding="utf-8")
    data = [f"data.path={tmp_path}"] if experiment == "grpo_gsm8k_smollm2" else []
    planned = nodes(compose.one([f"experiment={experiment}", *data]).experiment)
    labels = [node.label for node in planned]
    assert sorted(labels) == sorted(PLANS[experiment])
    assert all(labels.index(up.label) < labels.index(node.label) for node in planned for up in node.upstreams)


def test_the_7b_policies_learn_from_the_same_reward_model_and_samples(compose: Composer) -> None:
    """What experiments have in common is built once."""
    found = {
        name: {node.label: node.fingerprint for node in nodes(compose.one([f"experiment={name}"]).experiment)}
        for name in PLANS
        if name.endswith("_7b")
    }
    for label, names in {
        "reward_model": ("reward_7b", "grpo_7b", "grpo_iterative_7b", "ppo_7b"),
        "samples": ("reward_7b", "grpo_7b", "grpo_process_7b", "rft_7b", "dpo_7b"),
        "sft": ("instruct_7b", "reward_7b", "grpo_7b", "online_rft_7b", "rft_7b"),
    }.items():
        assert len({found[name][label] for name in names}) == 1, label
    assert found["grpo_process_7b"]["reward_model"] != found["grpo_7b"]["reward_model"]


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_checks_every_point_of_its_grid(compose: Composer, ablation: str) -> None:
    points = compose.sweep([f"ablation={ablation}"])
    assert {" ".join(p.overrides).removesuffix(f" ablation={ablation}") for p in points} == ABLATIONS[ablation]
    assert len(points) == len(ABLATIONS[ablation])
    assert {p.experiment.name for p in points} == {ablation}


@pytest.mark.parametrize("ablation", ABLATIONS)
def test_an_ablation_multiplies_with_the_experiment_of_the_papers_claims(compose: Composer, ablation: str) -> None:
    points = compose.sweep(["experiment=claims", f"ablation={ablation}", "seed=0"])
    assert len(points) == len({point.rsplit(" ", 1)[0] for point in ABLATIONS[ablation] if "=0" in point[-3:]})
    assert {p.experiment.rl.batch_size for p in points} == {compose.one(["experiment=claims"]).experiment.rl.batch_size}


def test_the_points_of_an_ablation_are_what_each_composes_to_alone(compose: Composer) -> None:
    """Points share one composition; composing each from scratch is the independent way."""
    for point in compose.sweep(["kl=loss_k3", "kl.coef=0.0,0.16"]):
        assert compose.one(point.overrides).experiment == point.experiment


def test_config_and_schema_have_the_same_keys(compose: Composer) -> None:
    assert {str(key) for key in compose.one([]).config} - {"hydra"} == set(get_type_hints(Experiment))


def test_schema_and_components_hold_no_values() -> None:
    """Every value has one home, in conf/ or experiments/."""
    from dataclasses import MISSING, fields

    from dsmath.config.components import SHIPPED

    def sections(kind: Any) -> list[Any]:
        inner = [k for k in get_type_hints(kind).values() if is_dataclass(k) and k is not Component]
        return [kind, *(s for k in inner for s in sections(k))]

    for kind in [*sections(Experiment), *SHIPPED.values()]:
        for field in fields(kind):
            assert field.default is MISSING, f"{kind.__name__}.{field.name} has a value"
            assert field.default_factory is MISSING, f"{kind.__name__}.{field.name} has a value"


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_file_says_what_it_is_for_and_no_line_twice(file: Path) -> None:
    assert first_comment(file)
    text = file.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    node = yaml.compose(text)
    assert isinstance(node, yaml.MappingNode)
    names = [key.value for key, _ in node.value]
    assert len(names) == len(set(names))


def test_help_names_every_group_and_option() -> None:
    lines = help_text().splitlines()
    for group, name in OPTIONS:
        start = lines.index(f"  {group}=")
        assert any(line.split()[:1] == [name] for line in lines[start + 1 :]), f"{group}={name}"

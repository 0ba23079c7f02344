"""Which engines an experiment may name: told before anything is built, with what to change."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from engine_tools import without_vllm

from dsmath.cli import main
from dsmath.config.check import ConfigError
from dsmath.config.compose import Composer, composer
from dsmath.errors import UserError
from dsmath.graph.chain import nodes, require_available
from dsmath.graph.graph import Node
from dsmath.rollout import available


@pytest.fixture(scope="module")
def compose() -> Iterator[Composer]:
    with composer() as made:
        yield made


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["rollout=vlm"], "rollout = vlm: no such option, did you mean vllm?; there are continuous"),
        (["rollout.dtype=bfloat"], "expected one of float32, bfloat16, did you mean bfloat16?"),
        (["rollout=vllm"], "rollout = vllm: samples on a GPU, and hardware=cpu has none; use hardware=gpu"),
        (
            ["rollout=vllm", "hardware=h100x8", "sft.batch_size=8"],
            "rollout = vllm: shares one GPU with the trainer, and hardware=h100x8 has 1 × 8",
        ),
        (
            ["rollout=continuous", "rollout.max_rows=8"],
            "rollout.max_rows = 8: with rollout=continuous what a row draws depends on the rows beside it",
        ),
        (["rollout.memory_share=0.3"], "rollout.memory_share = 0.3: rollout=transformers takes what its rows need"),
        (
            ["rollout=vllm", "hardware=gpu", "rollout.memory_share=null"],
            "rollout.memory_share: no value; rollout=vllm needs a share of the GPU",
        ),
        (
            ["rollout=vllm", "hardware=gpu", "eval.temperature=0.001"],
            "eval.temperature = 0.001: vLLM samples at 0.01 or more",
        ),
    ],
)
def test_a_mistake_is_told_with_what_to_change(compose: Composer, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose.one(overrides)
    assert expected in str(caught.value)


def test_a_stage_that_samples_nothing_does_not_ask(compose: Composer) -> None:
    assert compose.one(["stage=sft", "rollout=vllm"]).experiment.rollout.name == "vllm"


def test_a_missing_package_is_told_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    without_vllm(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        main(["rollout=vllm", "hardware=gpu"])
    assert ended.value.code == 2
    assert "rollout=vllm needs the package vllm: pip install 'dsmath[vllm]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (("vllm", "vllm", "0.11.0"), "rollout=vllm needs vllm from 0.32 and below 0.33, and 0.11.0 is here"),
        (("vllm", "vllm", "0.33.1"), "rollout=vllm needs vllm from 0.32 and below 0.33, and 0.33.1 is here"),
        (("vllm", "vllm", "0.32.1"), None),
        (
            ("continuous", "transformers", "5.17.0"),
            "rollout=continuous needs transformers 5.24 or later, and 5.17.0 is",
        ),
        (("continuous", "transformers", "5.24.0"), None),
        (("continuous", "transformers", "5.30.0.dev0"), None),
        (("transformers", "transformers", "5.0.0"), None),
    ],
)
def test_versions_that_an_engine_was_not_written_for_are_refused(
    compose: Composer, monkeypatch: pytest.MonkeyPatch, engine: tuple[str, str, str], expected: str | None
) -> None:
    rollout, package, here = engine
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace() if name == "vllm" else find(name))
    monkeypatch.setattr(available, "version", {package: here}.__getitem__)
    e = compose.one([f"rollout={rollout}", "hardware=gpu"]).experiment
    if expected is None:
        require_available(nodes(e), e)
        return
    with pytest.raises(UserError) as caught:
        require_available(nodes(e), e)
    assert expected in str(caught.value)


def fingerprints(compose: Composer, *overrides: str) -> dict[str, str]:
    chain: list[Node] = nodes(compose.one(["algorithm=grpo_process", *overrides]).experiment)
    return {node.label: node.fingerprint for node in chain}


def test_what_is_sampled_depends_on_the_engine_and_what_is_not_does_not(compose: Composer) -> None:
    plain, half = fingerprints(compose), fingerprints(compose, "rollout.dtype=bfloat16")
    same = {label.partition("@")[0] for label in plain if plain[label] == half.get(label)}
    other = {label.partition("@")[0] for label in plain if plain[label] != half.get(label)}
    assert "sft" in same
    assert {"samples", "reward_data", "rl", "answers"} <= other
    assert fingerprints(compose, "rollout=continuous")["rl"] not in (plain["rl"], half["rl"])


def test_how_much_memory_vllm_takes_rebuilds_nothing(compose: Composer) -> None:
    chosen = ("rollout=vllm", "hardware=gpu")
    assert fingerprints(compose, *chosen) == fingerprints(compose, *chosen, "rollout.memory_share=0.2")

"""What a person changes decides which stages are built again, and nothing else does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dsmath.config.compose import Composer, composer
from dsmath.errors import UserError
from dsmath.graph.chain import nodes, require_available, view
from dsmath.graph.stages import STAGES

OF_SFT = {"answers@sft/held_out", "eval@sft/held_out"}
OF_RL = {"answers@rl/held_out", "eval@rl/held_out"}
EVERYTHING = {"sft", "rl", *OF_SFT, *OF_RL}


@pytest.fixture(scope="module")
def compose() -> Iterator[Composer]:
    with composer() as made:
        yield made


def fingerprints(compose: Composer, *overrides: str) -> dict[str, str]:
    return {node.label: node.fingerprint for node in nodes(compose.one(overrides).experiment)}


def rebuilt(compose: Composer, change: list[str], base: list[str]) -> set[str]:
    before, after = fingerprints(compose, *base), fingerprints(compose, *base, *change)
    rounds = {label for label in before.keys() ^ after.keys() if label.startswith("corpus@")}
    assert before.keys() - rounds == after.keys() - rounds  # fewer rounds are another chain, of the same stages
    return {label for label in before.keys() & after.keys() if before[label] != after[label]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("kl.coef=0.1", {"rl", *OF_RL}),
        ("sampling.group_size=4", {"rl", *OF_RL}),
        ("algorithm.clip_high=0.3", {"rl", *OF_RL}),
        ("reward.function.format=0.1", {"rl", *OF_RL}),
        ("sft.steps=7", EVERYTHING),
        ("seed=1", EVERYTHING),
        ("model.policy.layers=7", EVERYTHING),
        ("hardware.precision=bf16-true", EVERYTHING),
        ("eval.size=5", {*OF_SFT, *OF_RL}),
        ("eval.samples=9", {*OF_SFT, *OF_RL}),
        ("eval.prompt=boxed", {*OF_SFT, *OF_RL}),
        ("tools=python", {"rl", *OF_SFT, *OF_RL}),
        ("eval.k=[1,8]", {"eval@sft/held_out", "eval@rl/held_out"}),  # nothing is sampled again
        ("eval.confidence=0.9", {"eval@sft/held_out", "eval@rl/held_out"}),
        ("eval.resamples=7", {"eval@sft/held_out", "eval@rl/held_out"}),
        ("eval.benchmarks.held_out.symbolic=true", {"eval@sft/held_out", "eval@rl/held_out"}),
        ("eval.batch_rows=7", set()),
        ("eval.benchmarks.held_out.few_shot=SomePrompt", set()),  # not asked for
        ("hardware.devices=2", set()),
        ("hardware.threads=1", set()),
        ("trainer.log_every=7", set()),
        ("trainer.checkpoint_every=7", set()),
        ("trainer.callbacks.sample_table.rows=1", set()),
        ("paths.store=elsewhere", set()),
        ("paths.runs=elsewhere", set()),
        ("logger=none", set()),
        ("name=other", set()),
        ("round=2", set()),  # nothing here grows from the corpus
        ("pretrain.tokens=5", set()),
        ("reward_model.steps=5", set()),
        ("samples.questions=5", set()),
        ("reward_data.rollouts=5", set()),
    ],
)
def test_a_change_rebuilds_exactly_what_depends_on_it(compose: Composer, change: str, expected: set[str]) -> None:
    assert rebuilt(compose, [change], []) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("round=2", {"tokens", "pretrain", "sft", "samples", "reward_data", "reward_model", "rl"}),
        ("pretrain.tokens=5", {"pretrain", "sft", "samples", "reward_data", "reward_model", "rl"}),
        ("samples.temperature=0.9", {"samples", "reward_data", "reward_model", "rl"}),
        ("reward_data.rollouts=5", {"reward_data", "reward_model", "rl"}),
        ("reward_model.steps=5", {"reward_model", "rl"}),
        ("value.lr=5", {"rl"}),
        ("samples.batch_rows=5", {"samples", "reward_data", "reward_model", "rl"}),  # another random stream a batch
        ("eval.size=5", set()),
    ],
)
def test_a_chain_that_grows_from_the_corpus_depends_on_it(compose: Composer, change: str, expected: set[str]) -> None:
    assert rebuilt(compose, [change], ["experiment=ppo_7b"]) == expected


@pytest.mark.parametrize("file", ["train.jsonl", "test.jsonl"])
def test_the_content_of_a_data_file_counts_and_its_place_does_not(compose: Composer, file: str, tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        for name in ("train.jsonl", "test.jsonl"):
            (tmp_path / folder / name).write_text('{"question": "1 + 1?", "answer": "#### 2"}\n', encoding="utf-8")
    overrides = ["data=gsm8k", f"data.path={tmp_path}/here"]
    before = fingerprints(compose, *overrides)
    (tmp_path / "here" / file).write_text('{"question": "1 + 2?", "answer": "#### 3"}\n', encoding="utf-8")
    after = fingerprints(compose, *overrides)
    assert {label for label in before if before[label] != after[label]} == EVERYTHING


def test_a_missing_data_file_is_named(compose: Composer, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(UserError) as raised:
        fingerprints(compose, "data=gsm8k", f"data.path={tmp_path}")
    assert (
        str(raised.value)
        == f"{tmp_path}/test.jsonl: no such file, did you mean train.jsonl? (the folder has train.jsonl)"
    )


def test_the_weights_in_a_models_folder_count_also_below_the_home_folder(
    compose: Composer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1")
    overrides = ["model=hf", "model.policy.path='~/model'"]
    before = fingerprints(compose, *overrides)
    (tmp_path / "model" / "weights").write_bytes(b"2")
    assert fingerprints(compose, *overrides) != before


def test_a_local_folder_read_as_a_hub_data_set_counts_by_its_content(compose: Composer, tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"1")
    overrides = ["data=hf_dataset", f"data.path={tmp_path}"]
    before = fingerprints(compose, *overrides)
    (tmp_path / "train.parquet").write_bytes(b"2")
    assert fingerprints(compose, *overrides) != before


@pytest.mark.parametrize("source", ["samples", "rl", "sft"])
def test_the_content_of_the_problems_of_each_stage_counts(compose: Composer, source: str, tmp_path: Path) -> None:
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text('{"question": "1 + 1?", "answer": "#### 2"}\n', encoding="utf-8")
    overrides = ["algorithm=rft", "data=gsm8k", f"data.path={tmp_path}"]
    others = {"samples", "rl", "sft", "eval.benchmarks.held_out"} - {source}
    overrides += [f"{name}.problems={{_target_:fractions.Fraction}}" for name in others]
    before = fingerprints(compose, *overrides)
    (tmp_path / "train.jsonl").write_text('{"question": "1 + 2?", "answer": "#### 3"}\n', encoding="utf-8")
    after = fingerprints(compose, *overrides)
    assert before[source] != after[source]
    grown = {"sft": {"samples", *EVERYTHING}, "samples": {"samples", "rl", *OF_RL}}
    assert {label for label in before if before[label] != after[label]} == grown.get(source, {"rl", *OF_RL})


def test_the_files_of_a_reward_model_from_elsewhere_count_and_no_stage_trains_one(
    compose: Composer, tmp_path: Path
) -> None:
    (tmp_path / "weights").write_bytes(b"1")
    overrides = ["reward=model", f"reward.path={tmp_path}"]
    before = fingerprints(compose, *overrides)
    assert set(before) == EVERYTHING
    (tmp_path / "weights").write_bytes(b"2")
    after = fingerprints(compose, *overrides)
    assert {label for label in before if before[label] != after[label]} == {"rl", *OF_RL}


def test_a_reward_model_that_is_not_there_is_named(compose: Composer) -> None:
    with pytest.raises(UserError) as raised:
        fingerprints(compose, "reward=model", "reward.path=nowhere")
    assert str(raised.value) == "reward.path = nowhere: no such folder; expected one of the stage reward_model"


def test_the_files_of_a_benchmark_of_steps_count(compose: Composer, tmp_path: Path) -> None:
    file = tmp_path / "gsm8k.jsonl"
    file.write_text("1", encoding="utf-8")
    benchmark = f"{{_target_:dsmath.data.process_bench.ProcessBench,path:{file}}}"
    overrides = ["algorithm=grpo_process", "stage=reward_model", f"reward_model.benchmark={benchmark}"]
    before = fingerprints(compose, *overrides)
    file.write_text("2", encoding="utf-8")
    after = fingerprints(compose, *overrides)
    assert {label for label in before if before[label] != after[label]} == {"reward_model"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sees_only_the_sections_that_it_declares(compose: Composer, stage: str) -> None:
    e = compose.one([]).experiment
    seen = view(e, STAGES[stage])
    declared = {path.split(".")[0] for path in (*STAGES[stage].reads, *STAGES[stage].uses)}
    assert seen.hardware is e.hardware
    for section in {"kl", "sft", "samples", "rl", "eval", "corpus", "logger", "sampling", "iteration"} - declared:
        with pytest.raises(AttributeError, match=f"stage {stage} reads {section}.anything without declaring it"):
            _ = getattr(seen, section).anything


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["hardware=h100x8_4n", "sft.batch_size=64", "rl.batch_size=1024"],
            "this version of dsmath can plan for hardware=h100x8_4n with 4 machines of 8 devices, but not run on them "
            "yet; the devices of one machine run with hardware.num_nodes=1, with hardware.strategy=fsdp for models "
            "that one device cannot hold",
        ),
        (
            ["hardware=h100x8", "hardware.strategy=fsdp", "hardware.precision=16-mixed", "sft.batch_size=8"],
            "hardware.precision = 16-mixed: scales its losses, which models in shards (hardware.strategy=fsdp) do not "
            "have; use bf16-mixed, bf16-true or 32-true",
        ),
    ],
)
def test_what_this_version_cannot_run_is_told(compose: Composer, overrides: list[str], message: str) -> None:
    e = compose.one(overrides).experiment
    with pytest.raises(UserError) as raised:
        require_available(nodes(e), e)
    assert str(raised.value) == message


def test_the_default_experiment_can_run(compose: Composer) -> None:
    e = compose.one([]).experiment
    require_available(nodes(e), e)

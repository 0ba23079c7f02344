"""From texts to a base model, through kills and with any number of ranks, and on to what grows from it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CLOCKS, Done, Dsmath, assert_as_undisturbed, outcome, published
from safetensors.torch import load

SHARDS = 3
PRETRAIN = ("pretrain",)


@pytest.fixture(scope="session")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Pre-training on files: seven steps, checkpoints at 3, 6 and 7."""
    folder, generator = tmp_path_factory.mktemp("texts"), random.Random(0)
    for name in ("arxiv", "github"):
        for shard in range(SHARDS):
            texts = [f"{n} is {generator.choice(('odd', 'even', 'prime'))}. " * (1 + n % 4) for n in range(20)]
            lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
            (folder / f"{name}-{shard}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "held_out.txt").write_text("5 is odd. 6 is even. " * 20, encoding="utf-8")
    return (
        "stage=pretrain", "pretrain.mixture={math: 0, arxiv: 0.75, github: 0.25}",
        f"pretrain.sources.arxiv.path={folder}/arxiv-*.jsonl", f"pretrain.sources.github.path={folder}/github-*.jsonl",
        "held_out@pretrain.held_out=files", f"pretrain.held_out.path={folder}/held_out.txt",
        "pretrain.tokens=4000", "pretrain.batch_tokens=600", "pretrain.sequence_length=96",
        "pretrain.micro_batch_size=4", "pretrain.validate_every=3", "pretrain.schedule.warmup_steps=2",
    )  # fmt: skip


def tokens_of(done: Done) -> dict[str, Any]:
    entry = published(done.store, "tokens")
    found: dict[str, Any] = {str(p.relative_to(entry)): p.read_bytes() for p in sorted(entry.rglob("*.arrow"))}
    return found | {"summary": json.loads((entry / "entry.json").read_text())["summary"]}


@pytest.fixture(scope="session")
def quiet(dsmath: Dsmath, overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run that nobody disturbed."""
    done = dsmath(tmp_path_factory.mktemp("quiet"), *overrides)
    assert (done.code, done.err.count("\n")) == (0, 2), done.err
    return done


def test_the_chain_is_tokens_and_model_and_says_how_it_went(quiet: Done) -> None:
    found = tokens_of(quiet)
    names = [f"tokens/{source}/shard-{n:05d}.arrow" for source in ("arxiv", "github") for n in range(SHARDS)]
    assert list(found) == [*names, "summary"]
    assert found["summary"]["documents_arxiv"] == found["summary"]["documents_github"] == 20 * SHARDS
    summary = outcome(quiet.store, PRETRAIN)["pretrain summary"]
    assert summary["tokens"] == 7 * 6 * 96  # 4000, in whole batches
    assert (summary["share_arxiv"], summary["share_github"]) == pytest.approx((0.75, 0.25), abs=0.02)
    assert summary["epochs_arxiv"] == pytest.approx(
        summary["share_arxiv"] * summary["tokens"] / found["summary"]["tokens_arxiv"]
    )
    rows = outcome(quiet.store, PRETRAIN)["pretrain metrics"]
    assert [row["step"] for row in rows if row["validation_nats_per_byte"]] == ["3", "6", "7"]
    assert float(rows[-1]["validation_loss"]) == summary["validation_loss"] < float(rows[2]["validation_loss"])


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(
            ("half a shard:2", "before the optimizer's step:5", "half a checkpoint:2"), marks=pytest.mark.slow
        ),
        pytest.param(
            (
                *("before a shard", "half a shard:1", "before a shard:3", "between forward and backward:4"),
                *("before saving", "before saving:2", "before the optimizer's step:2", "half a row:2"),
                *(
                    "before the model is kept",
                    "before the record",
                    "before publishing",
                    "scratch gone, not yet renamed",
                ),
            ),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_again_and_again_it_ends_as_if_undisturbed(
    dsmath: Dsmath, overrides: tuple[str, ...], tmp_path: Path, quiet: Done, moments: tuple[str, ...]
) -> None:
    kept: dict[Path, int] = {}
    for moment in moments:
        killed = dsmath(tmp_path, *overrides, fault=moment)
        assert killed.code == -9, (moment, killed.err)
        shards = {path: path.stat().st_ino for path in tmp_path.glob("store/tokens/*.partial/tokens/*/*.arrow")}
        assert all(shards[path] == inode for path, inode in kept.items() if path in shards), "a shard was made again"
        kept = shards or kept
    assert kept
    done = dsmath(tmp_path, *overrides)
    assert done.code == 0, done.err
    assert_as_undisturbed(done.store, outcome(quiet.store, PRETRAIN), PRETRAIN)
    assert tokens_of(done) == tokens_of(quiet)
    assert not list(tmp_path.glob("store/*/*.partial"))


@pytest.mark.slow
def test_a_signal_stops_tokenising_at_a_document(
    dsmath: Dsmath, overrides: tuple[str, ...], tmp_path: Path, quiet: Done
) -> None:
    stopped = dsmath(tmp_path, *overrides, fault="SIGTERM before a shard:3")
    assert stopped.code == 143
    assert stopped.err.endswith("dsmath: stopped by SIGTERM; the same command goes on from here\n")
    assert len(list(tmp_path.glob("store/tokens/*.partial/tokens/*/*.arrow"))) == 2
    done = dsmath(tmp_path, *overrides, "stage=tokens")
    assert (done.code, tokens_of(done)) == (0, tokens_of(quiet))


@pytest.mark.slow
def test_two_ranks_learn_what_one_learns_and_go_on_with_its_state(
    dsmath: Dsmath, overrides: tuple[str, ...], tmp_path: Path, quiet: Done
) -> None:
    """Killed on one rank after step 3, gone on with by two: the same global batches."""
    assert dsmath(tmp_path, *overrides, fault="before the optimizer's step:5").code == -9
    done = dsmath(tmp_path, *overrides, "hardware.devices=2")
    assert done.code == 0, done.err
    found, expected = outcome(done.store, PRETRAIN), outcome(quiet.store, PRETRAIN)
    assert len(found["pretrain metrics"]) == 7
    for row, other in zip(found["pretrain metrics"], expected["pretrain metrics"], strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - CLOCKS:
            assert row[name] == other[name] or float(row[name]) == pytest.approx(float(other[name]), rel=1e-4), name
    weights, others = load(found["pretrain weights"]), load(expected["pretrain weights"])
    for name in others:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-5, atol=1e-5)


def test_a_source_without_documents_is_named(dsmath: Dsmath, overrides: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "blank.txt").write_text(" \n", encoding="utf-8")
    done = dsmath(tmp_path, *overrides, f"pretrain.sources.github.path={tmp_path}/blank.txt")
    assert done.code == 2
    assert "dsmath: pretrain.mixture.github: its source has no documents to learn from; look at what" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_fine_tuning_and_evaluation_grow_from_the_base_model(
    dsmath: Dsmath, overrides: tuple[str, ...], tmp_path: Path, quiet: Done
) -> None:
    done = dsmath(tmp_path, *overrides, "stage=eval", "sft.init=pretrain", "eval.of=[pretrain,sft]", "eval.size=4")
    assert done.code == 0, done.err
    built = {line.split(":")[0] for line in done.err.splitlines() if "building" in line}
    evaluations = {f"{stage}@{model}/held_out" for stage in ("answers", "eval") for model in ("pretrain", "sft")}
    assert built == {"tokens", "pretrain", "sft", *evaluations}
    found = outcome(done.store, ("pretrain", "sft"))
    assert found["pretrain weights"] == outcome(quiet.store, PRETRAIN)["pretrain weights"]
    alone = dsmath(tmp_path, "stage=sft")
    assert alone.code == 0, alone.err
    losses = [json.loads(p.read_text())["summary"]["loss"] for p in tmp_path.glob("store/sft/*/entry.json")]
    assert len(set(losses)) == 2  # it did start from other weights

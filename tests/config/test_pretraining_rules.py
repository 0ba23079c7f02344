"""What cannot be pre-trained on is refused with what to change, and what decides the tokens is what they depend on."""

from pathlib import Path

import pytest

from dsmath.config.check import ConfigError
from dsmath.config.compose import Composer
from dsmath.config.pretraining import batch_rows, steps
from dsmath.errors import UserError
from dsmath.graph.chain import nodes, require_available

STAGE = "stage=pretrain"


def labels(compose: Composer, *overrides: str) -> list[str]:
    return [node.label for node in nodes(compose.one([STAGE, *overrides]).experiment)]


def fingerprints(compose: Composer, *overrides: str) -> dict[str, str]:
    return {node.label: node.fingerprint for node in nodes(compose.one([STAGE, *overrides]).experiment)}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["pretrain.mixture={math: 0.5, algebraic_stck: 0.5}"],
            "pretrain.mixture.algebraic_stck = 0.5: pretrain.sources has no such source, did you mean algebraic_stack?;"
            " there are math, seed, crawl, algebraic_stack, arxiv, github, natural_language",
        ),
        (
            ["pretrain.mixture={math: 0.5, crawl: 0.4}"],
            "pretrain.mixture = {'math': 0.5, 'crawl': 0.4}: the weights are shares of the tokens and add up to 0.9; "
            "expected 1",
        ),
        (["pretrain.mixture.math=0"], "pretrain.mixture = {'math': 0.0}: the weights are shares of the tokens and add "
         "up to 0; expected 1"),
        (
            ["pretrain.mixture={math: 0.99999, crawl: 0.00001}"],
            "pretrain.mixture.crawl = 1e-05: expected 0, or at least 0.0001",
        ),
        (
            ["pretrain.sequence_length=193"],
            "pretrain.sequence_length = 193: longer than the model's context; expected at most model.context_length = "
            "192",
        ),
        (
            ["pretrain.batch_tokens=300", "hardware.devices=2", "hardware.strategy=ddp"],
            "pretrain.batch_tokens = 300: has 1 rows of pretrain.sequence_length = 192 for the 2 devices of hardware; "
            "expected at least 384",
        ),
        (
            ["pretrain.batch_tokens=100"],
            "pretrain.batch_tokens = 100: has 0 rows of pretrain.sequence_length = 192 for the 1 devices of hardware; "
            "expected at least 192",
        ),
        (
            ["pretrain.sources={a b: {_target_: dsmath.data.text_sources.TextFiles, path: x, column: text}}",
             "pretrain.mixture={math: 0.5, a b: 0.5}"],
            "pretrain.sources.a b: it names a folder; expected letters, digits, points and hyphens",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(compose: Composer, overrides: list[str], expected: str) -> None:
    with pytest.raises(ConfigError) as raised:
        compose.one([STAGE, *overrides])
    assert [f"{m.key}{m.what}" for m in raised.value.mistakes] == [expected]
    assert compose.one(overrides)  # a chain without pre-training has no use for these rules


def test_weights_may_be_rounded(compose: Composer) -> None:
    assert compose.one([STAGE, "pretrain.mixture={math: 0.33333, crawl: 0.33333, seed: 0.33333}"])


@pytest.mark.parametrize(
    ("mixture", "upstreams"),
    [
        ("round", {"pages", "corpus@round-1"}),
        ("no_math", {"pages", "corpus@round-1"}),
        ("seed_only", {"pages", "corpus@round-1"}),
    ],
)
def test_tokens_grow_from_the_corpus_where_the_mixture_draws_on_it(
    compose: Composer, mixture: str, upstreams: set[str]
) -> None:
    assert set(labels(compose, f"mixture={mixture}", "round=1")) == {*upstreams, "tokens", "pretrain"}


def test_files_alone_need_no_crawl(compose: Composer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1", encoding="utf-8")
    files = ["pretrain.mixture={math: 0, arxiv: 1}", f"pretrain.sources.arxiv.path={tmp_path}/*.txt"]
    before = fingerprints(compose, *files)
    assert list(before) == ["tokens", "pretrain"]
    (tmp_path / "b.txt").write_text("2", encoding="utf-8")
    assert fingerprints(compose, *files)["tokens"] != before["tokens"]
    (tmp_path / "b.txt").unlink()
    (tmp_path / "a.txt").rename(tmp_path / "c.txt")
    moved = [files[0], f"pretrain.sources.arxiv.path={tmp_path}/c.txt"]
    assert fingerprints(compose, *moved) == before  # its content counts, not where it lies
    (tmp_path / "c.txt").unlink()
    with pytest.raises(UserError, match=r"\*\.txt: no file matches"):
        fingerprints(compose, *files)


@pytest.mark.parametrize(
    ("change", "rebuilt"),
    [
        ("pretrain.tokens=5", {"pretrain"}),
        ("pretrain.optim.lr=1", {"pretrain"}),
        ("pretrain.held_out.count=3", {"pretrain"}),
        ("model.policy.layers=7", {"pretrain"}),  # the tokenizer is the same
        ("pretrain.sources.arxiv.path=elsewhere/*.txt", set()),  # not drawn on
        ("pretrain.mixture={math: 0.5, seed: 0.5}", {"tokens", "pretrain"}),
        ("trainer.checkpoint_every=3", set()),
        ("sft.steps=3", set()),
    ],
)
def test_a_change_rebuilds_what_depends_on_it(compose: Composer, change: str, rebuilt: set[str]) -> None:
    before, after = fingerprints(compose, "round=1"), fingerprints(compose, "round=1", change)
    assert {label for label in before if before[label] != after[label]} == rebuilt


def test_sources_without_files_are_all_named_before_anything_runs(compose: Composer) -> None:
    e = compose.one(["experiment=base_7b", "hardware=cpu"]).experiment
    with pytest.raises(UserError) as raised:
        require_available(nodes(e), e)
    named = [line.split(" = ")[0] for line in str(raised.value).splitlines()]
    assert named == [f"pretrain.sources.{n}.path" for n in ("algebraic_stack", "arxiv", "github", "natural_language")]


def test_the_papers_batches_and_steps(compose: Composer) -> None:
    """§2.2: 150 B tokens in batches of 4 M; §2.3: 500 B in batches of 10 M: whole rows, and all of the tokens."""
    small, large = (compose.one([f"experiment={name}"]).experiment for name in ("base_1b3", "base_7b"))
    assert (batch_rows(small), batch_rows(large)) == (976, 2441)
    assert (steps(small), steps(large)) == (37_522, 50_009)
    for e in (small, large):
        row_tokens = batch_rows(e) * 4096
        assert (steps(e) - 1) * row_tokens < e.pretrain.tokens <= steps(e) * row_tokens
    assert sum(large.pretrain.mixture.values()) == pytest.approx(1)

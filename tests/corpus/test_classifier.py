"""fastText as the classifier of a round: the same bits in each process, and log-odds that are its own."""

import errno
import random
import resource
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import fasttext
import numpy as np
import pytest

from dsmath.config.schema import FastText
from dsmath.corpus.classifier import NEGATIVE, POSITIVE, Scorer, as_line, measure, train
from dsmath.errors import UserError

SETTINGS = FastText(dim=16, lr=0.5, word_ngrams=2, min_count=1, epochs=5, bucket=5000, threads=1)
TRAIN = """
import json, sys
from pathlib import Path
from dsmath.config.schema import FastText
from dsmath.corpus.classifier import train
litter = [bytes([number % 251]) * 100_000 for number in range(int(sys.argv[4]))]  # memory that was used before
del litter
train(Path(sys.argv[1]), FastText(**json.loads(sys.argv[3])), seed=7, model=Path(sys.argv[2]))
"""


def texts(kind: str, count: int, seed: int = 0) -> list[str]:
    """Sentences of 30 words, of which half are of the kind's own."""
    generator = random.Random(f"{kind} {seed}")
    own = [f"{kind}{chr(97 + number)}" for number in range(20)]
    shared = [f"word{chr(97 + number)}" for number in range(20)]
    return [" ".join(generator.choice(generator.choice((own, shared))) for _ in range(30)) for _ in range(count)]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("examples") / "training.txt"
    lines = [
        f"{label} {as_line(text)}"
        for label, kind in ((POSITIVE, "theorem"), (NEGATIVE, "shop"))
        for text in texts(kind, 60)
    ]
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


@pytest.fixture(scope="module")
def model(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "classifier.bin"
    train(examples, SETTINGS, seed=7, model=path)
    return path


@pytest.mark.parametrize("litter", [0, 300])
def test_another_process_trains_the_same_bits_whatever_its_memory_held(
    examples: Path, model: Path, tmp_path: Path, litter: int
) -> None:
    import json

    path = tmp_path / "classifier.bin"
    settings = json.dumps(asdict(SETTINGS))
    subprocess.run([sys.executable, "-c", TRAIN, str(examples), str(path), settings, str(litter)], check=True)
    assert path.read_bytes() == model.read_bytes()


def test_a_matrix_so_small_that_it_lies_in_used_memory_starts_from_zeros_too(examples: Path, tmp_path: Path) -> None:
    settings = replace(SETTINGS, dim=8, bucket=2000, word_ngrams=1)  # 64 KB
    train(examples, settings, seed=7, model=tmp_path / "classifier.bin")
    scorer = Scorer.load(tmp_path / "classifier.bin")
    assert (scorer.log_odds(texts("theorem", 9, seed=3)) > 0).all()
    assert (scorer.log_odds(texts("shop", 9, seed=3)) < 0).all()


def test_another_seed_trains_other_bits(examples: Path, model: Path, tmp_path: Path) -> None:
    train(examples, SETTINGS, seed=8, model=tmp_path / "classifier.bin")
    assert (tmp_path / "classifier.bin").read_bytes() != model.read_bytes()


def test_log_odds_are_those_of_fasttexts_own_probabilities(model: Path) -> None:
    some = [*texts("theorem", 10, seed=1), *texts("shop", 10, seed=1), "", "unheard", "worda wordb wordc"]
    own = fasttext.load_model(str(model))
    probabilities = []
    for text in some:
        found = own.f.predict(as_line(text) + "\n", 2, 0.0, "strict")
        probabilities.append({label: p for p, label in found}.get(POSITIVE, 0.5))
    odds = Scorer.load(model).log_odds(some)
    assert odds.dtype == np.float32
    np.testing.assert_allclose(1 / (1 + np.exp(-odds.astype(np.float64))), probabilities, atol=2e-3)
    assert (odds[:10] > 0).all()
    assert (odds[10:20] < 0).all()


def test_scores_do_not_depend_on_the_other_pages(model: Path) -> None:
    some = texts("theorem", 8, seed=2)
    scorer = Scorer.load(model)
    alone = np.concatenate([scorer.log_odds([text]) for text in reversed(some)])[::-1]
    assert scorer.log_odds(some).tobytes() == alone.tobytes()


def test_a_line_is_one_line_of_the_same_words_whatever_separates_them() -> None:
    assert as_line("A\u2028B\n c\u00a0d\x00\x85e") == as_line("a b c d e").replace("d e", as_line("d\x00e"))
    for text in ("__label__positive x", "a\nb", "x\u2028y", "\ud7ff 证明 $\\frac{1}{2}$", "", "\x00"):
        assert len(as_line(text).splitlines()) <= 1
        assert POSITIVE not in as_line(text).split()
    assert as_line("x = 17") == as_line("X  =  4")


def test_measures_are_those_of_counting() -> None:
    generator = np.random.default_rng(0)
    odds = np.round(generator.normal(size=60), 1).astype(np.float32)  # with ties
    truth = generator.random(60) < 0.4
    found = measure(odds, truth.tolist())
    pairs = [(a > b) + 0.5 * (a == b) for a in odds[truth] for b in odds[~truth]]
    said = odds > 0
    assert found.pages == 60
    assert found.auc == pytest.approx(np.mean(pairs))
    assert found.accuracy == pytest.approx(np.mean(said == truth))
    assert found.precision == pytest.approx(np.mean(truth[said]))
    assert found.recall == pytest.approx(np.mean(said[truth]))


@pytest.mark.parametrize("truth", [[], [True, True], [False]])
def test_a_measure_without_pages_has_no_value(truth: list[bool]) -> None:
    found = measure(np.full(len(truth), -1, np.float32), truth)
    assert found.auc is None
    assert found.precision is None
    assert (found.accuracy is None) == (not truth)


def test_nothing_to_learn_from_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(UserError, match=r"could not be trained .+ look at corpus\.positives"):
        train(tmp_path / "empty.txt", SETTINGS, seed=1, model=tmp_path / "m.bin")


def test_without_a_frequent_word_all_pages_are_alike(examples: Path, tmp_path: Path) -> None:
    train(examples, replace(SETTINGS, min_count=10**6, word_ngrams=1), seed=1, model=tmp_path / "m.bin")
    odds = Scorer.load(tmp_path / "m.bin").log_odds([*texts("theorem", 3), *texts("shop", 3)])
    assert len(set(odds.tolist())) == 1


def test_a_learning_rate_that_diverges_is_told(examples: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"diverged with corpus\.fasttext\.lr = 1000000\.0: expected a lower one, such as 500000\.0"
    ):
        train(examples, replace(SETTINGS, lr=1e6), seed=1, model=tmp_path / "m.bin")


def test_a_model_that_the_disk_had_no_room_for_is_no_model(examples: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # fastText itself does not notice
    try:
        with pytest.raises(OSError, match=r"room|space|large") as raised:
            train(examples, SETTINGS, seed=7, model=tmp_path / "m.bin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert raised.value.errno in (errno.ENOSPC, errno.EFBIG)

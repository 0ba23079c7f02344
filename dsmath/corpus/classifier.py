"""The classifier of a round (§2.1): fastText on pages of the seed against random pages of the crawl."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
from numpy.typing import NDArray

from dsmath.config.schema import FastText
from dsmath.errors import UserError

POSITIVE, NEGATIVE = "__label__positive", "__label__negative"
LONGEST = 50_000  # characters of a page that are read: the classifier looks at words, and this many tell


_PIECE = re.compile(r"\\[a-zA-Z]+|\d+|[^\W\d_\u2e80-\u9fff\uf900-\ufaff]+|[^\s\w]|[\u2e80-\u9fff\uf900-\ufaff]")


def as_line(text: str) -> str:
    """A page as one line of words for fastText, which splits at spaces.

    Signs and LaTeX commands are words of their own, for they tell mathematics from prose; so are Chinese characters.
    Case is folded and every number is 0.
    """
    pieces = _PIECE.findall(text[:LONGEST])
    return " ".join("0" if piece[0].isdigit() else piece for piece in pieces).casefold()


def train(file: Path, settings: FastText, *, seed: int, model: Path) -> None:
    """fastText on a file of labelled lines, written to `model`; one thread gives the same bits each time.

    It runs in a process of its own, in which glibc fills every block of memory that it hands out with zeros. With one
    thread fastText 0.9.3 gives only the first tenth of its input matrix random values and reads the rest as it finds it
    (`DenseMatrix::uniform` fills a tenth for each thread): in memory that was used before, that is garbage, other
    weights in each run, and often NaN. Where the C library is not glibc, large blocks fresh from the kernel have to do.

    Raises:
        UserError: when fastText has nothing to learn from, or diverges.
        OSError: when the disk has no room for the model.
    """
    arguments = {
        "input": str(file),
        "dim": settings.dim,
        "lr": settings.lr,
        "wordNgrams": settings.word_ngrams,
        "minCount": settings.min_count,
        "epoch": settings.epochs,
        "bucket": settings.bucket,
        "thread": settings.threads,
        "seed": seed % 2**31,
        "loss": "softmax",
        "verbose": 0,
    }
    done = subprocess.run(
        [sys.executable, "-c", _TRAIN, json.dumps(arguments), str(model)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_PERTURB_": "255"},  # glibc fills with the complement of this byte
    )
    if done.returncode < 0:
        raise UserError(
            f"the classifier's training was killed by signal {-done.returncode}, perhaps for its memory: "
            "corpus.fasttext.bucket x dim x 4 bytes are needed beside the words"
        )
    if done.returncode == _NO_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(model))
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if "NaN" in said:
            raise UserError(
                f"the classifier diverged with corpus.fasttext.lr = {settings.lr}: expected a lower one, such as "
                f"{settings.lr / 2}, with more corpus.fasttext.epochs (now {settings.epochs})"
            )
        raise UserError(
            f"the classifier could not be trained ({said}); it may have too few pages or words: look at "
            "corpus.positives, "
            "corpus.negatives and corpus.fasttext.min_count"
        )


_NO_ROOM = 28
# fastText does not look whether what it writes reaches the disk: the output matrix comes last.
_TRAIN = f"""
import json, sys
import fasttext
model = fasttext.train_supervised(**json.loads(sys.argv[1]))
model.save_model(sys.argv[2])
last = model.get_output_matrix().tobytes()
with open(sys.argv[2], "rb") as file:
    file.seek(max(file.seek(0, 2) - len(last), 0))
    sys.exit(0 if file.read() == last else {_NO_ROOM})
"""


class Scorer:
    """Log-odds that a page is of the seed's kind.

    fastText's own probabilities are rounded to 1 for pages far from the boundary, which would rank them by chance; the
    log-odds of its softmax over two labels are the difference of two dot products, and stay apart.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        weights, labels = np.asarray(model.get_output_matrix()), list(model.get_labels())
        self._direction: NDArray[np.float32] = weights[labels.index(POSITIVE)] - weights[labels.index(NEGATIVE)]

    @classmethod
    def load(cls, file: Path) -> "Scorer":
        return cls(fasttext.load_model(str(file)))

    def log_odds(self, texts: Iterable[str]) -> NDArray[np.float32]:
        """`[pages]`"""
        return self.of_lines(map(as_line, texts))

    def of_lines(self, lines: Iterable[str]) -> NDArray[np.float32]:
        """`[pages]`, of texts that `as_line` has made ready."""
        return np.array([float(self._model.get_sentence_vector(line) @ self._direction) for line in lines], np.float32)


@dataclass(frozen=True, slots=True)
class Measures:
    """The classifier on pages held out of its training; None where a measure has no value."""

    pages: int
    accuracy: float | None
    auc: float | None
    precision: float | None
    recall: float | None


def measure(log_odds: NDArray[np.float32], positive: Sequence[bool]) -> Measures:
    """Accuracy, precision and recall at even odds, and the area under the ROC curve (the Mann–Whitney statistic)."""
    truth = np.asarray(positive, bool)
    said = log_odds > 0
    right = int((said & truth).sum())
    return Measures(
        pages=len(truth),
        accuracy=float((said == truth).mean()) if len(truth) else None,
        auc=_auc(log_odds[truth], log_odds[~truth]),
        precision=right / int(said.sum()) if said.any() else None,
        recall=right / int(truth.sum()) if truth.any() else None,
    )


def _auc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float | None:
    if not len(positive) or not len(negative):
        return None
    ordered = np.sort(negative)
    below, upto = np.searchsorted(ordered, positive, "left"), np.searchsorted(ordered, positive, "right")
    return float((below + upto).mean() / 2 / len(negative))

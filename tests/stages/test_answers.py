"""Answers to a benchmark: the same however often the run was killed, and graded anew without being sampled anew."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Dsmath, published

from dsmath.data.answers import GREEDY, Answer, read_answers

# nothing is trained: the random model answers
ASK = ("stage=eval", "rl.init=model", "eval.of=[model]", "eval.size=6", "eval.samples=3", "eval.batch_rows=6")


def answers(store: Path) -> list[Answer]:
    return read_answers(published(store, "answers") / "answers.parquet")


@pytest.fixture(scope="module")
def undisturbed(dsmath: Dsmath, tmp_path_factory: pytest.TempPathFactory) -> Path:
    done = dsmath(tmp_path_factory.mktemp("undisturbed"), *ASK)
    assert done.code == 0, done.err
    return done.folder


def test_every_question_is_answered_once_greedily_and_so_often_at_the_temperature(undisturbed: Path) -> None:
    found = answers(undisturbed / "store")
    questions = list(dict.fromkeys(answer.id for answer in found))
    assert len(questions) == 6
    assert [(a.id, a.sample) for a in found] == [(q, s) for q in questions for s in (GREEDY, 0, 1, 2)]
    assert len({a.prompt_sha256 for a in found}) == 6
    for answer in found:
        assert 1 <= answer.tokens <= 6
        assert answer.prompt_tokens > 5
        assert len(answer.prompt_sha256) == 64
    assert len({a.completion for a in found if a.id == questions[0] and a.sample >= 0}) > 1, "samples differ"


@pytest.mark.parametrize(
    "moment",
    [
        "while answering:2",
        pytest.param("before a batch is kept:2", marks=pytest.mark.slow),
        pytest.param("before a batch is kept:4", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_behind_the_last_batch_to_the_same_answers(
    dsmath: Dsmath, tmp_path: Path, undisturbed: Path, moment: str
) -> None:
    assert dsmath(tmp_path, *ASK, fault=moment).code == -9
    (partial,) = tmp_path.glob("store/answers/*.partial")
    kept = {file.name: file.read_bytes() for file in (partial / "scratch").glob("batch-*.parquet")}
    assert kept
    # a batch of another size from here on: where the run was cut must not matter either
    assert dsmath(tmp_path, *ASK, "eval.batch_rows=4", fault="before a batch is kept").code == -9
    assert {file.name: file.read_bytes() for file in (partial / "scratch").glob("batch-*.parquet")} == kept
    done = dsmath(tmp_path, *ASK, "eval.batch_rows=3")
    assert done.code == 0, done.err
    assert answers(tmp_path / "store") == answers(undisturbed / "store")
    name = "samples.parquet"
    ours, theirs = (pq.read_table(published(s / "store", "eval") / name) for s in (tmp_path, undisturbed))
    assert ours.equals(theirs)


def test_a_batch_that_was_torn_is_sampled_again(dsmath: Dsmath, tmp_path: Path, undisturbed: Path) -> None:
    assert dsmath(tmp_path, *ASK, fault="before a batch is kept:3").code == -9
    first, *_ = sorted(tmp_path.glob("store/answers/*.partial/scratch/batch-*.parquet"))
    first.write_bytes(first.read_bytes()[:-20])
    assert dsmath(tmp_path, *ASK).code == 0
    assert answers(tmp_path / "store") == answers(undisturbed / "store")


def test_asked_to_stop_it_stops_after_the_batch_and_says_so(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(tmp_path, *ASK, fault="SIGTERM while answering")
    assert done.code == 143
    assert done.err.splitlines()[-1] == "dsmath: stopped by SIGTERM; the same command goes on from here"


@pytest.mark.parametrize("change", ["eval.benchmarks.held_out.symbolic=true", "eval.k=[1,2]", "eval.confidence=0.9"])
def test_other_grading_or_statistics_sample_nothing_again(dsmath: Dsmath, undisturbed: Path, change: str) -> None:
    done = dsmath(undisturbed, *ASK, change)
    assert done.code == 0, done.err
    lines = [line.split()[:2] for line in done.err.splitlines()]
    assert lines[:2] == [["answers@model/held_out:", "found"], ["eval@model/held_out:", "building"]]


def test_greedy_alone_needs_no_samples(dsmath: Dsmath, tmp_path: Path) -> None:
    done = dsmath(tmp_path, *ASK, "eval.samples=0")
    assert done.code == 0, done.err
    assert {answer.sample for answer in answers(tmp_path / "store")} == {GREEDY}
    summary: dict[str, Any] = json.loads((done.run_folder / "results.json").read_text())["eval@model/held_out"]
    assert 0 <= summary["greedy"] <= 1
    assert not [name for name in summary if name.startswith(("maj@", "pass@"))]


def test_two_problems_of_one_id_are_refused(dsmath: Dsmath, tmp_path: Path) -> None:
    row = '{"id": "a", "question": "1 + 1?", "solution": "\\\\boxed{2}", "answer": "2"}\n'
    (tmp_path / "train.jsonl").write_text(row)
    (tmp_path / "test.jsonl").write_text(row + row)
    done = dsmath(
        tmp_path, *ASK, "data=gsm8k", f"data.path={tmp_path}", "~data.problems.train_size",
    )  # fmt: skip
    assert done.code == 2
    assert "problem a: two of the benchmark's problems have this id, number 1 and number 2; results are" in done.err

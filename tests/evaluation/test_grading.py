"""Every completion gets its verdict, whatever was written, and nothing of the answers is lost."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from evaluation_tools import Texts, answered, boxed, graded, graded_questions, table, write_samples

from dsmath.data.answers import GREEDY, SCHEMA
from dsmath.evaluation import grading
from dsmath.evaluation.grading import grade, read_graded


def test_each_completion_has_its_answer_its_verdict_and_whether_it_stands_in_a_box() -> None:
    completions = [
        r"So \boxed{ 7 }.",
        "I do not know.",
        "The answer is 7.",
        r"\boxed{8}",
        r"\boxed{}",
        r"\boxed{timeout}",
    ]
    found = graded(answered("a", "7", completions))
    assert found.column("extracted").to_pylist() == ["7", None, "7", "8", None, "timeout"]
    assert found.column("correct").to_pylist() == [True, False, True, False, False, False]
    assert found.column("decided_by").to_pylist() == ["exact", "none", "exact", "exact", "none", "timeout"]
    assert found.column("formatted").to_pylist() == [True, False, False, True, False, True]
    assert found.select(SCHEMA.names) == table(answered("a", "7", completions))


def test_a_multiple_choice_question_is_answered_by_a_letter() -> None:
    found = graded(answered("a", "B", [r"It is 12, so (B) is \boxed{B}", r"\boxed{12}"], choices=("10", "12")))
    assert found.column("extracted").to_pylist() == ["B", "B"]
    assert found.column("correct").to_pylist() == [True, True]


def test_the_judge_gets_large_batches_and_their_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = table(*(answered(f"q{i}", str(i), boxed(str(i), "0", "1")) for i in range(5)))
    whole, parts, done = Texts(), Texts(), list[int]()
    at_once = grade(answers, whole, on_progress=lambda rows: None)
    monkeypatch.setattr(grading, "ROWS", 4)
    assert grade(answers, parts, on_progress=done.append) == at_once
    assert [len(pairs) for pairs in whole.asked] == [15]
    assert [len(pairs) for pairs in parts.asked] == [4, 4, 4, 3]
    assert done == [4, 8, 12, 15]


def test_a_question_knows_its_greedy_answer_and_its_samples_in_order_wherever_their_rows_are() -> None:
    first = answered("a", "1", boxed("1", "2", "1"), tags={"level": 3})
    second = answered("b", "2", boxed("0", "2", "0"), truncated=True)
    mixed = [second[2], first[1], first[0], second[0], first[2], second[1]]
    b, a = graded_questions(mixed)
    assert (a.id, a.text, a.gold, a.tags, b.tags) == ("a", "What is a?", "1", {"level": 3}, {})
    assert (a.greedy.extracted, [s.extracted for s in a.samples]) == ("1", ["2", "1"])
    assert (b.greedy.extracted, [s.extracted for s in b.samples]) == ("0", ["2", "0"])
    assert (a.greedy.row, b.greedy.row) == (2, 3)
    assert (a.mean, b.greedy.truncated, a.greedy.truncated) == (0.5, True, False)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    answers = [answered("a", "1", boxed("1", "2")), answered("b", "½", ["", "… \U0001f600 \x00"])]
    file = write_samples(tmp_path, *answers)
    assert read_graded(file) == graded_questions(*answers)
    assert [path.name for path in tmp_path.iterdir()] == ["samples.parquet"]


def test_a_table_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    one, two = answered("a", "1", boxed("1", "2")), answered("b", "1", boxed("1", "2", "3"))
    for rows, what in (
        ([*one, *two], "question b has 2 samples, the first question has others"),
        ([answer for answer in one if answer.sample != GREEDY], "question a has no greedy completion"),
        ([*one, one[1]], "question a has sample 0 twice"),
    ):
        with pytest.raises(ValueError, match=what):
            graded_questions(rows)
    pq.write_table(table(one), tmp_path / "answers.parquet")
    with pytest.raises(ValueError, match="it has no column extracted, correct, decided_by, formatted"):
        read_graded(tmp_path / "answers.parquet")

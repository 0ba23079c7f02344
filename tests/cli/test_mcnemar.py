"""`dsmath mcnemar`: two results by whatever names them, and what a person reads when they cannot be compared."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from dsmath.data.answers import GREEDY, SCHEMA, Answer, as_row
from dsmath.evaluation.grading import SAMPLES, VERDICTS, write_table
from dsmath.evaluation.statistics import mcnemar

Dsmath = Callable[..., tuple[int, str, str]]


def evaluated(folder: Path, *marks: str, first: int = 0, label: str | None = None) -> Path:
    """A folder of the stage `eval`: for the greedy completion and each sample, `+` or `-` for each question."""
    rows = []
    for question, own in enumerate(zip(*marks, strict=True), first):
        for sample, mark in enumerate(own, GREEDY):
            answer = Answer(
                id=f"q{question}", question=f"What is {question}?\n=1", gold="1", tags={}, choices=(), sample=sample,
                prompt_sha256="", prompt_tokens=3, completion=mark, tokens=1, truncated=False, tool_runs=0,
            )  # fmt: skip
            verdict = {"extracted": mark, "correct": mark == "+", "decided_by": "exact", "formatted": True}
            rows.append(as_row(answer) | verdict)
    folder.mkdir(parents=True)
    write_table(pa.Table.from_pylist(rows, schema=pa.schema([*SCHEMA, *VERDICTS])), folder / SAMPLES)
    if label is not None:
        (folder / "entry.json").write_text(json.dumps({"describe": {"label": label}}))
    return folder


def run_folder(folder: Path, store: str, **fingerprints: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"paths:\n  store: {store}\n")
    labels = {label.replace("_on_", "/").replace("eval_", "eval@"): found for label, found in fingerprints.items()}
    (folder / "run.json").write_text(json.dumps({"fingerprints": labels}))
    return folder


def cells(out: str, row: str) -> list[str]:
    """The cells of the table's line that begins with a text."""
    lines = [[cell.strip() for cell in line.strip().strip("│").split("│")] for line in out.splitlines()]
    (found,) = [line for line in lines if line[0] == row]
    return found


def test_two_folders_are_compared_question_by_question(dsmath: Dsmath) -> None:
    evaluated(Path("a"), "+++--+-+--", "++++------", "+-+-+-+-+-")
    evaluated(Path("b"), "++-+++++-+", "++++++----", "++++++++--")
    code, out, err = dsmath("mcnemar", "a", "b", "only.csv")
    assert (code, err) == (0, "")
    p, mid = f"{mcnemar(1, 4):.4g}", f"{mcnemar(1, 4, mid=True):.4g}"
    assert cells(out, "4") == ["4", "1", "4", "1", p, mid]
    assert cells(out, "greedy")[1:3] == ["50.0", "80.0"]
    assert cells(out, "greedy")[3].startswith("+30.0 [")
    assert cells(out, "mean@2")[1:3] == ["45.0", "70.0"]
    assert "10 questions of both" in out
    with Path("only.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["right"]) for row in rows] == [
        ("q2", "A"), ("q3", "B"), ("q4", "B"), ("q6", "B"), ("q9", "B"),
    ]  # fmt: skip
    assert rows[0] == {
        "id": "q2", "right": "A", "question": "What is 2?\n=1", "gold": "1", "answer A": "+", "answer B": "-",
    }  # fmt: skip


def test_a_file_and_a_folder_are_the_same_and_unmatched_questions_are_told(dsmath: Dsmath) -> None:
    evaluated(Path("a"), "++-")
    evaluated(Path("b"), "+-+--", first=1)
    _, by_folder, _ = dsmath("mcnemar", "a", "b")
    code, by_file, _ = dsmath("mcnemar", f"a/{SAMPLES}", f"b/{SAMPLES}")
    assert code == 0
    assert by_file.split("\n", 2)[2] == by_folder.split("\n", 2)[2]
    assert "not compared, as only A has them: 1\nnot compared, as only B has them: 3\n" in by_file
    assert "mean@" not in by_file


def test_runs_lead_to_their_results_in_the_store(dsmath: Dsmath, tmp_path: Path) -> None:
    evaluated(Path("store/eval/1111"), "++--", label="eval@sft/held_out")
    evaluated(Path("store/eval/2222"), "+++-", label="eval@rl/held_out")
    both = run_folder(Path("outputs/x/1"), "store", sft="0", eval_sft_on_held_out="1111", eval_rl_on_held_out="2222")
    alone = run_folder(Path("outputs/x/2"), str(tmp_path / "store"), eval_rl_on_held_out="2222")
    code, out, err = dsmath("mcnemar", f"{both}@sft/held_out", str(alone))
    assert (code, err) == (0, "")
    assert out.startswith("A: outputs/x/1@sft/held_out\nB: outputs/x/2@rl/held_out\n")
    assert cells(out, "2")[:4] == ["2", "0", "1", "1"]
    code, _, err = dsmath("mcnemar", str(both), str(alone))
    assert (code, err) == (
        2,
        "dsmath: outputs/x/1: has several evaluations; give one of outputs/x/1@sft/held_out, outputs/x/1@rl/held_out\n",
    )


def test_a_run_is_found_from_another_folder(dsmath: Dsmath, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated(Path("store/eval/1111"), "++--", label="eval@rl/held_out")
    run = run_folder(Path("outputs/x/1"), "store", eval_rl_on_held_out="1111").absolute()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, out, _ = dsmath("mcnemar", str(run), str(run))
    assert (code, cells(out, "greedy")[3]) == (0, "+0.0 [+0.0, +0.0]")


def test_what_cannot_be_compared_is_told(dsmath: Dsmath) -> None:
    evaluated(Path("a"), "++--", label="eval@rl/gsm8k")
    evaluated(Path("b"), "++--", label="eval@rl/math")
    evaluated(Path("far"), "++--", first=7)
    evaluated(Path("damaged"), "++--")
    whole = (Path("damaged") / SAMPLES).read_bytes()
    (Path("damaged") / SAMPLES).write_bytes(whole[: len(whole) // 2])
    Path("text.parquet").write_text("id,correct\n")
    Path("empty").mkdir()
    run_folder(Path("run"), "store", eval_rl_on_gsm8k="1111")
    run_folder(Path("trained"), "store", sft="1111")
    expected = "expected a run folder, a folder of the stage eval in the store, or a samples.parquet"
    for given, text in {
        "a": "expected: dsmath mcnemar A B [OUT.csv]",
        "a b c.csv d": "expected: dsmath mcnemar A B [OUT.csv]",
        "a b far": "far: expected the name of a table to write, OUT.csv",
        "a nowhere": f"nowhere: no such file or folder; {expected}",
        "a emtpy": f"emtpy: no such file or folder, did you mean empty?; {expected}",
        "a empty": f"empty: neither run.json nor samples.parquet lies there; {expected}",
        "a b": "a is of the benchmark gsm8k, b of math; expected two results of one",
        "a far": "a and far: they have no question in common; expected two results of one benchmark",
        "a run": "run@rl/gsm8k: not in the store store (eval/1111); was it built, or does the store lie elsewhere?",
        "a run@sft/gsm8k": "run@sft/gsm8k: no such evaluation, did you mean rl/gsm8k?; there are run@rl/gsm8k",
        "a trained": "trained: a run without an evaluation; expected one of stage=eval",
        "a a no/such/folder.csv": "no/such/folder.csv: cannot be written (No such file or directory)",
    }.items():
        code, _, err = dsmath("mcnemar", *given.split())
        assert (code, err) == (2, f"dsmath: {text}\n")
    for given in ("damaged", "text.parquet"):
        code, out, err = dsmath("mcnemar", "a", given)
        assert (code, out) == (2, "")
        assert f"{given}" in err
        assert ": no graded answers (" in err
        assert err.count("\n") == 1

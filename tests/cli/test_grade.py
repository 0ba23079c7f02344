"""`dsmath grade`: what it writes and prints, and what a person reads after a mistake."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Dsmath = Callable[..., tuple[int, str, str]]

LINES = [
    {"gold": "1/2", "pred": "0.5", "label": True},
    {"gold": "x(x+1)", "pred": r"\boxed{x^2+x}", "label": True},
    {"gold": "18", "response": "So 9 * 2 = 18.\n#### 18", "label": False, "id": "q3"},
    {"gold": "B", "response": "The answer is (B).", "choices": ["3", "4"]},
    {"gold": "7", "response": "I do not know"},
    {"gold": r"\frac{^{2}}{1-}", "pred": "5"},
    {"gold": 12, "pred": 13, "label": True},
]


def write(file: Path, rows: list[object]) -> Path:
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return file


def test_every_line_gets_its_verdict_and_the_counts_are_printed(tmp_path: Path, dsmath: Dsmath) -> None:
    file = write(tmp_path / "answers.jsonl", [*LINES[:3], "", *LINES[3:]])
    code, out, err = dsmath("grade", str(file))
    assert (code, err) == (0, "")
    graded = [json.loads(line) for line in (tmp_path / "answers.graded.jsonl").read_text().splitlines()]
    assert [
        {**row, **{k: g[k] for k in ("extracted", "correct", "decided_by")}}
        for row, g in zip(LINES, graded, strict=True)
    ] == graded
    assert [(g["extracted"], g["correct"], g["decided_by"]) for g in graded] == [
        ("0.5", True, "exact"),
        ("x^2+x", True, "symbolic"),
        ("18", True, "exact"),
        ("B", True, "exact"),
        (None, False, "none"),
        ("5", False, "gold"),
        ("13", False, "exact"),
    ]
    shown = [line.strip("│ ").split("│") for line in out.splitlines() if line.startswith("│")]
    table = {row[0].strip(): row[1].strip() for row in shown}
    assert float(table.pop("answers a second")) > 0
    assert table == {
        "answers": "7",
        "right": "4 (57.14%)",
        "decided by spelling": "4",
        "decided by mathematics": "1",
        "no answer stated": "1",
        "unreadable gold answers (wrong)": "1",
        "accuracy against 4 labels": "50.00%",
        "false positives": "1",
        "false negatives": "1",
    }
    assert "unreadable gold answers (wrong):\n  line 7: gold \\frac{^{2}}{1-}, answer 5\n" in out
    assert "false positives:\n  line 3: gold 18, answer So 9 * 2 = 18. #### 18\n" in out
    assert "false negatives:\n  line 8: gold 12, answer 13\n" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.graded.jsonl", "answers.jsonl"]


def test_the_second_name_is_where_it_is_written(tmp_path: Path, dsmath: Dsmath) -> None:
    file = write(tmp_path / "a.jsonl", [{"gold": "1", "pred": "1"}])
    assert dsmath("grade", str(file), str(tmp_path / "b.jsonl"))[0] == 0
    assert json.loads((tmp_path / "b.jsonl").read_text())["correct"] is True


MISTAKES = {
    '{"gold": "1", "pred": "1"': "F:2: not JSON (Expecting ',' delimiter: line 1 column 26 (char 25))",
    "[1, 2]": "F:2: expected a JSON object with gold and pred or response, not list",
    '{"glod": "1", "pred": "1"}': "F:2: no gold, did you mean gold for glod?; there are glod, pred",
    '{"Gold": "1", "pred": "1"}': "F:2: no gold, did you mean gold for Gold?; there are Gold, pred",
    '{"gold": "1", "prd": "1"}': "F:2: neither pred nor response, did you mean pred for prd?; there are gold, prd",
    '{"gold": "1", "x": 2}': "F:2: neither pred nor response; there are gold, x",
    '{"gold": " ", "pred": "1"}': "F:2: gold is empty; there is nothing to compare with",
    '{"gold": "1", "pred": null}': "F:2: pred = null: expected text",
    '{"gold": ["1"], "pred": "1"}': 'F:2: gold = ["1"]: expected text',
    '{"gold": "1", "pred": "1", "label": "yes"}': 'F:2: label = "yes": expected true or false',
    '{"gold": "1", "pred": "1", "label": 1}': "F:2: label = 1: expected true or false",
    '{"gold": "A", "pred": "A", "choices": "AB"}': 'F:2: choices = "AB": expected a list of texts',
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items(), ids=list(MISTAKES))
def test_a_line_that_is_no_answer_is_named_and_nothing_is_written(
    tmp_path: Path, dsmath: Dsmath, line: str, message: str
) -> None:
    file = write(tmp_path / "a.jsonl", [{"gold": "1", "pred": "1"}, line])
    assert dsmath("grade", str(file)) == (2, "", f"dsmath: {message.replace('F', str(file), 1)}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_files_that_cannot_be_read_or_written(tmp_path: Path, dsmath: Dsmath) -> None:
    file = write(tmp_path / "answers.jsonl", [{"gold": "1", "pred": "1"}])
    (tmp_path / "binary").write_bytes(b"\xff\xfe{}")
    (tmp_path / "empty").write_text("\n\n")
    for arguments, message in {
        ("anwers.jsonl",): "anwers.jsonl: no such file, did you mean answers.jsonl?",
        (str(tmp_path),): f"{tmp_path}: a folder",
        ("binary",): "binary: not UTF-8 text (invalid start byte at byte 0)",
        ("empty",): "empty: no answers in it; expected one JSON object a line, with gold and pred or response",
        (str(file), str(file)): f"{file}: would overwrite the answers; give another file to write to",
        (str(file), "no/b.jsonl"): "no/b.jsonl: cannot be written; no such folder",
        (): "expected: dsmath grade FILE.jsonl [OUT.jsonl]",
        ("a", "b", "c"): "expected: dsmath grade FILE.jsonl [OUT.jsonl]",
    }.items():
        assert dsmath("grade", *arguments) == (2, "", f"dsmath: {message}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "binary", "empty"]


def test_a_mistake_is_told_before_anything_heavy_is_loaded() -> None:
    code = (
        "import sys; from dsmath.cli import main\n"
        "try: main(['grade', 'missing.jsonl'])\n"
        "except SystemExit: print(sorted({'torch', 'sympy', 'hydra', 'rich'} & set(sys.modules)))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"

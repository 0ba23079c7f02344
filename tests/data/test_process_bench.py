"""ProcessBench's files: as they are, and what is wrong with them."""

import json
from pathlib import Path

import pytest

from dsmath.config.schema import Prompt
from dsmath.data.process_bench import GradedSolution, ProcessBench, as_solution, fitting_solutions
from dsmath.errors import UserError
from dsmath.models.scorer import Scorer
from dsmath.models.tokenizer import build_tokenizer

SHARED = Path(__file__).parents[3] / "shared" / "data" / "math" / "processbench"
TOKENIZER = build_tokenizer(vocab_size=512)
PLAIN = Prompt(style="plain", instruction="")


def scorer(context: int = 64) -> Scorer:
    return Scorer(None, TOKENIZER, context)  # type: ignore[arg-type]


def item(label: int = 1) -> GradedSolution:
    return GradedSolution("a", "How many?", ("3 + 4 = 7", "7 * 2 = 15\n= 15", "\\boxed{15}"), label)


def test_steps_end_where_the_marks_put_them_whatever_a_step_holds() -> None:
    found = as_solution(item(), scorer(), style="plain", instruction="", mark="\n")
    assert found is not None
    assert TOKENIZER.decode(found.prompt_tokens) == "How many?\n"
    pieces, start = [], 0
    for step in found.steps:
        pieces.append(TOKENIZER.decode(found.tokens[start : step.end + 1]))
        start = step.end + 1
    assert pieces == ["3 + 4 = 7\n", "7 * 2 = 15\n= 15\n", "\\boxed{15}<|eos|>"]
    assert start == len(found.tokens)
    assert found.completion == "\n".join(item().steps)


@pytest.mark.parametrize("label", [-1, 0, 1, 2])
def test_the_first_wrong_step_is_the_label(label: int) -> None:
    found = as_solution(item(label), scorer(), style="plain", instruction="", mark="\n\n")
    assert found is not None
    assert (found.first_error, found.correct) == (label, label == -1)


def test_items_that_do_not_fit_are_counted() -> None:
    long = GradedSolution("b", "How many?", ("7 = 7",) * 30, -1)
    fitting, left_out = fitting_solutions([item(), long, long], scorer(), prompt=PLAIN, mark="\n")
    assert ([s.id for s in fitting], left_out) == (["a"], 2)


GOOD = {"id": "a", "problem": "?", "steps": ["b"], "label": -1}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"x\.jsonl:2: not a line of JSON"),
        ("[]", r"x\.jsonl:2: expected an object with id, problem, steps, label"),
        (json.dumps({**GOOD, "label": "1"}), r"x\.jsonl:2: label = '1'; expected int"),
        (json.dumps({**GOOD, "label": 1}), r"x\.jsonl:2: label = 1 of 1 steps; expected a step, or -1"),
        (json.dumps({**GOOD, "steps": []}), r"x\.jsonl:2: label = -1 of 0 steps"),
    ],
)
def test_what_is_no_item_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "x.jsonl").write_text(f"{json.dumps(GOOD)}\n{line}\n")
    with pytest.raises(UserError, match=message):
        ProcessBench(path=str(tmp_path))


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        ProcessBench(path=str(tmp_path / "x.jsonl"))
    with pytest.raises(UserError, match=r"without \.jsonl files"):
        ProcessBench(path=str(tmp_path))


@pytest.mark.data
def test_the_published_files_are_read_whole() -> None:
    bench = ProcessBench(path=str(SHARED))
    assert set(bench.parts) == {"gsm8k", "math_half"}
    for part, items in bench.parts.items():
        lines = (SHARED / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(items) == sum(bool(line.strip()) for line in lines)
    gsm8k = bench.parts["gsm8k"]
    assert len(gsm8k) == 400
    assert sum(item.label < 0 for item in gsm8k) == 193  # Table 1 of the paper: 207 erroneous, 193 correct
    found = as_solution(gsm8k[0], scorer(100_000), style="plain", instruction="", mark="\n\n")
    assert found is not None
    assert (found.first_error, len(found.steps)) == (gsm8k[0].label, len(gsm8k[0].steps))

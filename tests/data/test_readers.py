"""Readers: what becomes a problem, and what a person is told about a file that cannot be read."""

import builtins
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from dsmath.data.formats import last_boxed
from dsmath.data.readers import HuggingFaceDataset, JsonLines
from dsmath.errors import UserError

REAL = Path(__file__).parents[2] / "../shared/data/math"
ORIGINAL = {"question": "How many?", "answer": "Half of 2,000 is <<2000/2=1000>>1,000.\n#### 1,000"}
SEPARATE = {"id": "a", "question": "How many?", "solution": "Half is <<4/2=2>>2.", "answer": "2"}
MATH = {
    "problem": "Find $x$.",
    "solution": r"So $x=\boxed{\frac{1}{2}}$.",
    "level": "Level 5",
    "type": "Algebra",
}


def write(folder: Path, *rows: Any, name: str = "train.jsonl") -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    (folder / name).write_bytes(b"\n".join(lines) + b"\n" if lines else b"")
    return folder / name


def reader(folder: Path, format: str = "gsm8k", validation_size: int = 0, **files: str | None) -> JsonLines:
    named: dict[str, Any] = {"train": "train.jsonl", "validation": None, "test": None, **files}
    return JsonLines(path=str(folder), format=format, validation_size=validation_size, **named)  # type: ignore[arg-type]


def message(source: JsonLines | HuggingFaceDataset, split: Any = "train") -> str:
    with pytest.raises(UserError) as caught:
        source.split(split)
    return str(caught.value)


def test_gsm8k_loses_its_calculator_marks_and_commas_and_ends_in_a_box(tmp_path: Path) -> None:
    write(tmp_path, ORIGINAL, SEPARATE)
    first, second = reader(tmp_path).split("train")
    assert (first.id, first.answer) == ("train-1", "1000")
    assert first.solution == "Half of 2,000 is 1,000.\n\\boxed{1000}"
    assert (second.id, second.solution, second.answer) == ("a", "Half is 2.\n\\boxed{2}", "2")


def test_a_solution_that_already_ends_in_its_box_gets_no_second_one(tmp_path: Path) -> None:
    write(tmp_path, {**SEPARATE, "solution": r"It is \boxed{2}"})
    assert reader(tmp_path).split("train")[0].solution == r"It is \boxed{2}"


def test_math_takes_the_answer_from_the_last_box_and_keeps_level_and_subject(tmp_path: Path) -> None:
    write(tmp_path, MATH, {**MATH, "solution": "Half.", "answer": "0.5"})
    first, second = reader(tmp_path, "math").split("train")
    assert first.answer == r"\frac{1}{2}"
    assert first.tags == {"level": 5, "subject": "Algebra"}
    assert (second.solution, second.answer) == ("Half.\n\\boxed{0.5}", "0.5")


def test_problems_with_an_empty_box_are_left_out_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path, MATH, {**MATH, "solution": r"There are $\boxed{}$ primes.", "answer": ""})
    with caplog.at_level(logging.WARNING):
        assert len(reader(tmp_path, "math").split("train")) == 1
    assert caplog.messages == [f"{file}: 1 of 2 left out, their box is empty: line 2"]


def test_validation_is_the_end_of_train_and_train_lacks_it(tmp_path: Path) -> None:
    write(tmp_path, *({**SEPARATE, "id": str(index)} for index in range(10)))
    source = reader(tmp_path, validation_size=3)
    assert [problem.id for problem in source.split("validation")] == ["7", "8", "9"]
    assert [problem.id for problem in source.split("train")] == [str(index) for index in range(7)]
    assert source.inputs() == {"train": tmp_path / "train.jsonl"}


def test_a_validation_file_leaves_train_whole(tmp_path: Path) -> None:
    write(tmp_path, SEPARATE, SEPARATE)
    write(tmp_path, ORIGINAL, name="dev.jsonl")
    source = reader(tmp_path, validation="dev.jsonl", validation_size=1)
    assert (len(source.split("train")), len(source.split("validation"))) == (2, 1)


def test_nothing_is_read_before_a_split_is_asked_for(tmp_path: Path) -> None:
    source = reader(tmp_path / "not there yet")
    write(tmp_path, SEPARATE)
    assert message(source) == f"{tmp_path}/not there yet: no such folder"


def test_a_byte_order_mark_and_blank_lines_are_no_mistakes(tmp_path: Path) -> None:
    write(tmp_path, b"\xef\xbb\xbf" + json.dumps(SEPARATE).encode(), b"", b"  ")
    assert len(reader(tmp_path).split("train")) == 1


def test_a_missing_file_names_the_nearest_one_and_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, SEPARATE, name="training.jsonl")
    write(tmp_path, SEPARATE, name="test.jsonl")
    told = "no such file, did you mean training.jsonl? (the folder has test.jsonl, training.jsonl)"
    assert message(reader(tmp_path)) == f"{tmp_path}/train.jsonl: {told}"
    with pytest.raises(UserError, match=r"train\.jsonl: no such file"):
        reader(tmp_path).inputs()


def test_a_missing_folder_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    assert message(reader(tmp_path / "gms8k")) == f"{tmp_path}/gms8k: no such folder, did you mean {tmp_path}/gsm8k?"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"question": "a" "answer"}', "not JSON: Expecting ',' delimiter at column 18"),
        (b'{"question": "caf\xe9"}', "not UTF-8: byte 0xe9 at column 18"),
        (b"[1]", "expected a JSON object with fields, found a list"),
        (b'{"qestion": "a"}', 'no field "question", did you mean qestion? (found: qestion)'),
        (b'{"question": " ", "answer": "#### 1"}', 'field "question" is empty'),
        (b'{"question": "a", "answer": 42}', 'field "answer" is a number, expected text'),
        (b'{"question": "a", "solution": null, "answer": "1"}', 'field "solution" is null, expected text'),
        (
            b'{"question": "a", "answer": "42"}',
            'no answer found: "answer" has no `#### 42`, and there is no field "solution" beside it',
        ),
        (b'{"question": "a", "answer": "b ####"}', 'no answer found: nothing after "####"'),
    ],
)
def test_a_bad_line_is_told_with_its_place(tmp_path: Path, line: bytes, told: str) -> None:
    file = write(tmp_path, SEPARATE, line)
    assert message(reader(tmp_path)) == f"{file}: 1 of 2 lines cannot be read as gsm8k problems:\n  {file}:2: {told}"


def test_a_math_solution_without_a_box_or_an_answer(tmp_path: Path) -> None:
    file = write(tmp_path, {"problem": "a", "solution": "It is 3."}, {**MATH, "answer": 3})
    assert message(reader(tmp_path, "math")) == (
        f"{file}: 2 of 2 lines cannot be read as math problems:\n"
        f'  {file}:1: no answer found: "solution" has no \\boxed{{…}}, and there is no field "answer"\n'
        f'  {file}:2: field "answer" is a number, expected text'
    )


def test_many_mistakes_are_five_and_a_count(tmp_path: Path) -> None:
    write(tmp_path, *[b"{"] * 8, SEPARATE)
    lines = message(reader(tmp_path)).splitlines()
    assert lines[0].endswith("8 of 9 lines cannot be read as gsm8k problems:")
    assert len(lines) == 7
    assert lines[-1] == "  … and 3 more"


def test_an_empty_file(tmp_path: Path) -> None:
    assert message(reader(write(tmp_path).parent)) == f"{tmp_path}/train.jsonl: it has no problems (it is empty)"


def test_a_split_without_a_file(tmp_path: Path) -> None:
    write(tmp_path, SEPARATE)
    assert message(reader(tmp_path), "test") == f"{tmp_path}: the split test is asked for, but `test` is null"
    expected = f"{tmp_path}: the split validation is asked for, but `train` is null"
    assert message(reader(tmp_path, train=None), "validation") == expected


def test_more_validation_than_problems(tmp_path: Path) -> None:
    write(tmp_path, SEPARATE)
    expected = f"{tmp_path}: validation_size=1 cannot be held out of the 1 problems of train.jsonl"
    assert message(reader(tmp_path, validation_size=1)) == expected


def hub(path: str, **names: Any) -> HuggingFaceDataset:
    arguments: dict[str, Any] = {"name": None, "train": "train", "validation": None, "test": "test", **names}
    return HuggingFaceDataset(path=path, format="gsm8k", validation_size=0, **arguments)


def test_without_the_package_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "datasets":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", absent)
    expected = "openai/gsm8k: reading it needs the package datasets: pip install 'dsmath[datasets]'"
    assert message(hub("openai/gsm8k")) == expected


def test_a_local_data_set_is_read_as_jsonl_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    data = tmp_path / "data"
    data.mkdir()
    write(data, SEPARATE, {**SEPARATE, "question": ""})
    write(data, SEPARATE, name="test.jsonl")
    assert hub(str(data)).split("test") == reader(data, test="test.jsonl").split("test")
    assert message(hub(str(data))).endswith(f'\n  {data}, train, row 2: field "question" is empty')
    assert "the data set's split 'tran' cannot be loaded: Unknown split" in message(hub(str(data), train="tran"))
    assert set(hub(str(data)).inputs()) == {"train.jsonl", "test.jsonl"}


def test_an_unreachable_or_mistyped_data_set_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    (tmp_path / "gsm8k").mkdir()
    near = f"{tmp_path}/gms8k: no such folder, and no hub name (OWNER/NAME), did you mean {tmp_path}/gsm8k?"
    assert message(hub(f"{tmp_path}/gms8k")) == near

    def unreachable(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", unreachable)
    expected = "nobody/nothing: no such folder, and the hub cannot be reached (no route)"
    assert message(hub("nobody/nothing")) == expected


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}, which is not part of the project")
@pytest.mark.parametrize(("format", "test", "total"), [("gsm8k", "test.jsonl", 7473), ("math", None, 7498)])
def test_the_real_files_are_read_whole(format: str, test: str | None, total: int) -> None:
    source = reader(REAL / format, format, validation_size=256, test=test)
    assert len(source.split("train")) + len(source.split("validation")) == total
    every = [problem for split in ("train", "validation") for problem in source.split(split)]  # type: ignore[arg-type]
    assert [problem.id for problem in every if last_boxed(problem.solution) != problem.answer] == []
    assert not any("<<" in problem.solution for problem in every if format == "gsm8k")
    assert len({problem.id for problem in every}) == total

"""Benchmarks: where their problems come from, what is said when they are not there, and the real files read whole."""

import json
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from dsmath.config import places
from dsmath.config.compose import Composer, composer
from dsmath.data.benchmarks import BenchmarkFile
from dsmath.data.formats import last_boxed
from dsmath.data.problem import Problem
from dsmath.errors import UserError

REAL = Path(__file__).parents[2] / "../shared/data/math"
FILES = sorted(places.root("conf").glob("benchmark/*.yaml"))
NAMES = [file.stem for file in FILES if file.stem != "held_out"]
ROW = {"question": "1 + 1?", "answer": "#### 2"}


def write(folder: Path, *rows: Any, name: str = "gsm8k/test.jsonl") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def benchmark(folder: Path | str | None, **changed: Any) -> BenchmarkFile:
    arguments: dict[str, Any] = {"file": "gsm8k/test.jsonl", "format": "gsm8k", "hub": "openai/gsm8k", "name": "main"}
    place = None if folder is None else str(folder)
    return BenchmarkFile(folder=place, hub_split="test", **{**arguments, **changed})


def message(source: BenchmarkFile, split: Any = "test") -> str:
    with pytest.raises(UserError) as caught:
        source.split(split)
    return str(caught.value)


def test_problems_come_from_the_file_below_the_folder_and_get_ids(tmp_path: Path) -> None:
    file = write(tmp_path, ROW, {**ROW, "answer": "#### 3"})
    source = benchmark(tmp_path)
    assert [(p.id, p.answer) for p in source.split("test")] == [("gsm8k/test-1", "2"), ("gsm8k/test-2", "3")]
    assert source.split("test") is source.split("test")
    assert source.inputs() == {"test": file}


def test_ids_that_repeat_become_numbers(tmp_path: Path) -> None:
    write(tmp_path, {**ROW, "id": 7}, {**ROW, "id": 8})
    assert [problem.id for problem in benchmark(tmp_path).split("test")] == ["7", "8"]
    write(tmp_path, {**ROW, "id": 7}, {**ROW, "id": 7})
    assert [problem.id for problem in benchmark(tmp_path).split("test")] == ["gsm8k/test-1", "gsm8k/test-2"]


def test_a_table_of_questions_and_answers(tmp_path: Path) -> None:
    file = tmp_path / "mgsm_zh.tsv"
    file.write_text('多少"？\t1,000\n几个？\t3\n', encoding="utf-8")
    source = benchmark(tmp_path, file="mgsm_zh.tsv", format="mgsm")
    assert [(p.question, p.answer) for p in source.split("test")] == [('多少"？', "1000"), ("几个？", "3")]
    file.write_text("多少？\t1\n几个？\n", encoding="utf-8")
    source = benchmark(tmp_path, file="mgsm_zh.tsv", format="mgsm")
    assert message(source).endswith(f'\n  {file}:2: no field "answer" (found: question)')


def test_a_json_list_is_read_as_json_lines_are(tmp_path: Path) -> None:
    file = tmp_path / "SVAMP.json"
    row = {"ID": "chal-1", "Body": "Tom has 3 pens.", "Question": "How many?", "Answer": 3.0, "Equation": "3.0"}
    file.write_text(json.dumps([row, {**row, "ID": "chal-2"}], indent=2), encoding="utf-8")
    source = benchmark(tmp_path, file="SVAMP.json", format="svamp")
    assert [(p.id, p.answer) for p in source.split("test")] == [("chal-1", "3"), ("chal-2", "3")]
    file.write_text(json.dumps([row, 7]), encoding="utf-8")
    told = f"{file}: 1 of 2 rows cannot be read as svamp problems:\n  {file}, row 2: expected a JSON object with fields"
    assert message(benchmark(tmp_path, file="SVAMP.json", format="svamp")).startswith(told)
    file.write_text("[{", encoding="utf-8")
    assert message(benchmark(tmp_path, file="SVAMP.json", format="svamp")).startswith(f"{file}: not JSON: Expecting")


def test_broken_rows_are_told_with_their_lines(tmp_path: Path) -> None:
    file = write(tmp_path, ROW, {"question": "q"}, {"question": "", "answer": "#### 1"})
    assert message(benchmark(tmp_path)) == (
        f"{file}: 2 of 3 lines cannot be read as gsm8k problems:\n"
        f'  {file}:2: no field "answer" (found: question)\n'
        f'  {file}:3: field "question" is empty'
    )


def test_a_benchmark_has_one_split(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    told = "gsm8k/test.jsonl: a benchmark has the split test alone, train was asked for"
    assert message(benchmark(tmp_path), "train") == told


def test_without_a_folder_both_ways_to_the_problems_are_told() -> None:
    told = (
        "paths.benchmarks is not set: the folder that holds gsm8k/test.jsonl; paths.benchmarks=FOLDER, or "
        "paths.benchmarks=hub for openai/gsm8k on the Hugging Face hub (docs/benchmarks.md says where each file "
        "comes from)"
    )
    assert message(benchmark(None)) == told
    with pytest.raises(UserError, match=r"paths\.benchmarks is not set"):
        benchmark(None).inputs()
    assert "hub" not in message(benchmark(None, hub=None))


def test_a_missing_folder_or_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, ROW, name="gsm8k/tests.jsonl")
    told = f"{tmp_path}/gsm8k/test.jsonl: no such file, did you mean gsm8k/tests.jsonl? (docs/benchmarks.md says where"
    assert message(benchmark(tmp_path)).startswith(told)
    told = f"paths.benchmarks = {tmp_path}/gms8k: no such folder, did you mean {tmp_path}/gsm8k?"
    assert message(benchmark(tmp_path / "gms8k")) == told


def test_the_hub_is_asked_for_the_data_set_that_the_config_names(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str]] = []

    def rows(path: str, name: str | None, split: str) -> list[dict[str, str]]:
        asked.append((path, name, split))
        return [ROW]

    monkeypatch.setattr("dsmath.data.benchmarks.load_rows", rows)
    source = benchmark("hub")
    assert [problem.id for problem in source.split("test")] == ["gsm8k/test-1"]
    assert asked == [("openai/gsm8k", "main", "test")]
    assert source.inputs() == {}
    assert message(benchmark("hub", hub=None)).startswith(
        "paths.benchmarks = hub: no data set of the hub is known for gsm8k/test.jsonl; name one with eval."
    )


def test_a_local_folder_in_place_of_the_hubs_data_set_is_fingerprinted(tmp_path: Path) -> None:
    file = write(tmp_path, ROW, name="test.jsonl")
    assert benchmark("hub", hub=str(tmp_path)).inputs() == {"test.jsonl": file}


@pytest.fixture(scope="module")
def compose() -> Any:
    with composer() as made:
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_is_one_file_that_composes(compose: Composer, name: str) -> None:
    evaluation = compose.one([f"benchmark={name}", "paths.benchmarks=FOLDER"]).experiment.eval
    assert list(evaluation.benchmarks) == [name]
    source = evaluation.benchmarks[name].problems.build()
    assert source.folder == "FOLDER"
    assert evaluation.benchmarks[name].split == "test"


def test_the_folder_is_null_until_it_is_set(compose: Composer) -> None:
    null = compose.one(["benchmark=gsm8k"]).experiment.eval.benchmarks["gsm8k"]
    assert "paths.benchmarks is not set" in message(null.problems.build(), null.split)


def test_several_benchmarks_at_once(compose: Composer) -> None:
    made = compose.one(["benchmark=[held_out,gsm8k,cmath]", "paths.benchmarks=FOLDER"]).experiment.eval.benchmarks
    assert {name: (b.language, b.symbolic) for name, b in made.items()} == {
        "held_out": ("en", False),
        "gsm8k": ("en", False),
        "cmath": ("zh", False),
    }


def test_files_say_what_they_are_and_whose() -> None:
    for file in FILES:
        lines = file.read_text(encoding="utf-8").splitlines()
        assert lines[0] == f"# @package eval.benchmarks.{file.stem}"
        assert lines[1].startswith("# ")
        if file.stem in NAMES:
            assert re.search(r"licence|MIT|CC BY|Apache", lines[1]), file.name
            assert re.search(r"\b\d{2,4}\b", re.sub(r"\([^()]*\)", "", lines[1])), file.name  # how many


def real(name: str, **changed: Any) -> list[Problem]:
    config = OmegaConf.to_container(
        OmegaConf.create(yaml.safe_load((places.root("conf") / "benchmark" / f"{name}.yaml").read_text("utf-8"))),
        resolve=False,
    )
    assert isinstance(config, dict)
    arguments = {**config["problems"], "folder": str(REAL), **changed}
    del arguments["_target_"]
    return list(BenchmarkFile(**arguments).split("test"))


needs_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"needs {REAL}, which is not part of the project")
COUNTS = {
    "gsm8k": 1319,
    "svamp": 1000,
    "asdiv": 2215,
    "multiarith": 600,
    "aqua": 254,
    "mathqa": 1000,
    "gsm_hard": 1319,
}


@pytest.mark.data
@needs_data
@pytest.mark.parametrize("name", COUNTS)
def test_every_row_of_a_real_file_is_a_problem(name: str) -> None:
    problems = real(name)
    assert len(problems) == len({problem.id for problem in problems}) == COUNTS[name]
    for problem in problems:
        assert problem.question.strip()
        assert problem.answer.strip()
        assert last_boxed(problem.solution) == problem.answer
        if problem.choices:
            assert problem.answer in "ABCDE"[: len(problem.choices)]
            assert all(f"({'ABCDE'[i]}) {choice}" in problem.question for i, choice in enumerate(problem.choices))
    assert {len(problem.choices) for problem in problems} == ({5} if name in ("aqua", "mathqa") else {0})


@pytest.mark.data
@needs_data
def test_the_real_maths_training_set_is_read_but_for_its_two_empty_boxes() -> None:
    problems = real("math", file="math/train.jsonl")
    assert len(problems) == 7498
    assert all(problem.answer for problem in problems)
    levels = Counter(problem.tags["level"] for problem in problems)
    assert {level for level in levels if isinstance(level, int)} == {1, 2, 3, 4, 5}
    assert sum(levels[level] for level in range(1, 6)) == 7496  # the file itself says "Level ?" twice


@pytest.mark.data
@needs_data
def test_real_svamp_answers_are_the_values_of_their_equations() -> None:
    """Python's own arithmetic on fractions is the witness; five answers that the file rounds are exact."""
    rows = [json.loads(line) for line in (REAL / "svamp/test.jsonl").read_text("utf-8").splitlines()]
    golds = {problem.id: problem.answer for problem in real("svamp")}
    values = {row["id"]: eval(re.sub(r"[\d.]+", r"Fraction('\g<0>')", row["equation"])) for row in rows}
    different = {key for key, value in values.items() if Fraction(golds[key]) != value}
    repaired = {row["id"] for row in rows if "e" in row["answer"]}
    assert len(repaired) == 5
    assert different == {"chal-680"}  # 4 - 2 + 3 apples, of which the file says 1: its gold answer stays


@pytest.mark.data
@needs_data
def test_real_asdiv_answers_are_numbers_but_for_what_is_listed_here() -> None:
    answers = [problem.answer for problem in real("asdiv")]
    kinds = Counter(
        "number" if re.fullmatch(r"\d+(\.\d+)?", a)
        else "fraction" if re.fullmatch(r"\d+/\d+|-\(1/3\)", a)
        else "ratio or time" if re.fullmatch(r"\d+:\d+(:\d+)?( [ap]\.m\.)?", a)
        else "words"
        for a in answers
    )  # fmt: skip
    assert kinds == {"number": 2084, "fraction": 9, "ratio or time": 60, "words": 62}


@pytest.mark.data
@needs_data
def test_options_of_real_mathqa_lose_their_labels_and_nothing_else() -> None:
    """Cut another way: by the exact text between two options, of the rows that are written without slips."""
    rows = [json.loads(line) for line in (REAL / "mathqa/test.jsonl").read_text("utf-8").splitlines()]
    checked = 0
    for row, problem in zip(rows, real("mathqa"), strict=True):
        parts = re.split(r"(?:^| , )[a-e] \) ", row["options"])
        if len(parts) == 6 and parts[0] == "" and not any(re.match(r"[a-e] [).]", part) for part in parts):
            assert problem.choices == tuple(part.strip() for part in parts[1:])
            checked += 1
    assert checked > 950

"""The embedded word problems: right answers, disjoint splits, and demonstrations that are wrong as often as stated."""

import io
import re
from contextlib import redirect_stdout
from typing import Any

import pytest

from dsmath.data.problem import Problem
from dsmath.data.word_problems import ProgramWordProblems, WordProblems
from dsmath.errors import UserError


def problems(**changes: Any) -> WordProblems:
    defaults: dict[str, Any] = {
        "seed": 0,
        "difficulty": 1,
        "max_steps": 3,
        "careless_share": 0.6,
        "train_size": 10_000_000,
        "validation_size": 500,
        "test_size": 500,
    }
    return WordProblems(**(defaults | changes))


def problems_with_programs(**changes: Any) -> ProgramWordProblems:
    plain = problems(**changes)
    return ProgramWordProblems(
        seed=plain.seed, difficulty=plain.largest // 20, max_steps=plain.max_steps, careless_share=plain.careless_share,
        **{f"{name}_size": size for name, size in plain.sizes.items()},
    )  # fmt: skip


def recompute(solution: str) -> str:
    """Follow a solution with arithmetic of our own; each step has to continue from the one before."""
    *steps, box = solution.split("\n")
    result: int | None = None
    for step in steps:
        match = re.fullmatch(r"(\d+) ([-+*/]) (\d+) = (\d+)", step)
        assert match, step
        left, operand, stated = int(match[1]), int(match[3]), int(match[4])
        assert result is None or left == result, solution
        if match[2] == "/":
            assert stated * operand == left, step
        else:
            assert {"+": left + operand, "-": left - operand, "*": left * operand}[match[2]] == stated, step
        result = stated
    assert box == f"\\boxed{{{result}}}"
    return str(result)


def numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def is_right(problem: Problem) -> bool:
    return recompute(problem.solution) == problem.answer


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("difficulty", [1, 3])
def test_held_out_solutions_compute_the_answer(split: Any, difficulty: int) -> None:
    for problem in problems(difficulty=difficulty).split(split):
        assert is_right(problem)
        assert problem.tags["solver"] == "careful"


def test_a_demonstration_is_wrong_exactly_when_its_solver_is_careless() -> None:
    for problem in problems().split("train")[:3000]:
        assert is_right(problem) == (problem.tags["solver"] == "careful"), problem


def test_a_careful_solution_uses_each_number_of_the_question_once() -> None:
    for problem in problems(careless_share=0.0).split("train")[:1000]:
        units = {"dozen": 12, "weeks": 7, "years": 12}
        used = [n for step in problem.solution.split("\n")[:-1] for n in numbers(step.split("=")[0])]
        results = numbers(" ".join(step.split("=")[1] for step in problem.solution.split("\n")[:-2]))
        asked = numbers(problem.question) + [size for unit, size in units.items() if f" {unit}" in problem.question]
        assert sorted(used) == sorted(asked + results), problem


def test_a_hasty_solver_leaves_out_the_last_step() -> None:
    hasty = [p for p in problems().split("train")[:500] if p.tags["solver"] == "hasty"]
    assert hasty
    for problem in hasty:
        assert problem.solution.count("=") == int(problem.tags["steps"]) - 1


def test_a_misreader_does_every_step_with_another_unit() -> None:
    misread = [p for p in problems().split("train")[:1000] if p.tags["solver"] == "misreader"]
    assert misread
    for problem in misread:
        assert re.search(r"dozen|weeks|years", problem.question)
        assert problem.solution.count("=") == problem.tags["steps"]
        assert numbers(problem.solution)[1] in (5, 10)


def test_the_share_of_careless_demonstrations_is_the_one_asked_for() -> None:
    # Every problem of two steps or more can be cut short, so the share among them is the argument itself.
    for share in (0.0, 0.3, 0.6, 1.0):
        several = [p for p in problems(careless_share=share).split("train")[:3000] if int(p.tags["steps"]) > 1]
        careless = sum(p.tags["solver"] != "careful" for p in several)
        deviation = (share * (1 - share) * len(several)) ** 0.5
        assert abs(careless - share * len(several)) <= 4 * deviation


def test_the_splits_share_no_question_even_between_seeds() -> None:
    sizes = {"validation_size": 1500, "test_size": 1500}
    questions = {
        name: {p.question for seed in (0, 1) for p in problems(seed=seed, **sizes).split(name)[:1500]}
        for name in ("train", "validation", "test")
    }
    assert not questions["train"] & questions["validation"]
    assert not questions["train"] & questions["test"]
    assert not questions["validation"] & questions["test"]


@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_thousand_training_questions_are_all_different(seed: int) -> None:
    train = problems(seed=seed).split("train")
    assert len({train[i].question for i in range(20_000)}) == 20_000


def test_a_problem_depends_on_seed_split_and_index_alone() -> None:
    one, two = problems().split("train"), problems(validation_size=7).split("train")
    backwards = [two[i] for i in reversed(range(50))][::-1]
    assert one[:50] == backwards
    assert one[len(one) - 1] == one[-1]
    assert problems(seed=1).split("train")[:50] != backwards


def test_a_split_behaves_as_a_sequence() -> None:
    validation = problems(validation_size=20).split("validation")
    assert len(validation) == 20
    assert [p.id for p in validation] == [f"validation-{i}" for i in range(20)]
    assert validation[-1] == validation[19]
    with pytest.raises(IndexError):
        validation[20]


def test_difficulty_bounds_the_quantities_and_makes_them_larger() -> None:
    means = []
    for difficulty in (1, 2, 4):
        sample = problems(difficulty=difficulty, careless_share=0.0).split("train")[:1000]
        used = [n for problem in sample for n in numbers(problem.solution)]
        assert max(used) <= 20 * difficulty
        assert min(used) >= 1
        means.append(sum(used) / len(used))
    assert means == sorted(means)
    assert means[2] > 2 * means[0]


@pytest.mark.parametrize("max_steps", [1, 2, 4])
def test_problems_have_one_to_max_steps_operations_of_every_kind(max_steps: int) -> None:
    sample = problems(max_steps=max_steps).split("train")[:1000]
    assert {p.tags["steps"] for p in sample} == set(range(1, max_steps + 1))
    assert all(len(str(p.tags["operations"])) == p.tags["steps"] for p in sample)
    assert set("".join(str(p.tags["operations"]) for p in sample)) == set("+-*/")


@pytest.mark.parametrize(
    "changes",
    [
        {"difficulty": 0},
        {"max_steps": 0},
        {"careless_share": 1.5},
        {"careless_share": -0.1},
        {"train_size": -1},
        {"test_size": -1},
    ],
)
def test_impossible_values_are_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"{next(iter(changes))}=.*expected"):
        problems(**changes)


def test_an_unknown_split_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UserError, match="did you mean validation"):
        problems().split("valdation")  # type: ignore[arg-type]


# Tool-integrated demonstrations


def test_a_programs_output_is_what_running_it_prints_and_stands_in_the_box() -> None:
    changes = {"train_size": 600, "validation_size": 100, "test_size": 0, "difficulty": 3, "max_steps": 4}
    plain, programs = problems(**changes), problems_with_programs(**changes)
    for split in ("train", "validation"):
        for text, program in zip(plain.split(split), programs.split(split), strict=True):
            match = re.fullmatch(
                r"```python\n(.*)```\n```output\n(\d+)\n```\n\\boxed\{(\d+)\}", program.solution, re.DOTALL
            )
            assert match, program.solution
            printed = io.StringIO()
            with redirect_stdout(printed):
                exec(match[1], {})
            assert printed.getvalue() == f"{match[2]}\n"
            assert match[2] == match[3] == recompute(text.solution)
            assert (program.question, program.answer, program.tags) == (text.question, text.answer, text.tags)


def test_a_program_takes_the_steps_of_the_chain() -> None:
    program = next(p for p in problems_with_programs().split("train") if p.tags["operations"] == "*-/")
    numbers_in_it = numbers(program.solution)
    assert program.solution.split("\n")[1:-5] == [
        f"x = {numbers_in_it[0]}",
        f"x = x * {numbers_in_it[1]}",
        f"x = x - {numbers_in_it[2]}",
        f"x = x // {numbers_in_it[3]}",
        "print(x)",
    ]

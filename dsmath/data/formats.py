"""A row of a data set → a problem: the fields of GSM8K and MATH, and of the benchmarks that models are compared on."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from dsmath.data import rows
from dsmath.data.choices import read_choices, right_letter
from dsmath.data.problem import Problem
from dsmath.data.rows import EmptyBoxError, Row, RowError

Format = Literal["gsm8k", "math"]
BenchmarkFormat = Literal[
    "gsm8k",
    "math",
    "svamp",
    "asdiv",
    "multiarith",
    "gsm_hard",
    "cmath",
    "mgsm",
    "ocw",
    "cloze",
    "choices",
    "choices_zh",
]

CALCULATOR_MARK = re.compile(r"<<[^<>]*>>")
# ASDiv writes equations with units, `2 (dime)*10 (cent/dime)=20`, and the remainder of a division, `7/2=3 r1`.
_UNIT = re.compile(r"\([A-Za-z/ ]+\)")
_CALCULATION = re.compile(r"([-+*/().\d\s]+)=\s*-?[\d.]+(?:\s*r\s*\d+)?\s*")
_OPERATOR = re.compile(r"(?<=[\d)])\s*[-+*/]")


def gsm8k_problem(row: Row, fallback_id: str) -> Problem:
    """GSM8K's fields: `question` and `answer` with its `#### 42`, or `question`, `solution` and a bare `answer`.

    Calculator marks `<<48/2=24>>` and thousands commas go, and the solution ends in the answer's box; the tag `steps`
    counts the marks, or lines where there are none. DeepSeek-Math's files say `cot` for `solution`. Raises RowError.
    """
    question, answer = rows.text(row, "question"), rows.text(row, "answer")
    field = next((name for name in ("solution", "cot") if name in row), None)
    solution = rows.text(row, field) if field else answer
    if field is None and "####" not in answer:
        raise RowError('no answer found: "answer" has no `#### 42`, and there is no field "solution" beside it')
    answer = rows.without_commas(answer.rpartition("####")[2].strip())
    if not answer:
        raise RowError('no answer found: nothing after "####"')
    solution = solution.partition("####")[0]
    steps = len(CALCULATOR_MARK.findall(solution)) or len([line for line in solution.splitlines() if line.strip()])
    solution = CALCULATOR_MARK.sub("", solution).strip()
    return Problem(rows.identity(row, fallback_id), question, _boxed(solution, answer), answer, {"steps": steps})


def math_problem(row: Row, fallback_id: str) -> Problem:
    """MATH's fields: `problem`, `solution` with a box, maybe `answer`, `level`, `type`, `subject`. Raises RowError."""
    question, solution = rows.text(row, "problem"), rows.text(row, "solution")
    boxed = last_boxed(solution)
    given = row.get("answer")
    if given is not None and not isinstance(given, str):
        raise RowError(f'field "answer" is {rows.kind(given)}, expected text')
    answer = (given or boxed or "").strip()
    if not answer and boxed is None:
        raise RowError('no answer found: "solution" has no \\boxed{…}, and there is no field "answer"')
    if not answer:
        raise EmptyBoxError
    if boxed is None:
        solution = f"{solution}\n\\boxed{{{answer}}}"
    tags = rows.tags(row, level="level", type="subject", subject="subject")
    return Problem(rows.identity(row, fallback_id), question, solution, answer, tags)


def svamp_problem(row: Row, fallback_id: str) -> Problem:
    """SVAMP's fields: `Body` and `Question` (or `question`), `Answer`, `Equation`, `Type`, in either case of letters.

    A copy that rounds large answers (`1.20156e+06`) gets them from the equation. `steps` counts the equation's
    operators. Raises RowError.
    """
    row = rows.lower(row)
    question = " ".join(rows.text(row, field) for field in ("body", "question") if field != "body" or field in row)
    answer = rows.number(row, "answer")
    equation = row.get("equation")
    tags = rows.tags(row, type="type")
    if isinstance(equation, str):
        tags["steps"] = len(_OPERATOR.findall(equation))
        if "e" in str(row["answer"]).lower():
            answer = rows.tidy_number(float(rows.calculate(equation)))
    return Problem(rows.identity(row, fallback_id), question, _boxed("", answer), answer, tags)


def asdiv_problem(row: Row, fallback_id: str) -> Problem:
    """ASDiv's fields: `body` and `question`, `answer` with its unit (`9 (apples)`), `formula`, `solution_type`.

    Units go, and several answers (`20 (x); 15 (y)`) are joined by commas; one that is no number (`Yes`, `3:4`, `5:45`)
    stays as it is. `steps` counts the operators where the formula only calculates. Raises RowError.
    """
    question = " ".join(rows.text(row, field) for field in ("body", "question") if field != "body" or field in row)
    answer = ", ".join(re.sub(r"\s+\([^()]*\)$", "", part.strip()) for part in rows.text(row, "answer").split(";"))
    tags = rows.tags(row, type="type", solution_type="type")
    if isinstance(formula := row.get("formula"), str) and (steps := _operators(formula)) is not None:
        tags["steps"] = steps
    return Problem(rows.identity(row, fallback_id), question, _boxed("", answer), answer, tags)


def multiarith_problem(row: Row, fallback_id: str) -> Problem:
    """MultiArith's fields: `question` and `final_ans`, or `answer`. Raises RowError."""
    answer = rows.number(row, "final_ans" if "final_ans" in row else "answer")
    return Problem(rows.identity(row, fallback_id), rows.text(row, "question"), _boxed("", answer), answer)


def gsm_hard_problem(row: Row, fallback_id: str) -> Problem:
    """GSM-Hard's fields: `input` and `target`, a float whose rounding noise goes (`-9867630.0`). Raises RowError."""
    answer = rows.number(row, "target")
    return Problem(rows.identity(row, fallback_id), rows.text(row, "input"), _boxed("", answer), answer)


def cmath_problem(row: Row, fallback_id: str) -> Problem:
    """CMATH's fields: `question`, `golden`, `grade`, `reasoning_step`, `num_digits`. Raises RowError."""
    answer = rows.number(row, "golden")
    tags = rows.tags(row, grade="grade", reasoning_step="steps", num_digits="digits")
    return Problem(rows.identity(row, fallback_id), rows.text(row, "question"), _boxed("", answer), answer, tags)


def mgsm_problem(row: Row, fallback_id: str) -> Problem:
    """MGSM's fields: `question` and `answer_number`, or `answer` as in its tab-separated files.

    DeepSeek-Math's file has the question as a chat's first of `messages`. Raises RowError.
    """
    answer = rows.number(row, "answer_number" if row.get("answer_number") is not None else "answer")
    messages = row.get("messages")
    if isinstance(messages, Sequence) and messages and isinstance(messages[0], Mapping):
        row = {**row, "question": messages[0].get("content")}
    return Problem(rows.identity(row, fallback_id), rows.text(row, "question"), _boxed("", answer), answer)


def ocw_problem(row: Row, fallback_id: str) -> Problem:
    """OCWCourses' fields, which are MATH's. Raises RowError.

    An answer in a computer's notation, `4.5e33`, becomes `4.5 \\times 10^{33}`.
    """
    problem = math_problem(row, fallback_id)
    number = re.fullmatch(r"(-?\d+(?:\.\d+)?)e\+?(-?\d+)", problem.answer)
    if number is None:
        return problem
    answer = f"{number[1]} \\times 10^{{{int(number[2])}}}"
    return replace(problem, answer=answer, solution=_boxed(problem.solution, answer))


def cloze_problem(row: Row, fallback_id: str) -> Problem:
    """AGIEval's fields where there is nothing to choose from: `question`, `answer`, maybe `other` with a solution.

    The answers to several blanks, `$5$; $10$` in the file, become a tuple, whose order counts; dollars and full stops
    around each go. Raises RowError.
    """
    other = rows.mapping(row, "other")
    parts = [part for part in map(_bare, rows.text(row, "answer").split(";")) if part]
    answer = f"({', '.join(parts)})" if len(parts) > 1 else "".join(parts)
    if not answer:
        raise RowError('field "answer" is empty')
    solution = other.get("solution")
    solution = _boxed(solution if isinstance(solution, str) else "", answer)
    tags = rows.tags(other, level="level", type="subject")
    return Problem(rows.identity(row, fallback_id), rows.text(row, "question"), solution, answer, tags)


def choices_problem(row: Row, fallback_id: str) -> Problem:
    """A multiple-choice question as in AQuA, MathQA, SAT, MMLU and AGIEval; the question lists the options in English.

    `question` (or `problem`) after a `passage` if there is one; `options` (or `choices`, `Possible Answers`), a list or
    one text, with labels (`A)`, `(A)`, `a )`) or without; the right one's letter, or number from 0, as `label`,
    `answer` or `correct`. The layout is that of DeepSeek-Math's few-shot prompts. Raises RowError.
    """
    heading = "What of the following is the right choice? Explain your answer.\n"
    return _choices(row, fallback_id, heading, label="({}) ", between=", ")


def choices_zh_problem(row: Row, fallback_id: str) -> Problem:
    """As `choices_problem`, the options listed in Chinese as in DeepSeek-Math's prompt for the Gaokao."""
    return _choices(row, fallback_id, "从以下选项中选择:    ", label="({})", between=" ")


FORMATS: dict[BenchmarkFormat, Callable[[Row, str], Problem]] = {
    "gsm8k": gsm8k_problem,
    "math": math_problem,
    "svamp": svamp_problem,
    "asdiv": asdiv_problem,
    "multiarith": multiarith_problem,
    "gsm_hard": gsm_hard_problem,
    "cmath": cmath_problem,
    "mgsm": mgsm_problem,
    "ocw": ocw_problem,
    "cloze": cloze_problem,
    "choices": choices_problem,
    "choices_zh": choices_zh_problem,
}


def _choices(row: Row, fallback_id: str, heading: str, *, label: str, between: str) -> Problem:
    row = rows.lower(row)
    field = "problem" if "problem" in row and "question" not in row else "question"
    question = rows.text(row, field).rstrip("\\").rstrip()
    passage = row.get("passage")
    if isinstance(passage, str) and passage.strip():
        question = f"{passage.strip()}\n{question}"
    given = next((row[name] for name in ("options", "choices", "possible answers") if name in row), None)
    choices = read_choices(given)
    letters = [chr(ord("A") + position) for position in range(len(choices))]
    answer = right_letter(row, letters)
    listed = between.join(label.format(letter) + choice for letter, choice in zip(letters, choices, strict=True))
    other = rows.mapping(row, "other")
    solution = next((text for text in (row.get("rationale"), other.get("solution")) if isinstance(text, str)), "")
    tags = rows.tags(row, category="subject", subject="subject", topic="subject")
    if isinstance(formula := row.get("linear_formula"), str):
        tags["steps"] = formula.count("(")  # MathQA: `add(n0,n1)|divide(#0,const_2)`
    return Problem(
        rows.identity(row, fallback_id),
        f"{question}\n{heading}{listed}",
        _boxed(solution, answer),
        answer,
        tags,
        choices,
    )


def last_boxed(text: str) -> str | None:
    """What is inside the last `\\boxed{…}` or `\\fbox{…}`, or the one sign after `\\boxed `; None without a box."""
    matches = list(re.finditer(r"\\(?:boxed|fbox)\s*(\{|[^\s{}$])", text))
    if not matches:
        return None
    opening = matches[-1]
    if opening[1] != "{":
        return opening[1]
    depth = 1
    for position in range(opening.end(), len(text)):
        escaped = text[position - 1] == "\\"
        depth += 0 if escaped else {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[opening.end() : position].strip()
    return None


def _operators(formula: str) -> int | None:
    """How many operations a formula has; None when it has none, or a part between `;` is no calculation."""
    parts = [_CALCULATION.fullmatch(_UNIT.sub("", part)) for part in formula.split(";")]
    return (sum(len(_OPERATOR.findall(part[1])) for part in parts if part) or None) if all(parts) else None


def _boxed(solution: str, answer: str) -> str:
    """The solution, ending in the answer's box."""
    return solution if last_boxed(solution) == answer else f"{solution}\n\\boxed{{{answer}}}".lstrip()


def _bare(answer: str) -> str:
    text = answer.strip().removesuffix(".").removesuffix("。").strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == "$" and text.count("$") == 2 else text

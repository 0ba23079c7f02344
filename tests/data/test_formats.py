"""Formats: what each benchmark's fields become, and what is said of a row that has others."""

from fractions import Fraction
from typing import Any, get_args

import pytest

from dsmath.config.components import SHIPPED
from dsmath.data.choices import read_choices
from dsmath.data.formats import FORMATS, BenchmarkFormat, last_boxed
from dsmath.data.problem import Problem
from dsmath.data.rows import RowError, calculate, tidy_number


def problem(format: BenchmarkFormat, **row: Any) -> Problem:
    return FORMATS[format](row, "fallback")


def mistake(format: BenchmarkFormat, **row: Any) -> str:
    with pytest.raises(RowError) as caught:
        FORMATS[format](row, "fallback")
    return str(caught.value)


def test_every_format_has_its_function_and_is_allowed_in_the_config() -> None:
    allowed = get_args(SHIPPED["dsmath.data.benchmarks.BenchmarkFile"].__annotations__["format"])
    assert set(FORMATS) == set(get_args(BenchmarkFormat)) == set(allowed)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{a}{b}}.", r"\frac{a}{b}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\fbox{7}", "7"),
        (r"$\boxed 9$", "9"),
        (r"\boxed{}", ""),
        (r"\boxed{1", None),
        ("9", None),
    ],
)
def test_last_boxed(text: str, inside: str | None) -> None:
    assert last_boxed(text) == inside


def test_gsm8k_counts_its_steps_by_calculator_marks_and_else_by_lines() -> None:
    marked = problem("gsm8k", question="q", answer="<<1+1=2>>2 and <<2+2=4>>4.\nSo 4.\n#### 4")
    plain = problem("gsm8k", question="q", cot="First.\n\nThen.\nLast.", answer="1,000")
    assert (marked.tags["steps"], plain.tags["steps"]) == (2, 3)
    assert (plain.answer, plain.solution) == ("1000", "First.\n\nThen.\nLast.\n\\boxed{1000}")


def test_svamp_is_read_with_its_original_fields_and_as_flattened() -> None:
    original = problem(
        "svamp", ID="chal-1", Body="Tom has 3 pens.", Question="How many now?", Answer=8.0,
        Equation="( 3.0 + 5.0 )", Type="Addition",
    )  # fmt: skip
    flat = problem(
        "svamp", id="chal-1", question="Tom has 3 pens. How many now?", answer="8",
        equation="( 3.0 + 5.0 )", type="Addition",
    )  # fmt: skip
    assert original == flat
    assert (flat.id, flat.answer, flat.tags) == ("chal-1", "8", {"type": "Addition", "steps": 1})


def test_svamp_answers_that_a_copy_has_rounded_come_from_the_equation() -> None:
    rounded = problem("svamp", question="q", answer="1.2346e+06", equation="( ( 28.0 + 1234539.0 ) * 1.0 )")
    assert (rounded.answer, rounded.tags["steps"]) == ("1234567", 2)
    assert mistake("svamp", question="q", answer="1.2e+06", equation="2 ** 9") == (
        "the equation cannot be calculated: 2 ** 9"
    )


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("9 (apples)", "9"),
        ("14  (seats)", "14"),
        ("383", "383"),
        ("-(1/3)", "-(1/3)"),
        ("3:30 p.m.", "3:30 p.m."),
        ("Yes", "Yes"),
        ("Mrs. Doyle's class", "Mrs. Doyle's class"),
        ("20 (cows); 15 (hens)", "20, 15"),
    ],
)
def test_asdiv_loses_units_and_keeps_words_ratios_and_times(answer: str, gold: str) -> None:
    read = problem("asdiv", body="Body.", question="Question?", answer=answer, formula="1+1=2", solution_type="Sum")
    assert (read.question, read.answer) == ("Body. Question?", gold)
    assert read.tags == {"type": "Sum", "steps": 1}
    assert read.solution == f"\\boxed{{{gold}}}"


@pytest.mark.parametrize(
    ("formula", "steps"),
    [
        ("7+2=9", 1),
        ("(11-3)*2=16", 2),
        ("7/2=3 r1; 3+1=4", 2),
        ("2 (dime)*10 (cent/dime)+5=25", 2),
        ("LCM[4,6]=12", None),
        ("x:The number; 5x+7=2x+6", None),
        ("3 parts > 2 parts", None),
        ("12=12", None),
    ],
)
def test_asdiv_counts_operators_only_where_the_formula_calculates(formula: str, steps: int | None) -> None:
    assert problem("asdiv", question="q", answer="1", formula=formula).tags.get("steps") == steps


def test_multiarith_and_gsm_hard() -> None:
    assert problem("multiarith", question=" How many? ", final_ans="39") == problem(
        "multiarith", question="How many?", answer="39"
    )
    assert problem("gsm_hard", input="q", target=-9867630.0, code="…").answer == "-9867630"
    assert problem("gsm_hard", input="q", target="1,234.0").answer == "1234"
    assert mistake("gsm_hard", input="q") == 'no field "target" (found: input)'
    assert mistake("gsm_hard", input="q", target=None) == 'field "target" is null, expected text'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3244047.0999999996, "3244047.1"),
        (14053029.666666666, "14053029.6666667"),
        (5.158e-07, "0.0000005158"),
        (1e22, "10000000000000000000000"),
        (-0.5, "-0.5"),
        (17.999999999999996, "18"),
    ],
)
def test_a_float_is_written_as_people_write_it(value: float, text: str) -> None:
    assert tidy_number(value) == text
    assert float(text) == pytest.approx(value, rel=1e-14)


def test_cmath_keeps_grade_steps_and_digits() -> None:
    read = problem("cmath", grade=3, question="多少？", golden="1,200", reasoning_step=2, num_digits=4)
    assert (read.answer, read.tags) == ("1200", {"grade": 3, "steps": 2, "digits": 4})


def test_mgsm_is_read_from_the_hub_from_its_table_and_from_a_chat() -> None:
    hub = problem("mgsm", question="多少？", answer=None, answer_number=70000, equation_solution=None)
    table = problem("mgsm", question="多少？", answer="70,000")
    chat = problem("mgsm", messages=[{"role": "user", "content": "多少？"}, {"role": "assistant"}], answer="70000")
    assert hub == table == chat
    assert hub.answer == "70000"


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("4.5e33", r"4.5 \times 10^{33}"), ("-4.6e-24", r"-4.6 \times 10^{-24}"), ("41.8", "41.8"), ("E_{1}", "E_{1}")],
)
def test_ocw_answers_in_a_computers_notation_are_written_as_mathematics(answer: str, gold: str) -> None:
    read = problem("ocw", problem="q", solution=f"\\boxed{{{answer}}}", answer=answer, id="7")
    assert (read.id, read.answer) == ("7", gold)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("2", "2"),
        ("$5$; $10$", "(5, 10)"),
        ("1; $\\frac{8}{9}$", "(1, \\frac{8}{9})"),
        ("$y=2 x$.", "y=2 x"),
        ("6 .", "6"),
    ],
)
def test_blanks_of_the_gaokao_are_joined_and_lose_dollars_and_full_stops(answer: str, gold: str) -> None:
    row = {"passage": None, "options": None, "label": None, "other": {"source": "2021"}}
    read = problem("cloze", question="$a=(\\quad)$", answer=answer, **row)
    assert (read.answer, read.tags, read.choices) == (gold, {}, ())


def test_agieval_has_maths_solution_level_and_subject_in_other() -> None:
    other = {"solution": "So \\boxed{4}.", "level": 5, "type": "Algebra"}
    read = problem("cloze", question="2+2?", options=None, answer="4", other=other)
    assert (read.solution, read.tags) == ("So \\boxed{4}.", {"level": 5, "subject": "Algebra"})
    assert mistake("cloze", question="q", answer=" ; .") == 'field "answer" is empty'


CHOICES = [
    pytest.param({"options": ["A)1/2", "B)3 (a)", "C)b) x"], "correct": "B"}, id="aqua on the hub"),
    pytest.param({"options": ["(A)1/2", "(B)3 (a)", "(C)b) x"], "label": "B", "answer": None}, id="agieval"),
    pytest.param({"options": "a ) 1/2 , b ) 3 (a) , c ) b) x", "correct": "b"}, id="mathqa"),
    pytest.param({"options": "a ) 1/2 , b ) b ) 3 (a) , c ) c ) b) x", "correct": "b"}, id="mathqa, labelled twice"),
    pytest.param({"options": "['a ) 1/2', 'b ) 3 (a)', 'c ) b) x']", "correct": "b"}, id="mathqa, a list as text"),
    pytest.param({"options": "A) 1/2 B) 3 (a) C) b) x", "Answer": "B"}, id="sat"),
    pytest.param({"Possible Answers": "A) 1/2 B) 3 (a) C) b) x", "Answer": "(B)"}, id="sat on the hub"),
    pytest.param({"choices": ["1/2", "3 (a)", "b) x"], "answer": 1}, id="mmlu on the hub"),
]


@pytest.mark.parametrize("row", CHOICES)
def test_options_are_the_same_however_they_are_written(row: dict[str, Any]) -> None:
    read = problem("choices", question="Which?", **row)
    assert (read.choices, read.answer) == (("1/2", "3 (a)", "b) x"), "B")
    assert read.question == (
        "Which?\nWhat of the following is the right choice? Explain your answer.\n(A) 1/2, (B) 3 (a), (C) b) x"
    )
    assert read.solution == "\\boxed{B}"


def test_texts_that_only_look_like_labels_stay() -> None:
    assert read_choices(["A. Smith", "C. Brown", "I."]) == ("A. Smith", "C. Brown", "I.")
    assert read_choices([0, 4, 2.5]) == ("0", "4", "2.5")


def test_a_passage_a_rationale_and_chinese_options() -> None:
    read = problem(
        "choices_zh", passage="已知。", question="求 ($\\quad$)\\\\\n", options=["(A)0", "(B)1"], label="A",
        other={"solution": "解。"},
    )  # fmt: skip
    assert read.question == "已知。\n求 ($\\quad$)\n从以下选项中选择:    (A)0 (B)1"
    assert read.solution == "解。\n\\boxed{A}"
    mathqa = problem(
        "choices", Problem="q", Rationale="r", options="a ) 1 , b ) 2", correct="a", category="gain",
        linear_formula="add(n0,n1)|divide(#0,const_2)|",
    )  # fmt: skip
    assert (mathqa.question.partition("\n")[0], mathqa.solution) == ("q", "r\n\\boxed{A}")
    assert mathqa.tags == {"subject": "gain", "steps": 2}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"options": ["1", "2"], "label": "C"}, "field \"label\" is 'C', expected one of the options A to B"),
        ({"options": ["1", "2"], "answer": 2}, 'field "answer" is 2, expected one of the options A to B'),
        ({"options": ["1", "2"], "answer": True}, 'field "answer" is True, expected one of the options A to B'),
        ({"options": ["1", "2"]}, 'no answer found: none of the fields "label", "answer" and "correct"'),
        ({"options": None, "label": "A"}, "the options are null, expected a list or a text such as `A) 1 B) 2`"),
        ({"options": ["1"], "label": "A"}, "expected two options or more, none of them empty, found ['1']"),
        (
            {"options": ["A)1", "B)"], "label": "A"},
            "expected two options or more, none of them empty, found ['1', '']",
        ),
        ({"options": "one or two", "label": "A"}, "expected two options or more, none of them empty, found []"),
        ({"options": "['a", "label": "A"}, "the options are no list: ['a"),
    ],
)
def test_a_row_without_its_options_or_its_answer(row: dict[str, Any], told: str) -> None:
    assert mistake("choices", question="q", **row) == told


def test_calculate_is_exact_and_nothing_but_arithmetic() -> None:
    assert calculate(" ( ( 1.1 + 2.2 ) * 3 ) / -7 ") == -Fraction(99, 70)
    for text in ("__import__('os')", "1 / 0", "1 +", "9 ** 9", "x", "1 if 1 else 2", "True"):
        with pytest.raises(RowError, match="the equation cannot be calculated"):
            calculate(text)

"""Where an answer is found, from examples, from whole responses of models, and from hostile text."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmath.reward.equal import normal_form, same_answer
from dsmath.reward.extract import bare_answer, extract_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{42}.", "42"),
        ("So the answer is Mrs. Hilt. And so on.", "Mrs. Hilt"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed {  7 }", "7"),
        (r"\fbox{3}", "3"),
        (r"\\boxed{5}", "5"),
        (r"\boxed{\left\{1, 2\right.}", r"\left\{1, 2\right."),
        (r"\boxed{x \in \{1,2\}} } {", r"x \in \{1,2\}"),
        (r"\boxed{a \boxed{b}}", "b"),
        (r"\boxed{4} wait, \boxed{5", "4"),
        (r"{ { \boxed{6}", "6"),
        (r"\boxed{}", None),
        (r"\boxed 5", "5"),
        (r"so $\boxed 42$.", "42"),
        (r"\boxed{6 #### 5}", None),
        (r"\boxed{200}. Final Answer: The final answer is $10,455$. I hope it is correct.", "$10,455$"),
        (r"\boxed{5}. The final answer is correct.", "5"),
        ("Work.\n#### 1,234\n", "1,234"),
        ("#### 1\n#### 2", "2"),
        (r"#### 9 but \boxed{8}", "8"),
        ("The answer is 12.", "12"),
        ("the final answer is: $3.5$. Thanks!", "$3.5$"),
        ("The answer is 3. No, the answer is 4.", "4"),
        ("The answer is **17**\nbecause", "17"),
        ("the answer is", None),
        ("no idea", None),
        (r"\boxed{1}, \boxed{2} and \boxed{3}", "1, 2, 3"),
        (r"\boxed{5}\boxed{5}", "5"),
        ("Final Answer: The largest $n$ is 34. I hope it is correct.", "34"),
        ("**Answer:** 12", "12"),
        ("So 2 + 24 = 26\nA: 26", "26"),
        ("A: 26\nbut then again", None),
        ("答案是12。", "12"),
        ("所以答案是：$\\frac{1}{2}$。", "$\\frac{1}{2}$"),
        ("答案为 3，", "3"),
        ("答案：7", "7"),
        ("", None),
    ],
)
def test_the_stated_answer_is_found(text, expected):
    assert extract_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (r"\boxed{\textbf{(B)}\ 12}", "B"),
        (r"\boxed{\textbf{B}}", "B"),
        (r"\boxed{\mathrm{B}}", "B"),
        ("The answer is (b) 12.", "B"),
        ("the answer is b) 12", "B"),
        (r"\boxed{12.0}", "B"),
        ("Option B is correct.", "B"),
        ("The answer is B because it is larger", "B"),
        (r"\boxed{A or B}", None),
        (r"\boxed{A or b}", None),
        (r"\boxed{A, B}", None),
        (r"\boxed{A}, \boxed{B}", None),
        (r"\boxed{A B C}", None),
        (r"\boxed{A/B}", None),
        ("The answer is A or B.", None),
        ("答案：A、B", None),
        ("选A或B", None),
        ("不能选A", None),
        ("不应选A", None),
        ("Option A is correct. Option B is correct.", None),
        ("Option B is not correct.", None),
        (r"\boxed{C: 12}", None),
        (r"\boxed{99}", None),
        ("The answer is (B).", "B"),
        ("The final answer is B.", "B"),
        ("The answer is B) 12 apples", "B"),
        (r"\boxed{C}", "C"),
        (r"\boxed{\text{(C)}}", "C"),
        (r"\boxed{12 \text{ apples}}", "B"),
        ("The answer is 12 apples.", "B"),
        ("Adding them up.\n(A)", "A"),
        ("故选B", "B"),
        ("所以选 B。", "B"),
        ("答案是C", "C"),
        ("The answer is (A) or (B).", None),
        ("The answer is a pear.", None),
        ("The answer is E.", None),
        ("nothing", None),
    ],
)
def test_the_letter_of_an_option_is_found(text, letter):
    assert extract_answer(text, ["10 apples", "12 apples", "14 apples"]) == letter


@pytest.mark.parametrize("text", [r"\boxed{15.0}", r"\boxed{x=15}", r"\boxed{\$15}", r"\boxed{B: 15}"])
def test_the_value_of_an_option_may_be_spelled_in_another_way(text):
    assert extract_answer(text, ["12", "15", "18"]) == "B"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5", "5"),
        (r"so \boxed{5}", "5"),
        ("We find that $x > 3$.", "$x > 3$".strip("$")),
        ("$5$ or $6$", "$5$ or $6$"),
        ("2$, $3", "2$, $3"),
        ("minus $5$", "minus $5$"),
        ("It is not $5$", "It is not $5$"),
        ("the area is 6, it is $5$", "the area is 6, it is $5$"),
        ("The area is $5$.", "5"),
        ("The area is $5$ or more", "The area is $5$ or more"),
        ("2 + 2 = 4. The answer is 4.", "4"),
        ("6, so the answer is 5", "6, so the answer is 5"),
        ("2 + 2\n#### 4", "4"),
        ("6 #### 4", "6 #### 4"),
    ],
)
def test_a_bare_answer_is_left_alone_unless_it_states_one(text, answer):
    assert bare_answer(text) == answer


PIECES = [
    r"\boxed{",
    r"\fbox {",
    "{",
    "}",
    "\\",
    r"\{",
    "####",
    "the answer is ",
    "\n",
    ". ",
    "1",
    " ",
    "\u0130",
    "\ud800",
]


@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text())
def test_it_never_raises(text):
    answer = extract_answer(text)
    assert answer is None or (answer and all(part in text for part in answer.split(", ")))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [*PIECES, r"\boxed", r"\boxed{}", "{}", "the answer is: ", "the "])
def test_a_megabyte_of_the_same_is_no_problem(piece):
    for tail in ("", r"\boxed", "####", "the answer is"):
        text = piece * (1_000_000 // len(piece)) + tail
        extract_answer(text, ["1", "2"])
        bare_answer(text)


DATA = Path(__file__).parents[3] / "shared/data/math"


@pytest.mark.data
def test_every_answer_of_openai_s_gsm8k_solutions_is_found():
    rows = [json.loads(line) for line in (DATA / "gsm8k/model_solutions.jsonl").read_text().splitlines()]
    found = [normal_form(extract_answer(row["solution"]) or "") == normal_form(row["pred"] or "") for row in rows]
    assert all(found)


@pytest.mark.data
def test_whole_responses_of_mr_gsm8k_are_judged_as_its_readers_did():
    rows = [json.loads(line) for line in (DATA / "mr_gsm8k_subset.jsonl").read_text().splitlines()]
    agree = 0
    for row in rows:
        answer = extract_answer("\n".join(row["model_output_steps"]))
        right = answer is not None and same_answer(str(row["ground_truth_answer"]), answer)
        agree += right == (row["model_output_answer_correctness"] == "correct")
    assert agree / len(rows) >= 0.98  # the rest are programs, and gold answers that are no numbers

"""Where an answer is found, from examples and from hostile text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsmath.reward.extract import extract_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{42}.", "42"),
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
        ("Work.\n#### 1,234\n", "1,234"),
        ("#### 1\n#### 2", "2"),
        (r"#### 9 but \boxed{8}", "8"),
        ("The answer is 12.", "12"),
        ("the final answer is: $3.5$. Thanks!", "$3.5$"),
        ("The answer is 3. No, the answer is 4.", "4"),
        ("The answer is **17**\nbecause", "17"),
        ("the answer is", None),
        ("no idea", None),
        ("", None),
    ],
)
def test_the_stated_answer_is_found(text, expected):
    assert extract_answer(text) == expected


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
    assert answer is None or (answer and answer in text)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", [*PIECES, r"\boxed", r"\boxed{}", "{}", "the answer is: ", "the "])
def test_a_megabyte_of_the_same_is_no_problem(piece):
    for tail in ("", r"\boxed", "####", "the answer is"):
        extract_answer(piece * (1_000_000 // len(piece)) + tail)

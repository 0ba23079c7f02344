"""Prompt styles: what a model is asked, where its answer ends, and which program is run."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import PreTrainedTokenizerFast

from dsmath.config import places
from dsmath.config.schema import Benchmark, Prompt
from dsmath.config.types import Component
from dsmath.data.problem import Problem
from dsmath.errors import UserError
from dsmath.evaluation.prompts import Programs, PromptStyle, prompt_style, read_prompts
from dsmath.models.tokenizer import build_tokenizer

REAL = Path(__file__).parents[2] / "../shared/data/math/few_shot/deepseek_math_prompts.json"
TOKENIZER = build_tokenizer(vocab_size=640)
PROBLEM = Problem("a", "What is 1 + 1?", "", "2")
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
PROMPTS = {
    "Words": {
        "template": "\nQ: 2+2?\nA: The answer is 4.\n\nQ: {task_input}\nA: {task_output}",
        "stop_words": ["\nQ:"],
    },
    "Returns": {"template": "Q: x\n\ndef solution():\n    return 1\n\nQ: {task_input}\n\n# solution in Python:"},
    "Blocks": {"template": "P\n```\nx = 1\nanswer = x\n```\nimports\n```\n\n```\n\nP: {task_input}\n{task_output}"},
}


def benchmark(**changed: Any) -> Benchmark:
    values: dict[str, Any] = {"language": "en", "symbolic": False, "few_shot": "Words", "program": "Returns"}
    return Benchmark(problems=Component("x", {}), split="test", **{**values, **changed})


def style(
    name: Any, prompts: Any = PROMPTS, folder: Path | None = None, instruction: str = "", **changed: Any
) -> PromptStyle:
    file = None
    if folder is not None:
        file = folder / "prompts.json"
        file.write_text(prompts if isinstance(prompts, str) else json.dumps(prompts), encoding="utf-8")
    prompt = Prompt(style=changed.pop("prompt", "plain"), instruction=instruction)
    prompts_file = None if file is None else str(file)
    return prompt_style(name, model_prompt=prompt, benchmark=benchmark(**changed), prompts_file=prompts_file)


def rendered(made: PromptStyle, tokenizer: Any = TOKENIZER) -> str:
    return str(tokenizer.decode(made.render(tokenizer, PROBLEM)))


def message(*arguments: Any, **named: Any) -> str:
    with pytest.raises(UserError) as caught:
        style(*arguments, **named)
    return str(caught.value)


def test_model_asks_as_the_model_was_trained() -> None:
    assert rendered(style("model")) == "What is 1 + 1?\n"
    assert rendered(style("model", instruction="Think.")) == "What is 1 + 1? Think.\n"
    assert style("model").stop == ()
    assert not style("model").runs_program


def test_boxed_and_tool_put_the_papers_instructions_in_place_of_the_models() -> None:
    tool = "Please integrate natural language reasoning with programs to solve the problem above, "
    assert rendered(style("boxed", instruction="Think.")) == f"What is 1 + 1?\n{BOXED}\n"
    assert rendered(style("tool")).startswith(f"What is 1 + 1?\n{tool}")
    assert rendered(style("boxed", language="zh")) == (
        "What is 1 + 1?\n请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。\n"
    )
    assert rendered(style("tool", language="zh")).endswith(
        "请结合自然语言和Python程序语言来解答问题，并把最终答案放置于\\boxed{}中。\n"
    )


def test_an_instruction_that_the_model_has_anyway_is_not_doubled() -> None:
    assert rendered(style("boxed", instruction=BOXED)) == rendered(style("model", instruction=BOXED))


def with_template() -> PreTrainedTokenizerFast:
    tokenizer = build_tokenizer(vocab_size=640)
    tokenizer.chat_template = "User: {{ messages[0]['content'] }}\n\nAssistant:"
    return tokenizer


def test_instructions_go_through_the_chat_template_and_examples_never() -> None:
    chat = style("boxed", prompt="chat")
    assert rendered(chat, with_template()) == f"User: What is 1 + 1?\n{BOXED}\n\nAssistant:"
    with pytest.raises(UserError, match="no chat template"):
        rendered(chat)


def test_few_shot_is_the_template_around_the_question_without_space_at_its_ends(tmp_path: Path) -> None:
    for prompt in ("plain", "chat"):
        made = style("few_shot", folder=tmp_path, instruction="Think.", prompt=prompt)
        assert rendered(made, with_template()) == "Q: 2+2?\nA: The answer is 4.\n\nQ: What is 1 + 1?\nA:"
        assert made.stop == ("\nQ:",)
        assert not made.runs_program


def test_few_shot_starts_with_the_begin_token_of_tokenizers_that_put_one(tmp_path: Path) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer = build_tokenizer(vocab_size=640)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", tokenizer.bos_token_id)]
    )
    tokens = style("few_shot", folder=tmp_path).render(tokenizer, PROBLEM)
    assert tokens == [tokenizer.bos_token_id, *style("few_shot", folder=tmp_path).render(TOKENIZER, PROBLEM)]


def test_a_question_that_spells_a_placeholder_stays_as_it_is(tmp_path: Path) -> None:
    made = style("few_shot", folder=tmp_path)
    problem = Problem("a", "What are {task_input} and {task_output}?", "", "2")
    text = TOKENIZER.decode(made.render(TOKENIZER, problem))
    assert text.endswith("Q: What are {task_input} and {task_output}?\nA:")


def printed(program: str) -> list[str]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    return out.getvalue().splitlines()


def test_a_program_that_defines_solution_prints_what_it_returns(tmp_path: Path) -> None:
    made = style("program", folder=tmp_path)
    assert made.runs_program
    assert rendered(made).endswith("Q: What is 1 + 1?\n\n# solution in Python:")
    completion = '\n\n\ndef solution():\n    """Q"""\n    print("noise", end="")\n    a = 0.1 + 0.2\n    return a\n\n\n'
    assert printed(made.program(completion)) == ["noise", "0.3"]


def blocks(code: str, imports: str = "") -> str:
    return f"\n```\n{code}\n```\nThe imports required for this program are\n```\n{imports}\n```\nI hope so."


@pytest.mark.parametrize(
    ("code", "imports", "answer"),
    [
        ("answer = 1 + 1", "", "2"),
        ("x = symbols('x')\nanswer = solve(Eq(7*x, 20), x)", "from sympy import symbols, Eq, solve", r"\frac{20}{7}"),
        ("x = symbols('x')\nanswer = solve(x**2 - 4, x)", "from sympy import *", "-2, 2"),
        ("answer = sqrt(12)", "from sympy import sqrt", r"2 \sqrt{3}"),
        ("answer = math.comb(8, 5) / 256", "import math", "0.21875"),
        ("answer = 2.0", "", "2"),
        ("answer = (3, -2)", "", "(3, -2)"),
        ("answer = 'a\\n  b'", "", "a b"),
        ("print('on the way')\nanswer = 3", "", "3"),
    ],
)
def test_a_program_in_blocks_runs_after_its_imports_and_shows_its_answer_last(
    tmp_path: Path, code: str, imports: str, answer: str
) -> None:
    made = style("program", folder=tmp_path, program="Blocks")
    assert printed(made.program(blocks(code, imports)))[-1] == answer
    fenced = blocks(code, imports).replace("```\n", "```python\n", 1)
    assert printed(made.program(fenced))[-1] == answer


@pytest.mark.parametrize("completion", ["", "The answer is 4.", "```\nanswer = 1\n```", blocks("answer = 1") + "```"])
def test_a_completion_that_is_no_pair_of_blocks_is_no_program(tmp_path: Path, completion: str) -> None:
    assert style("program", folder=tmp_path, program="Blocks").program(completion) == ""


def test_styles_without_programs_have_none_to_run() -> None:
    with pytest.raises(TypeError, match="no programs"):
        style("boxed").program("x")


@pytest.mark.parametrize("kind", ["few_shot", "program"])
def test_a_benchmark_without_the_prompt_is_told_and_which_have_one(kind: str) -> None:
    told = message(kind, **{kind: None})
    files = [yaml.safe_load(f.read_text("utf-8")) | {"name": f.stem} for f in places.root("conf").glob("benchmark/*")]
    having = ", ".join(sorted(f["name"] for f in files if f[kind]))
    assert told == (
        f"eval.prompt={kind}: the benchmark names no such prompt ({kind}: null); benchmarks that do: {having}"
    )
    assert "gsm8k" in having
    assert "held_out" not in having


def test_mistakes_about_the_prompts_file(tmp_path: Path) -> None:
    file = tmp_path / "prompts.json"
    where = f"eval.prompts_file = {file}"
    assert "eval.prompts_file is null, expected the JSON file that has the prompt Words" in message("few_shot")
    told = message("few_shot", folder=tmp_path, few_shot="Wrods")
    assert (
        told == f"{file}: no prompt Wrods, did you mean Words? (it has Words, Returns, Blocks); the benchmark names it"
    )
    assert message("few_shot", "{", tmp_path).startswith(f"{where}: not JSON (Expecting property name")
    assert message("few_shot", [], tmp_path).startswith(f"{where}: not an object with prompts; expected {{")
    assert message("few_shot", {"Words": "Q:"}, tmp_path) == f'{where}: Words: no text "template"'
    twice = {"Words": {"template": "{task_input} {task_input}"}}
    assert message("few_shot", twice, tmp_path).endswith("has {task_input} 2 times, expected it once")
    stops = {"Words": {"template": "{task_input}", "stop_words": [""]}}
    assert message("few_shot", stops, tmp_path).endswith("\"stop_words\" is [''], expected a list of texts")
    assert "has no programs: expected examples that define solution()" in message(
        "program", folder=tmp_path, program="Words"
    )
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\)"):
        read_prompts(tmp_path / "none.json")


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {REAL}, which is not part of the project")
def test_the_papers_ten_prompts_are_those_that_the_benchmarks_name() -> None:
    prompts = read_prompts(REAL)
    assert len(prompts) == 10
    files = [yaml.safe_load(f.read_text("utf-8")) for f in places.root("conf").glob("benchmark/*.yaml")]
    assert {f[kind] for f in files for kind in ("few_shot", "program")} - {None} == set(prompts)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {REAL}, which is not part of the project")
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("CoTGSMPrompt", "The answer is 8.\n\n\nQ: What is 1 + 1?\nA:"),
        ("CoTCMATHPrompt", "\n\n\n问题：What is 1 + 1?\n答案："),
        ("CoTGaoKaoMathClozePrompt", "\n\n\n问题 6.   What is 1 + 1?\n问题 6的解析:"),
        ("CoTGaoKaoMathQAPrompt", "\n\n\n问题 6.    What is 1 + 1?\n问题 6的解析:"),
        ("CoTSATPrompt", "I hope it is correct.\n\nProblem:\nWhat is 1 + 1?\nSolution:"),
        ("MMLUSTEMPrompt", "I hope it is correct.\n\nProblem:\nWhat is 1 + 1?\nSolution:"),
        ("MinervaMathPrompt", "I hope it is correct.\n\nProblem:\nWhat is 1 + 1?\n\nSolution:"),
        ("OCWCoursesPrompt", "I hope it is correct.\n\nProblem:\nWhat is 1 + 1?\nSolution:"),
        ("PALGSMPrompt", "return result\n\n\n\n\n\nQ: What is 1 + 1?\n\n# solution in Python:"),
        ("PALMathPrompt", "Express your answer as a numeric type or a SymPy object."),
    ],
)
def test_a_prompt_of_the_paper_ends_where_the_model_goes_on(name: str, end: str) -> None:
    kind = "program" if name.startswith("PAL") else "few_shot"
    made = prompt_style(
        kind, model_prompt=Prompt("plain", ""), benchmark=benchmark(**{kind: name}), prompts_file=str(REAL)
    )
    text = rendered(made)
    assert text.endswith(end)
    assert text.count("What is 1 + 1?") == 1
    assert "{task_" not in text
    assert made.stop
    assert not any(text.endswith(word) for word in made.stop)
    if isinstance(made, Programs):
        assert made.runs_program
        assert made.returns == (name == "PALGSMPrompt")


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {REAL}, which is not part of the project")
def test_the_papers_own_example_programs_run_and_give_their_answers() -> None:
    """The worked examples are completions: what a model would write, to a word."""
    prompts = read_prompts(REAL)

    def programs(name: str, between: str, start: str) -> list[str]:
        made = prompt_style(
            "program", model_prompt=Prompt("plain", ""), benchmark=benchmark(program=name), prompts_file=str(REAL)
        )
        completions = [part.partition(start)[2] for part in prompts[name][0].split(between)]
        return [made.program(completion) for completion in completions[:-1]]

    gsm = programs("PALGSMPrompt", "\nQ:", "# solution in Python:")
    assert [printed(program)[-1] for program in gsm] == ["8", "33", "29", "9", "8", "39", "5", "6"]
    maths = programs("PALMathPrompt", "\nProblem:", "a SymPy object.")
    # the paper's third example reads a name that it never sets, as published
    assert [printed(program)[-1] for program in maths if "n_value" not in program] == [
        r"\frac{20}{3}", "24", "0.36328125", "17",
    ]  # fmt: skip
    assert len(maths) == 5

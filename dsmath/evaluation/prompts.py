"""How a benchmark's questions are put to a model: zero-shot with an instruction, or after worked examples."""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import yaml

from dsmath.config import places
from dsmath.config.schema import Benchmark, Prompt
from dsmath.data.problem import Problem
from dsmath.errors import UserError, did_you_mean
from dsmath.models.prompt import begin_tokens, encode, render_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

StyleName = Literal["model", "boxed", "tool", "few_shot", "program"]

# As DeepSeek-Math's evaluation puts them behind the question, after a line break.
INSTRUCTIONS: dict[str, dict[str, str]] = {
    "boxed": {
        "en": "Please reason step by step, and put your final answer within \\boxed{}.",
        "zh": "请通过逐步推理来解答问题，并把最终答案放置于\\boxed{}中。",
    },
    "tool": {
        "en": "Please integrate natural language reasoning with programs to solve the problem above, "
        "and put your final answer within \\boxed{}.",
        "zh": "请结合自然语言和Python程序语言来解答问题，并把最终答案放置于\\boxed{}中。",
    },
}
QUESTION, ANSWER = "{task_input}", "{task_output}"

# Behind the model's program: one line with the value. A fraction or a root as LaTeX, as gold answers have it; a float
# without the noise of its last digits; the roots of an equation without the list's brackets.
_SHOW = """
def _shown(value):
    import decimal
    import sympy
    if isinstance(value, (list, set)):
        return ", ".join(_shown(each) for each in value)
    if isinstance(value, float):
        return format(decimal.Decimal(f"{value:.15g}"), "f")
    return sympy.latex(value) if isinstance(value, sympy.Basic) else " ".join(str(value).split())


_answer = _shown(VALUE)
print()
print(_answer)
"""


class PromptStyle(ABC):
    """A way to ask; `stop`: the completion ends before the first of these."""

    stop: tuple[str, ...]
    runs_program: ClassVar[bool] = False  # the completion is a program, whose output is the answer

    @abstractmethod
    def render(self, tokenizer: "PreTrainedTokenizerBase", problem: Problem) -> list[int]:
        """The prompt's tokens. Raises UserError when the tokenizer has no chat template and one is asked for."""

    def program(self, completion: str) -> str:
        """What to execute for a completion: the last line that it prints is the answer.

        An empty text for a completion that is no program, as the prompt's examples are.
        """
        raise TypeError(f"{type(self).__name__}: its completions are no programs")


@dataclass(frozen=True)
class ZeroShot(PromptStyle):
    """The question in the model's own style, with the model's instruction or another."""

    model_prompt: Prompt
    instruction: str | None  # None is the model's own
    stop: tuple[str, ...] = ()

    def render(self, tokenizer: "PreTrainedTokenizerBase", problem: Problem) -> list[int]:
        style, own = self.model_prompt.style, self.model_prompt.instruction
        if self.instruction is None or self.instruction == own.strip():
            return render_prompt(tokenizer, problem.question, style=style, instruction=own)
        return render_prompt(tokenizer, f"{problem.question}\n{self.instruction}", style=style, instruction="")


@dataclass(frozen=True)
class Examples(PromptStyle):
    """Worked examples, then the question: plain text for base models, never through a chat template."""

    before: str
    after: str
    stop: tuple[str, ...]

    def render(self, tokenizer: "PreTrainedTokenizerBase", problem: Problem) -> list[int]:
        text = f"{self.before}{problem.question.strip()}{self.after}"
        return [*begin_tokens(tokenizer), *encode(tokenizer, text.strip())]


@dataclass(frozen=True)
class Programs(Examples):
    """Examples that answer with a program (PAL, arXiv 2211.10435).

    `returns`: the program defines `solution()`. Else it is a block that sets `answer`, behind which stands a second
    block with the imports.
    """

    returns: bool
    runs_program: ClassVar[bool] = True

    def program(self, completion: str) -> str:
        if self.returns:
            return completion.rstrip() + "\n\n" + _SHOW.replace("VALUE", "solution()")
        parts = completion.split("```")
        if len(parts) != 5:  # as DeepSeek-Math's evaluation: both blocks, closed, and no third
            return ""
        code, imports = (re.sub(r"^(?:python|py)[ \t]*(?=\n)", "", block) for block in (parts[1], parts[3]))
        return f"{imports.strip()}\n\n{code.strip()}\n\n" + _SHOW.replace("VALUE", "answer")


def prompt_style(
    name: StyleName,
    *,
    model_prompt: Prompt,
    benchmark: Benchmark,
    prompts_file: str | None,
    where: str = "the benchmark",
) -> PromptStyle:
    """The style that `eval.prompt` names, for one benchmark; `where` is what a message calls the benchmark.

    `model` asks as the model was trained; `boxed` and `tool` put the paper's instructions in place of the model's;
    `few_shot` and `program` take the benchmark's prompt of that kind from the prompts file.

    Raises:
        UserError: when the benchmark has no such prompt, or the file does not have it.
    """
    if name == "model":
        return ZeroShot(model_prompt, None)
    if name in INSTRUCTIONS:
        return ZeroShot(model_prompt, INSTRUCTIONS[name][benchmark.language])
    wanted = benchmark.few_shot if name == "few_shot" else benchmark.program
    if wanted is None:
        having = ", ".join(_benchmarks_with(name)) or "none"
        raise UserError(
            f"eval.prompt={name}: {where} names no such prompt ({name}: null); benchmarks that do: {having}"
        )
    if prompts_file is None:
        raise UserError(
            f"eval.prompt={name}: eval.prompts_file is null, expected the JSON file that has the prompt {wanted} "
            "(docs/benchmarks.md says how to get one)"
        )
    prompts = read_prompts(Path(prompts_file).expanduser())
    if wanted not in prompts:
        near = did_you_mean(wanted, prompts)
        raise UserError(f"{prompts_file}: no prompt {wanted}{near} (it has {', '.join(prompts)}); {where} names it")
    template, stop = prompts[wanted]
    before, _, after = template.partition(QUESTION)
    after = after.replace(ANSWER, "")
    if name == "few_shot":
        return Examples(before, after, stop)
    returns = "def solution(" in template
    if not returns and not re.search(r"```\n(?:(?!```)[\s\S])*^answer = ", template, re.MULTILINE):
        raise UserError(
            f"{prompts_file}: the prompt {wanted} has no programs: expected examples that define solution(), or that "
            "set `answer` in a block between lines of ```"
        )
    return Programs(before, after, stop, returns)


def read_prompts(file: Path) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Templates and stop words by name, of JSON `{"NAME": {"template": "… {task_input} …", "stop_words": [...]}}`.

    Raises:
        UserError: when the file is missing or has another shape.
    """
    shape = '{"NAME": {"template": "… {task_input} …", "stop_words": ["…"]}, …}'
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"eval.prompts_file = {file}: cannot be read ({error.strerror}); expected {shape}") from None
    except ValueError as error:
        raise UserError(f"eval.prompts_file = {file}: not JSON ({error}); expected {shape}") from None
    if not isinstance(found, Mapping):
        raise UserError(f"eval.prompts_file = {file}: not an object with prompts; expected {shape}")
    return {name: _prompt(entry, f"eval.prompts_file = {file}: {name}") for name, entry in found.items()}


def _prompt(entry: object, where: str) -> tuple[str, tuple[str, ...]]:
    template = entry.get("template") if isinstance(entry, Mapping) else None
    stop = entry.get("stop_words", []) if isinstance(entry, Mapping) else None
    if not isinstance(template, str):
        raise UserError(f'{where}: no text "template"')
    if template.count(QUESTION) != 1:
        raise UserError(f"{where}: its template has {QUESTION} {template.count(QUESTION)} times, expected it once")
    if not isinstance(stop, list) or not all(isinstance(word, str) and word for word in stop):
        raise UserError(f'{where}: "stop_words" is {stop!r}, expected a list of texts')
    return template, tuple(stop)


def _benchmarks_with(kind: str) -> list[str]:
    """The benchmarks of conf/ that name a prompt of this kind."""
    files = sorted(places.root("conf").glob("benchmark/*.yaml"))
    return [file.stem for file in files if yaml.safe_load(file.read_text(encoding="utf-8"))[kind] is not None]

"""What a model says, and what its programs print, as answers; the model is scripted."""

from dataclasses import dataclass
from typing import Any

import pytest

from dsmath.config.schema import Evaluation, Tools
from dsmath.data.answers import GREEDY, Answer
from dsmath.data.problem import Problem
from dsmath.errors import UserError
from dsmath.evaluation import answering
from dsmath.evaluation.answering import Answerer, Question, cut, prompt_hash
from dsmath.evaluation.prompts import PromptStyle
from dsmath.models.load import Policy, tiny
from dsmath.models.prompt import encode
from dsmath.reward.extract import extract_answer
from dsmath.rl.sampler import Rollout, as_rollout
from dsmath.rollout.own import OwnEngine
from dsmath.sandbox.executor import require

SETTINGS = Evaluation(
    of=["model"], benchmarks={}, prompt="model", prompts_file=None, size=None, samples=2, k=[2], temperature=1.0,
    max_new_tokens=64, confidence=0.95, resamples=10, batch_rows=8,
)  # fmt: skip
NONE = Tools(name="none", rounds=None, seconds=None, memory_mb=None, output_characters=None)
PYTHON = Tools(name="python", rounds=2, seconds=10.0, memory_mb=256, output_characters=100)


@dataclass(frozen=True)
class Style(PromptStyle):
    """Asks with the question itself; a completion is a program unless it says `no program`."""

    stop: tuple[str, ...] = ()
    runs_program: bool = False  # type: ignore[misc]

    def render(self, tokenizer: Any, problem: Problem) -> list[int]:
        return encode(tokenizer, problem.question)

    def program(self, completion: str) -> str:
        return "" if "no program" in completion else completion


@pytest.fixture(scope="module")
def policy() -> Policy:
    return tiny(
        hidden_size=16, intermediate_size=32, layers=1, heads=2, context_length=256, initializer_range=0.1, seed=0
    )


def ask(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, texts: list[str], style: PromptStyle, tools: Tools, *, greedy: bool
) -> list[Answer]:
    """The answers when the model says these texts, in the order of questions and samples."""

    def scripted(prompts: list[list[int]], *, samples_per_prompt: int, **rest: Any) -> Rollout:
        each = [prompt for prompt in prompts for _ in range(samples_per_prompt)]
        tokens = [[*encode(policy.tokenizer, text), int(policy.tokenizer.eos_token_id)] for text in texts]
        return as_rollout(each, tokens, pad_token_id=int(policy.tokenizer.pad_token_id), device=policy.model.device)

    engine = OwnEngine(policy=policy, max_rows=8)
    monkeypatch.setattr(engine, "generate", scripted)
    count = len(texts) if greedy else len(texts) // SETTINGS.samples
    problems = [Problem(f"p{i}", f"How many are {i} and 1?", "", str(i + 1), {"steps": 1}) for i in range(count)]
    questions = [Question(i, p, style.render(policy.tokenizer, p)) for i, p in enumerate(problems)]
    with Answerer(policy, engine, style, SETTINGS, tools, seed=0) as answerer:
        return answerer.greedy(questions) if greedy else answerer.sampled(questions)


def test_samples_of_a_question_are_numbered_and_keep_what_was_asked(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ask(policy, monkeypatch, ["a", "b", "c", "d"], Style(), NONE, greedy=False)
    assert [(a.id, a.sample, a.completion) for a in found] == [
        ("p0", 0, "a"), ("p0", 1, "b"), ("p1", 0, "c"), ("p1", 1, "d"),
    ]  # fmt: skip
    assert [a.gold for a in found] == ["1", "1", "2", "2"]
    assert found[0].tags == {"steps": 1}
    assert found[0].tokens == 2, "the end-of-sequence token counts"
    assert found[0].prompt_sha256 == prompt_hash(encode(policy.tokenizer, "How many are 0 and 1?"))
    assert len({a.prompt_sha256 for a in found}) == 2


def test_a_completion_ends_before_the_stop_word(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    (answer,) = ask(policy, monkeypatch, ["It is 7.\nQ: and 8?"], Style(stop=("\nQ:", "Problem")), NONE, greedy=True)
    assert (answer.completion, answer.sample, answer.tool_runs) == ("It is 7.", GREEDY, 0)


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("abcabc", ("ca", "bc"), "a"),
        ("abc", ("x",), "abc"),
        ("abc", (), "abc"),
        ("abc", ("abc",), ""),
        ("", ("a",), ""),
    ],
)
def test_the_first_stop_word_counts(text: str, stop: tuple[str, ...], expected: str) -> None:
    assert cut(text, stop) == expected


@pytest.mark.parametrize(
    ("program", "answer", "runs"),
    [
        ("x = 6\nprint('so')\nprint(x * 7)", "42", 1),
        ("print(1 / 0)", None, 1),  # what it prints is an error, and no answer
        ("x = 3", None, 1),
        ("this is no program 42", None, 0),
        ("while True: pass", None, 1),
    ],
)
def test_a_programs_last_line_is_the_answer(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, program: str, answer: str | None, runs: int
) -> None:
    try:
        require()
    except UserError as error:
        pytest.skip(str(error))
    tools = Tools(name="python", rounds=1, seconds=1.0, memory_mb=256, output_characters=100)
    (found,) = ask(policy, monkeypatch, [program], Style(runs_program=True), tools, greedy=True)
    assert found.completion.startswith(program)
    assert extract_answer(found.completion) == answer
    assert found.tool_runs == runs


def test_with_tools_the_model_reads_what_its_code_printed(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def loop(generate: Any, tokenizer: Any, prompts: Any, run: Any, *, rounds: int, stop: Any, **rest: Any) -> Rollout:
        seen.update(rounds=rounds, stop=stop, **rest)
        tokens, output = encode(tokenizer, "```python\n1\n```"), encode(tokenizer, "\n```output\n1\n```\n")
        return as_rollout(
            prompts, [[*tokens, *output, *tokens]], pad_token_id=0, device=policy.model.device,
            written=[[True] * len(tokens) + [False] * len(output) + [True] * len(tokens)],
        )  # fmt: skip

    monkeypatch.setattr(answering, "generate_with_tools", loop)
    question = Question(5, Problem("p", "1?", "", "1"), encode(policy.tokenizer, "1?"))
    engine = OwnEngine(policy=policy, max_rows=8)
    with Answerer(policy, engine, Style(stop=("\nQ:",)), SETTINGS, PYTHON, seed=3) as answerer:
        (answer,) = answerer.greedy([question])
    assert answer.tool_runs == 1
    assert answer.tokens == 2 * len(encode(policy.tokenizer, "```python\n1\n```"))
    assert (seen["rounds"], seen["indices"], seen["temperature"], seen["seed"]) == (2, [5], 0.0, 3)
    assert seen["stop"] is not None

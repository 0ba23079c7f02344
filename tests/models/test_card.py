"""The model card: what it says of a model, and what may not get into it."""

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml

from dsmath.models.card import Ancestor, Asking, Base, Card, Evaluation, base_of, example, public, render
from dsmath.models.load import tiny
from dsmath.models.prompt import render_prompt

PLAIN = Asking(style="plain", instruction="", begins=False, max_new_tokens=8)
CARD = Card(
    title="quickstart: tiny after rl",
    kind="policy",
    stage="rl",
    method="grpo",
    base=Base(),
    architecture="LlamaForCausalLM",
    parameters=1_000_000,
    dtype="float32",
    context_length=192,
    asking=PLAIN,
    tools=False,
    lineage=[Ancestor(0, "rl", "0" * 16, "made 2026-11-01"), Ancestor(1, "sft", "1" * 16, "")],
    metrics={"kl": 0.0125},
    evaluations=[Evaluation("held_out", 200, 0.95, "prompt model", [("greedy", 0.5, 0.4309, 0.5691)])],
    settings={"rl 0000000000000000": {"seed": 0}},
    overrides=["seed=0"],
    code="Made with dsmath 0.1.0",
)
HOSTILE = "</details><script>x</script> [a](http://e) | ``` <img src=x>\n# top\u202e"


def outside_code(text: str) -> str:
    """A page without its front matter and its blocks of code."""
    return re.sub(r"^(`{3,})\w+\n.*?\n\1$", "", text.split("---\n", 2)[2], flags=re.DOTALL | re.MULTILINE)


def test_the_card_has_a_line_for_each_number_with_its_interval() -> None:
    card = render(CARD)
    assert "| held&#95;out | 200 | prompt model | greedy | 50.0 | 43.1 to 56.9 (95 %) |" in card
    assert "| kl | 0.0125 |" in card
    assert "\n- rl 0000000000000000, made 2026-11-01\n  - sft 1111111111111111\n" in card
    assert "```sh\ndsmath seed=0\n```" in card


def test_the_front_matter_names_the_base_model_and_its_licence_where_they_are_known() -> None:
    front = yaml.safe_load(render(replace(CARD, base=Base("me/base", "apache-2.0"))).split("---\n")[1])
    assert (front["base_model"], front["license"]) == ("me/base", "apache-2.0")
    front = yaml.safe_load(render(CARD).split("---\n")[1])
    assert ("base_model" in front, front["license"], front["pipeline_tag"]) == (False, "unknown", "text-generation")
    scorer = yaml.safe_load(render(replace(CARD, kind="reward_model", stage="reward_model")).split("---\n")[1])
    assert scorer["pipeline_tag"] == "token-classification"


def test_hostile_text_stays_text() -> None:
    card = replace(
        CARD,
        title=HOSTILE,
        architecture=HOSTILE,
        asking=replace(PLAIN, instruction=HOSTILE),
        lineage=[Ancestor(0, HOSTILE, HOSTILE, HOSTILE)],
        metrics={HOSTILE: 1.0},
        evaluations=[Evaluation(HOSTILE, 1, 0.95, HOSTILE, [(HOSTILE, 1.0, 0.5, 1.0)])],
        settings={HOSTILE: {HOSTILE: HOSTILE}},
        overrides=[f"name={HOSTILE}"],
        method=HOSTILE,
        code=HOSTILE,
    )
    page = render(card)
    assert "\u202e" not in page
    shown = outside_code(page)
    for mark in ("<script", "<img", "[a]", "```"):
        assert mark not in shown
    assert re.findall(r"</?\w+", shown) == ["<details", "<summary", "</summary", "</details"]
    assert [line for line in shown.splitlines() if line.startswith("# ")] == [shown.strip().splitlines()[0]]
    assert yaml.safe_load(page.split("---\n")[1])["tags"][-1] == HOSTILE


@pytest.mark.parametrize("asking", [PLAIN, replace(PLAIN, instruction='Put "it" in \\boxed{}.\n```')])
def test_the_example_asks_as_the_model_was_trained_to_be_asked(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tiny(
        hidden_size=8, intermediate_size=8, layers=1, heads=1, context_length=192, initializer_range=0.1, seed=0
    )
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: policy.tokenizer)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda _: policy.model)
    found: dict[str, Any] = {}
    exec(compile(example(replace(CARD, asking=asking)), "example", "exec"), found)
    expected = render_prompt(policy.tokenizer, found["question"], style="plain", instruction=asking.instruction)
    assert found["tokens"] == expected
    assert found["outputs"].shape[1] <= len(expected) + 8


def test_the_example_of_a_chat_model_uses_its_template(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tiny(
        hidden_size=8, intermediate_size=8, layers=1, heads=1, context_length=192, initializer_range=0.1, seed=0
    )
    policy.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}!{% endfor %}"
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: policy.tokenizer)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda _: policy.model)
    found: dict[str, Any] = {}
    asking = Asking(style="chat", instruction="Think.", begins=False, max_new_tokens=4)
    exec(compile(example(replace(CARD, asking=asking)), "example", "exec"), found)
    assert found["tokens"] == render_prompt(policy.tokenizer, found["question"], style="chat", instruction="Think.")


def test_the_example_of_a_reward_model_scores_a_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    from dsmath.models.scorer import scorer_from_policy

    policy = tiny(
        hidden_size=8, intermediate_size=8, layers=1, heads=1, context_length=192, initializer_range=0.1, seed=0
    )
    scorer = scorer_from_policy(policy)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda _: scorer.tokenizer)
    monkeypatch.setattr("transformers.AutoModelForTokenClassification.from_pretrained", lambda _: scorer.model)
    found: dict[str, Any] = {}
    exec(compile(example(replace(CARD, kind="reward_model")), "example", "exec"), found)
    assert found["scores"].shape == (len(found["tokens"]),)
    assert torch.equal(found["scores"], torch.zeros(len(found["tokens"])))  # its head has not learned yet


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("model.policy.path=/home/jane doe/model", "model.policy.path=LOCAL_PATH"),
        ("model.policy.path='/home/jane doe/model'", "model.policy.path=LOCAL_PATH"),
        ("+data.path=~/data", "+data.path=LOCAL_PATH"),
        ("x={path: '/a b/c', n: 1, y: ../z}", "x={path: LOCAL_PATH, n: 1, y: LOCAL_PATH}"),
        ("x=[C:\\Users\\me,s3://key:secret@bucket/a]", "x=[LOCAL_PATH,LOCAL_PATH]"),
        ("data.path=openai/gsm8k", "data.path=openai/gsm8k"),
        ("data.train=data/train.jsonl", "data.train=data/train.jsonl"),
        ("model.prompt.instruction='True and/or false: 1 / 2'", "model.prompt.instruction='True and/or false: 1 / 2'"),
        ("hub.token=abc", "hub.token=LEFT_OUT"),
        ("pretrain.tokens=5", "pretrain.tokens=5"),
        ("x=hf_abcdefghijklmnopqrstuvwx", "x=LEFT_OUT"),
        ({"api_key": "abc", "n": [1, "./b"]}, {"api_key": "LEFT_OUT", "n": [1, "LOCAL_PATH"]}),
    ],
)  # fmt: skip
def test_places_and_secrets_are_left_out_and_all_else_stays(given: Any, told: Any) -> None:
    assert public(given) == told


@pytest.mark.parametrize(
    ("card", "base"),
    [
        ("---\nlicense: apache-2.0\nbase_model: me/base\n---\n# x\n", Base("me/base", "apache-2.0")),
        ("---\nlicense: unknown\nbase_model: [a, b]\n---\n", Base()),
        ("---\nlicense: 'x\\n---\\n# y'\nbase_model: '../../etc/passwd'\n---\n", Base()),
        ("---\n: {[\n---\n", Base()),
        ("---\n- 1\n---\n", Base()),
        ("# no front matter\n", Base()),
        ("", Base()),
    ],
)
def test_of_a_bases_own_card_only_names_and_licences_are_taken(card: str, base: Base) -> None:
    assert base_of(card) == base

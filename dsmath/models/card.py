"""A model's card: `README.md` beside its weights, as the Hugging Face hub and people read it.

It says what the model grew from, how it is asked, how it was measured and how it is made again. It leaves the machine,
so places on it and whatever looks like a secret are taken out (`public`), and no text in it means anything to Markdown.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from markupsafe import Markup

from dsmath.shown import fenced, markdown_templates

QUESTION = "Mia has 3 rows of 4 red cups. Mia buys 5 more. How many does Mia have now?"
PLACE, SECRET = "LOCAL_PATH", "LEFT_OUT"

_PLACE = r"(?:[A-Za-z][\w+.-]*://|[A-Za-z]:\\|~|\.{0,2}/(?=[\w.]))"  # an address, a drive, a home, or a path
_PLACES = re.compile(rf"'{_PLACE}[^']*'|\"{_PLACE}[^\"]*\"|(?<![\w.]){_PLACE}[^\s,;'\"\]}})]*")
_WHOLE = re.compile(_PLACE)
_SECRETS = re.compile(r"\b(?:hf_\w{16,}|sk-[\w-]{16,}|ghp_\w{16,}|wandb_v\d_\w{16,}|[0-9a-f]{40})\b")
_SECRET_KEYS = re.compile(r"(?:^|[._])(?:api_?key|token|password|passwd|secret|credentials?)$", re.IGNORECASE)
_KEY = re.compile(r"[+~]*[\w./@-]+")  # of an override
_HUB_NAME = re.compile(r"[\w-][\w.-]*(?:/[\w-][\w.-]*)?")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Base:
    """What a model started from: its name on the hub and its licence, where they are known."""

    name: str | None = None
    license: str | None = None


@dataclass(frozen=True)
class Ancestor:
    """A result that the model grew from, or itself; `depth` steps away. `note` says when and by what it was made."""

    depth: int
    label: str
    fingerprint: str
    note: str


@dataclass(frozen=True)
class Evaluation:
    """A benchmark's numbers: name, value, and both ends of its interval, all as shares; `asked` says how."""

    benchmark: str
    problems: int
    confidence: float
    asked: str
    measures: Sequence[tuple[str, float, float, float]]


@dataclass(frozen=True)
class Asking:
    """How the model is asked: as dsmath/models/prompt.py renders a question."""

    style: Literal["plain", "chat"]
    instruction: str
    begins: bool  # a begin token comes first, in the plain style
    max_new_tokens: int


@dataclass(frozen=True)
class Card:
    """Everything that a card says. `kind` is a policy, or a reward model, which scores tokens.

    `settings` has the values that decided each stage's result, by `STAGE FINGERPRINT`; `overrides` are the run's, None
    where only the store is known; `code` is the version and commit that made it. `step` is that of a model whose
    training has not ended.
    """

    title: str
    kind: Literal["policy", "reward_model"]
    stage: str
    method: str
    base: Base
    architecture: str
    parameters: int
    dtype: str
    context_length: int
    asking: Asking
    tools: bool
    lineage: Sequence[Ancestor]
    metrics: Mapping[str, float]
    evaluations: Sequence[Evaluation]
    settings: Mapping[str, Any]
    overrides: Sequence[str] | None
    code: str
    step: int | None = None


def render(card: Card) -> str:
    """The card as Markdown with the hub's front matter."""
    template = markdown_templates("dsmath.models", _FILTERS).get_template("card.md")
    settings = yaml.safe_dump(public(card.settings), sort_keys=False, allow_unicode=True, width=110).rstrip()
    words = None if card.overrides is None else [str(public(word)) for word in card.overrides]
    return template.render(card=card, front=_front(card), example=example(card), settings=settings, words=words) + "\n"


def example(card: Card) -> str:
    """A program that asks the model as it was trained to be asked."""
    scores = card.kind == "reward_model"
    kind = "AutoModelForTokenClassification" if scores else "AutoModelForCausalLM"
    lines = [
        "import torch",
        f"from transformers import {kind}, AutoTokenizer",
        "",
        'place = "."  # this folder, or its name on the hub',
        "tokenizer = AutoTokenizer.from_pretrained(place)",
        f"model = {kind}.from_pretrained(place)",
        "",
        f"question = {QUESTION!r}",
    ]
    text = "question" if not card.asking.instruction else f"question + {f' {card.asking.instruction}'!r}"
    if card.asking.style == "chat":
        lines += [
            f'messages = [{{"role": "user", "content": {text}}}]',
            "tokens = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)",
        ]
    else:
        lines.append(f'tokens = tokenizer({text} + "\\n", add_special_tokens=False)["input_ids"]')
        if card.asking.begins:
            lines.append("tokens = [tokenizer.bos_token_id, *tokens]")
    if scores:
        lines += [
            'solution = "3 * 4 = 12\\n12 + 5 = 17\\n17"',
            'tokens += tokenizer(solution, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]',
            "with torch.no_grad():",
            "    scores = model(torch.tensor([tokens])).logits[0, :, 0]  # one for each token",
            "print(scores[-1].item())",
        ]
    else:
        lines += [
            "inputs = torch.tensor([tokens])",
            "mask = torch.ones_like(inputs)  # nothing is padded",
            f"outputs = model.generate(inputs, attention_mask=mask, max_new_tokens={card.asking.max_new_tokens}, "
            "do_sample=False)",
            "print(tokenizer.decode(outputs[0, len(tokens) :], skip_special_tokens=True))",
        ]
    return "\n".join(lines)


def public(value: Any, key: str = "") -> Any:
    """A value of the config, or an override, without places on this machine, addresses, and what looks like a secret.

    Names of the hub and relative places such as `data/train.jsonl` stay.
    """
    if isinstance(value, Mapping):
        return {name: public(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [public(item, key) for item in value]
    return _public_text(value, key) if isinstance(value, str) else value


def _public_text(text: str, key: str) -> str:
    name, equals, given = text.partition("=")
    if equals and _KEY.fullmatch(name):
        return f"{name}={_public_text(given, name)}"
    if _SECRET_KEYS.search(key):
        return SECRET
    if _WHOLE.match(text.strip("'\"")):  # a path may have blanks
        return PLACE
    return _SECRETS.sub(SECRET, _PLACES.sub(PLACE, text))


def base_of(card: str) -> Base:
    """What the front matter of a base model's own card says; nothing where it says nothing that can be used."""
    parts = card.split("---\n", 2)
    try:
        said = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else None
    except yaml.YAMLError:
        said = None
    said = said if isinstance(said, dict) else {}
    name, terms = said.get("base_model"), said.get("license")
    return Base(
        name if isinstance(name, str) and _HUB_NAME.fullmatch(name) else None,
        terms if isinstance(terms, str) and _LICENSE.fullmatch(terms) and terms != "unknown" else None,
    )


def _front(card: Card) -> Markup:
    said: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "token-classification" if card.kind == "reward_model" else "text-generation",
        "license": card.base.license or "unknown",
    }
    if card.base.name is not None:
        said["base_model"] = card.base.name
    said["tags"] = list(dict.fromkeys(["dsmath", "math", card.stage.replace("_", "-"), card.method]))
    return Markup(f"---\n{yaml.safe_dump(said, sort_keys=False)}---")


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


_FILTERS = {
    "number": _number,
    "percent": lambda share: f"{100 * share:.1f}",
    "python": lambda text: fenced(text, "python"),
    "yaml": lambda text: fenced(text, "yaml"),
    "shell": lambda text: fenced(text, "sh"),
    "command": lambda words: shlex.join(["dsmath", *words]),
    "deep": lambda depth: Markup("  " * depth),
}

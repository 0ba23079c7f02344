"""How a question is put to a model, and how a solution is what it should say.

Prompt and completion are tokenised apart and joined as tokens, so that the boundary between them is the same in
training, where the completion is known, as in sampling, where it isn't. The same holds for what tools say within a
completion.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from dsmath.errors import UserError
from dsmath.models.code_blocks import written_parts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def render_prompt(
    tokenizer: "PreTrainedTokenizerBase", question: str, *, style: Literal["plain", "chat"], instruction: str
) -> list[int]:
    """The tokens of a question.

    `plain` is the question, a blank and the instruction if there is one, and a line break, after the begin token of
    tokenizers that put one; `chat` is the tokenizer's chat template up to where the assistant speaks.
    Raises UserError when `chat` is asked of a tokenizer without a template.
    """
    text = f"{question} {instruction}" if instruction else question
    if style == "plain":
        return [*begin_tokens(tokenizer), *encode(tokenizer, f"{text}\n")]
    if tokenizer.chat_template is None:
        raise UserError(
            "prompt style chat: the model's tokenizer has no chat template; "
            "use style plain, or a model that was tuned on instructions"
        )
    # Since transformers 5 the template gives a BatchEncoding unless told otherwise.
    rendered: Any = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return [int(token) for token in rendered]


def render_completion(tokenizer: "PreTrainedTokenizerBase", solution: str) -> tuple[list[int], list[bool]]:
    """The tokens of a solution and the end token that closes it, and which of them are to be learned.

    Those are all but the blocks of output, which the tool will write (dsmath/models/code_blocks.py).
    """
    tokens: list[int] = []
    learned: list[bool] = []
    for text, written in written_parts(solution):
        part = encode(tokenizer, text) if written else encode_output(tokenizer, text)
        tokens += part
        learned += [written] * len(part)
    return [*tokens, int(tokenizer.eos_token_id)], [*learned, True]


def begin_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The begin token, of tokenizers that put one before a text of their own accord."""
    return [token for token in tokenizer("")["input_ids"] if token == tokenizer.bos_token_id]


def encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """The tokens of a piece of text, without any that begin or end one."""
    # `verbose` would warn of texts longer than the context, which the caller cuts or drops.
    return [int(token) for token in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]


def decode(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int]) -> str:
    """The text of tokens as it stands: special ones are spelled, and no blank is tidied away."""
    return str(tokenizer.decode(list(tokens), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def encode_output(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """The tokens of text that nobody vouches for: no special token is among them, whatever the text spells."""
    added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
    control = {number for number, content in added.items() if content.strip()}
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no text for a tokenizer
    cuts = {0, len(text)}
    if names := "|".join(re.escape(added[number]) for number in control):
        # inside every place that spells one, so that none is read whole
        cuts |= {found.start() + 1 for found in re.finditer(f"(?=(?:{names}))", text)}
    places = sorted(cuts)
    tokens = [token for start, end in pairwise(places) for token in encode(tokenizer, text[start:end])]
    return [token for token in tokens if token not in control]

"""How a question is put to a model, and how a solution is what it should say.

Prompt and completion are tokenised apart and joined as tokens, so that the boundary between them is the same in
training, where the completion is known, as in sampling, where it isn't.
"""

from typing import TYPE_CHECKING, Any, Literal

from dsmath.errors import UserError

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
        begin = [token for token in tokenizer("")["input_ids"] if token == tokenizer.bos_token_id]
        return [*begin, *encode(tokenizer, f"{text}\n")]
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


def render_completion(tokenizer: "PreTrainedTokenizerBase", solution: str) -> list[int]:
    """The tokens of a solution and the end token that closes it."""
    return [*encode(tokenizer, solution), int(tokenizer.eos_token_id)]


def encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """The tokens of a piece of text, without any that begin or end one."""
    # `verbose` would warn of texts longer than the context, which the caller cuts or drops.
    return [int(token) for token in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]]

"""Scorers: a transformer with one number for every token, as reward and value models are.

They are transformers' token classifiers with a single label, so that any tool that knows those loads them.
"""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dsmath.errors import UserError
from dsmath.models.grouped import Layout, can_group, classifier_logits
from dsmath.models.load import Policy, quietly, require_config
from dsmath.rl.log_probs import position_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass
class Scorer:
    """A token classifier with one label, and the tokenizer that belongs to it; `context_length` is in tokens."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    context_length: int

    def copy(self) -> "Scorer":
        """Its own weights, the same tokenizer."""
        return Scorer(copy.deepcopy(self.model), self.tokenizer, self.context_length)


def scorer_from_policy(policy: Policy) -> Scorer:
    """A scorer with the policy's transformer, in its dtype and on its device, whose every score is still 0.

    The process's own random state stays as it was. Raises UserError for an architecture that transformers has no token
    classifier of.
    """
    from transformers import AutoModelForTokenClassification

    config = copy.deepcopy(policy.model.config)
    config.num_labels = 1
    config.classifier_dropout = 0.0
    config.architectures = None
    with torch.random.fork_rng(devices=[]), quietly():
        try:
            model = AutoModelForTokenClassification.from_config(config, dtype=policy.model.dtype)
        except ValueError as error:
            kind = type(policy.model).__name__
            raise UserError(
                f"{kind}: transformers has no token classifier of this architecture to score with"
            ) from error
    model.to(policy.model.device)
    model.base_model.load_state_dict(policy.model.base_model.state_dict())
    with torch.no_grad():
        for parameter in _head(model):
            parameter.zero_()
    return Scorer(model.eval(), policy.tokenizer, policy.context_length)


def save_scorer(scorer: Scorer, folder: Path, *, weights: dict[str, Tensor] | None = None) -> None:
    """Write a scorer as safetensors and tokenizer files that transformers loads anywhere.

    `weights` are the model's where it does not hold them whole itself (dsmath/training/sharding.py).
    """
    with quietly():
        scorer.model.save_pretrained(folder, state_dict=weights)
        scorer.tokenizer.save_pretrained(folder)


def load_scorer(folder: Path) -> Scorer:
    """The scorer in a folder that `save_scorer` wrote, in float32.

    Raises UserError when the folder holds no model, or one that does not give a single number for every token.
    """
    require_config(folder)
    with quietly(), torch.random.fork_rng(devices=[]):
        from safetensors import SafetensorError
        from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer

        try:
            labels = AutoConfig.from_pretrained(folder, local_files_only=True).num_labels
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            loaded: Any = AutoModelForTokenClassification.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            described = " ".join(str(error).split())[:300]
            raise UserError(f"{folder}: transformers cannot load it as a token classifier: {described}") from error
    model, report = loaded
    absent = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if absent:  # transformers would go on with random weights
        raise UserError(
            f"{folder}: not a reward model: {len(absent)} weights are missing or have another shape, such as "
            f"{absent[0]}; expected a folder that the stage reward_model or save_pretrained of a token classifier wrote"
        )
    if labels != 1:
        raise UserError(f"{folder}: a token classifier with {labels} labels; expected 1, the score of a token")
    return Scorer(model.eval(), tokenizer, int(model.config.max_position_embeddings))


def require_same_tokenizer(scorer: Scorer, policy: Policy, *, what: str) -> None:
    """Raise UserError when the scorer would read the policy's tokens as others; `what` names the scorer's place."""
    ours, theirs = _tokens(scorer.tokenizer), _tokens(policy.tokenizer)
    padding = policy.tokenizer.pad_token_id
    if padding not in ours:  # loading a policy may add one, which no output has
        theirs.pop(padding, None)
    if ours == theirs:
        rows, needed = _embedded(scorer.model), _embedded(policy.model)
        if rows <= max(ours):
            raise UserError(
                f"{what}: its model knows {rows} tokens and the policy's {needed}, though their tokenizers agree; "
                "use a model that grew from the same one as the policy"
            )
        return
    first = next(i for i in range(max(*ours, *theirs) + 1) if ours.get(i) != theirs.get(i))
    raise UserError(
        f"{what}: its tokenizer is not the policy's, so it would read other texts than the policy writes "
        f"({len(ours)} tokens against {len(theirs)}; token {first} is {_shown(ours, first)} there and "
        f"{_shown(theirs, first)} in the policy); use a reward model that grew from the same model as the policy"
    )


def token_scores(
    model: "PreTrainedModel",
    sequences: Int[Tensor, "batch length"],
    attention_mask: Bool[Tensor, "batch length"],
    *,
    response_length: int,
    before: bool,
) -> Float[Tensor, "batch response_length"]:
    """The score of each of the last `response_length` tokens of every row, in float32 at least.

    At the token itself, having read it, as a reward model does; or with `before` at the position before it, as the
    value of the state in which the token was chosen. Rows are a left-padded prompt, of a token at least, followed by a
    right-padded completion, as `Rollout.sequences`. Gradients flow to the model. Values at padding are finite and mean
    nothing: mask them.
    """
    if can_group(model):
        layout = Layout(sequences, attention_mask, response_length=response_length)
        logits = classifier_logits(model, layout.tokens, layout.positions, layout)
        scores = logits.squeeze(-1).index_select(0, layout.places(before=before))
        return layout.padded(scores.to(torch.promote_types(scores.dtype, torch.float32)))
    scores = model(  # a pad token may be one that the scorer has no embedding of
        input_ids=sequences.masked_fill(~attention_mask, 0),
        attention_mask=attention_mask.long(),
        position_ids=position_ids(attention_mask),
    ).logits.squeeze(-1)
    end = sequences.shape[1] - (1 if before else 0)
    part: Tensor = scores[:, end - response_length : end]
    return part.to(torch.promote_types(part.dtype, torch.float32))


def _head(model: "PreTrainedModel") -> list[Tensor]:
    """The parameters outside the transformer itself."""
    within = {id(parameter) for parameter in model.base_model.parameters()}
    return [parameter for parameter in model.parameters() if id(parameter) not in within]


def _embedded(model: "PreTrainedModel") -> int:
    """How many tokens a model has an embedding of."""
    table: Any = model.get_input_embeddings()
    return int(table.num_embeddings)


def _tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[int, str]:
    return {number: token for token, number in tokenizer.get_vocab().items()}


def _shown(tokens: dict[int, str], number: int) -> str:
    return repr(tokens[number]) if number in tokens else "absent"

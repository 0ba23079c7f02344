"""The stage `pretrain`: a base model, trained on a mixture of token shards (§2.2, §2.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

from dsmath.config.pretraining import batch_rows, steps
from dsmath.data.text_sources import TextSource
from dsmath.data.token_shards import TokenShards, tokenise
from dsmath.errors import UserError
from dsmath.models.load import parameter_count
from dsmath.stages.policies import initial_policy, keep_policy
from dsmath.stages.tokens import TOKENS
from dsmath.training.fit import fit
from dsmath.work import Work


def run(work: Work) -> Mapping[str, Any]:
    """Train, keep the model, and say how it went.

    Raises:
        UserError: when there is nothing held out to measure the loss on.
    """
    e = work.experiment
    policy = initial_policy(work, "model")
    texts = held_out_texts(e.pretrain.held_out.build())
    folder = work.upstreams["tokens"].path / TOKENS
    shards = {name: TokenShards(folder / name) for name, weight in e.pretrain.mixture.items() if weight}
    data = e.pretrain.data.build(
        shards=shards,
        mixture=e.pretrain.mixture,
        held_out=list(tokenise(policy.tokenizer, texts)),
        held_out_bytes=sum(len(text.encode()) for text in texts),
        batch_rows=batch_rows(e),
        validation_rows=e.pretrain.micro_batch_size,
        sequence_length=e.pretrain.sequence_length,
        seed=e.seed,
    )
    module = e.pretrain.module.build(
        model=policy.model,
        optim=e.pretrain.optim.build(),
        schedule=e.pretrain.schedule,
        steps=steps(e),
        gradient_clip=e.pretrain.gradient_clip,
        micro_batch_size=e.pretrain.micro_batch_size,
        validate_every=e.pretrain.validate_every,
        seed=e.seed,
    )
    fit(work, module, data, shown=("loss", "validation_loss"))
    keep_policy(policy, work.folder)
    last = module.last_metrics
    said = ("loss", "validation_loss", "validation_perplexity", "validation_nats_per_byte")
    seen = {name: value for name, value in last.items() if name.startswith(("share_", "epochs_"))}
    found = {name: last.get(name) for name in said}
    return {"parameters": parameter_count(policy.model), **found, **seen, **module.cost()}


def held_out_texts(source: TextSource) -> Sequence[str]:
    """Every document of a source that is not blank.

    Raises:
        UserError: when there is none.
    """
    found = [text for part in source.parts() for text in source.texts(part) if text.strip()]
    if not found:
        raise UserError("pretrain.held_out: it has no documents, so no held-out loss could be measured")
    return found

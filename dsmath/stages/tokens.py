"""The stage `tokens`: the documents of every source that the mixture names, as token shards.

A finished shard is not made again: killed and started again, the stage goes on behind the last one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dsmath.config.pretraining import folders_of, used_sources
from dsmath.data.text_sources import TextSource
from dsmath.data.token_shards import ShardSize, shard_size, tokenise, write_shard
from dsmath.errors import UserError
from dsmath.interrupt import stop_if_requested
from dsmath.models.load import tokenizer_of
from dsmath.progress import Progress
from dsmath.work import Work

TOKENS = "tokens"  # the folder of the result that has a folder of shards for each source


def run(work: Work) -> Mapping[str, Any]:
    """Tokenise every source, a shard for each of its parts, and say how much there is.

    Raises:
        UserError: for a source that has no documents, and for texts that cannot be read.
    """
    e = work.experiment
    tokenizer = tokenizer_of(e.model.policy) or e.model.policy.build().tokenizer
    vocabulary_size = max(tokenizer.get_vocab().values()) + 1
    sources: dict[str, TextSource] = {}
    for name, component in used_sources(e).items():
        sources[name] = component.build(**{up: work.upstreams[up].path for up in folders_of(component)})
    parts = [(name, number, part) for name, source in sources.items() for number, part in enumerate(source.parts())]
    totals = {name: ShardSize(0, 0) for name in sources}
    progress = Progress(work.label, len(parts), enabled=e.trainer.progress)
    progress.start()
    try:
        for done, (name, number, part) in enumerate(parts, start=1):
            path = shard_path(work.folder, name, number)
            if path.exists():
                size = shard_size(path)
            else:
                documents = tokenise(tokenizer, _until_stopped(sources[name].texts(part)))
                size = write_shard(path, documents, vocabulary_size=vocabulary_size)
            totals[name] = ShardSize(totals[name].documents + size.documents, totals[name].tokens + size.tokens)
            progress.advance_to(done)
    finally:
        progress.stop()
    for name, total in totals.items():
        if not total.documents:
            raise UserError(
                f"pretrain.mixture.{name}: its source has no documents to learn from; look at what pretrain.sources."
                f"{name} reads, or leave it out with pretrain.mixture.{name}=0 and share its weight among the others"
            )
    found: dict[str, Any] = {}
    for name, total in totals.items():
        found |= {f"documents_{name}": total.documents, f"tokens_{name}": total.tokens}
    return found


def _until_stopped(texts: Iterator[str]) -> Iterator[str]:
    """The texts, between which the stage can be stopped."""
    for text in texts:
        stop_if_requested()
        yield text


def shard_path(folder: Path, source: str, number: int) -> Path:
    """Where a part of a source lies as tokens."""
    return folder / TOKENS / source / f"shard-{number:05d}.arrow"

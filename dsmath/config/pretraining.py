"""Pre-training: what its mixture draws on, how long it is, and what cannot work."""

import re
from collections.abc import Mapping

from dsmath.config.paradigm import Broken
from dsmath.config.schema import Experiment
from dsmath.config.types import Component
from dsmath.errors import UserError, did_you_mean

SMALLEST = 1e-4  # weights count to four decimals
FILES = "dsmath.data.text_sources.TextFiles"
TOKENIZER_ARGUMENTS = {  # of a policy, those that decide its tokenizer; of one's own, all do
    "dsmath.models.load.tiny": (),
    "dsmath.models.load.pretrained": ("path",),
    "dsmath.models.load.smollm2_135m": (),
}
OF_CRAWL = {  # sources that read the results of these stages
    "dsmath.data.text_sources.CollectedPages": ("corpus",),
    "dsmath.data.text_sources.SeedPages": ("pages", "corpus"),
    "dsmath.data.text_sources.OtherPages": ("pages", "corpus"),
}


def used_sources(e: Experiment) -> Mapping[str, Component]:
    """The sources that the mixture gives weight to, in the order of their names."""
    mixture, sources = e.pretrain.mixture, e.pretrain.sources
    return {name: sources[name] for name in sorted(mixture) if mixture[name] and name in sources}


def folders_of(source: Component) -> tuple[str, ...]:
    """The stages whose folders a source is built with."""
    return OF_CRAWL.get(source.target, ())


def token_upstreams(e: Experiment) -> list[str]:
    """The stages that the texts of the mixture come from."""
    needed = {stage for source in used_sources(e).values() for stage in folders_of(source)}
    return [stage for stage in ("pages", "corpus") if stage in needed]


def batch_rows(e: Experiment) -> int:
    """Rows of a global batch: as many as `batch_tokens` has room for."""
    return e.pretrain.batch_tokens // e.pretrain.sequence_length


def steps(e: Experiment) -> int:
    """Optimizer steps: as many as it takes to train on `tokens`."""
    return -(-e.pretrain.tokens // (batch_rows(e) * e.pretrain.sequence_length))


def require_files(e: Experiment) -> None:
    """Refuse to start with a source of the mixture that names no files.

    Raises:
        UserError: naming each of them.
    """
    unset = [
        f"pretrain.sources.{name}.path = null: pretrain.mixture.{name} = {e.pretrain.mixture[name]} draws on it"
        for name, source in used_sources(e).items()
        if _lacks_files(source)
    ]
    if _lacks_files(e.pretrain.held_out):
        unset.append("pretrain.held_out.path = null: the held-out loss is measured on it")
    if unset:
        raise UserError("\n".join(f"{each}; expected the files to read, such as data/*.parquet" for each in unset))


def _lacks_files(source: Component) -> bool:
    return source.target == FILES and source.arguments["path"] is None


def pretrain_sizes(e: Experiment) -> Broken:
    """Batches that the model can read and the devices share."""
    pretrain, ranks = e.pretrain, e.hardware.devices * e.hardware.num_nodes
    if pretrain.sequence_length > e.model.context_length:
        yield (
            "pretrain.sequence_length",
            f" = {pretrain.sequence_length}: longer than the model's context; expected at most model.context_length = "
            f"{e.model.context_length}",
        )
    if pretrain.sequence_length == 1:
        yield "pretrain.sequence_length", " = 1: there is no token to foretell in a row of one; expected at least 2"
    if batch_rows(e) < ranks:
        yield (
            "pretrain.batch_tokens",
            f" = {pretrain.batch_tokens}: has {batch_rows(e)} rows of pretrain.sequence_length = "
            f"{pretrain.sequence_length} for the {ranks} devices of hardware; expected at least "
            f"{ranks * pretrain.sequence_length}",
        )


def mixture_rules(e: Experiment) -> Broken:
    """A mixture that adds up, of sources that there are."""
    mixture, sources = e.pretrain.mixture, e.pretrain.sources
    for name in sorted(mixture):
        if name not in sources:
            yield (
                f"pretrain.mixture.{name}",
                f" = {mixture[name]}: pretrain.sources has no such source{did_you_mean(name, sources)}; there are "
                f"{', '.join(sources)}",
            )
        elif not re.fullmatch(r"\w[\w.-]*", name):
            yield f"pretrain.sources.{name}", ": it names a folder; expected letters, digits, points and hyphens"
        if 0 < mixture[name] < SMALLEST:
            yield f"pretrain.mixture.{name}", f" = {mixture[name]}: expected 0, or at least {SMALLEST}"
    total = sum(mixture.values())
    if abs(total - 1) > SMALLEST:
        yield (
            "pretrain.mixture",
            f" = {mixture}: the weights are shares of the tokens and add up to {total:.6g}; expected 1",
        )

"""Documents as tokens on disk: one Arrow file a shard, memory-mapped, so that any document is read without the others.

Each row is a document: a list of token numbers, of 16 bits where the vocabulary allows, else of 32. Memory holds four
bytes a document, its length; the tokens stay on disk.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

TEXTS = 256  # documents that are tokenised at once
BATCH_TOKENS = 2**22  # tokens of a batch of documents: what writing holds in memory
COLUMN = "tokens"


@dataclass(frozen=True, slots=True)
class ShardSize:
    """What a shard holds."""

    documents: int
    tokens: int


def token_type(vocabulary_size: int) -> "type[np.uint16] | type[np.uint32]":
    """The smallest unsigned type that holds every token number below `vocabulary_size`."""
    return np.uint16 if vocabulary_size <= 2**16 else np.uint32


def tokenise(tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str]) -> Iterator[list[int]]:
    """Each text that is not blank as tokens, with its end token, after the begin token of tokenizers that put one.

    A special token that a text spells is spelled in its tokens too: the web cannot end a document.
    """
    from dsmath.models.prompt import begin_tokens

    begin, end = begin_tokens(tokenizer), int(tokenizer.eos_token_id)
    kept = (text for text in texts if text.strip())
    while some := list(islice(kept, TEXTS)):
        found: Any = tokenizer(
            some,
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        for tokens in found["input_ids"]:
            yield [*begin, *tokens, end]


def write_shard(path: Path, documents: Iterable[Sequence[int]], *, vocabulary_size: int) -> ShardSize:
    """Write documents beside `path` and rename; a shard is there whole or not at all."""
    kind = token_type(vocabulary_size)
    item = pa.field("item", pa.from_numpy_dtype(kind), nullable=False)
    schema = pa.schema([pa.field(COLUMN, pa.list_(item), nullable=False)])
    beside = path.with_name(path.name + ".writing")
    path.parent.mkdir(parents=True, exist_ok=True)
    count = total = 0
    with pa.OSFile(str(beside), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for some in _batches(documents):
            lengths = [len(document) for document in some]
            offsets = pa.array(np.cumsum([0, *lengths], dtype=np.int32))
            values = pa.array(np.concatenate([np.asarray(document, kind) for document in some]))
            lists = pa.ListArray.from_arrays(offsets, values, type=schema.field(COLUMN).type)
            writer.write_batch(pa.record_batch([lists], schema=schema))
            count, total = count + len(some), total + sum(lengths)
    beside.replace(path)
    return ShardSize(count, total)


def _batches(documents: Iterable[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    some: list[Sequence[int]] = []
    held = 0
    for document in documents:
        some.append(document)
        held += len(document)
        if held >= BATCH_TOKENS:
            yield some
            some, held = [], 0
    if some:
        yield some


class TokenShards:
    """The documents of a folder's shards, in order; `lengths[i]` is the number of tokens of document `i`."""

    def __init__(self, folder: Path) -> None:
        self._first: list[int] = []  # of each batch of documents, its first one's number
        self._offsets: list[NDArray[np.int32]] = []
        self._values: list[NDArray[Any]] = []
        lengths, count = [np.empty(0, np.int32)], 0
        for path in sorted(folder.glob("shard-*.arrow")):
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            for number in range(file.num_record_batches):
                lists = file.get_batch(number).column(COLUMN)
                offsets = lists.offsets.to_numpy()
                self._first.append(count)
                self._offsets.append(offsets)
                self._values.append(lists.values.to_numpy())
                lengths.append(np.diff(offsets))
                count += len(lists)
        self.lengths: NDArray[np.int32] = np.concatenate(lengths)
        self.tokens = int(self.lengths.sum(dtype=np.int64))

    def __len__(self) -> int:
        return len(self.lengths)

    def piece(self, document: int, start: int, stop: int) -> "NDArray[Any]":
        """The tokens `start` to `stop` of a document, read from disk."""
        batch = int(np.searchsorted(self._first, document, side="right")) - 1
        begin = int(self._offsets[batch][document - self._first[batch]])
        return self._values[batch][begin + start : begin + stop]


def shard_size(path: Path) -> ShardSize:
    """What a finished shard holds."""
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    batches = [file.get_batch(number).column(COLUMN) for number in range(file.num_record_batches)]
    return ShardSize(sum(map(len, batches)), sum(len(batch.values) for batch in batches))

"""Rows to pre-train on: every token once an epoch, shares as weighed, any ranks, and a number is enough to go on."""

import random
import tracemalloc
from collections import Counter
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dsmath.data.packing import PackedBatch
from dsmath.data.pretraining import PERIOD, Mixture, SourceRows, TokenMixture
from dsmath.data.token_shards import TokenShards, write_shard

LENGTH = 16
WEIGHTS = [
    {"math": 1.0},
    {"math": 0.7, "web": 0.3},
    {"math": 0.56, "algebraic_stack": 0.04, "arxiv": 0.10, "github": 0.20, "natural_language": 0.10},
    {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3},
    {"a": 0.9999, "b": 0.0001, "c": 0.0},
]


def documents(count: int, longest: int = 60, *, first: int = 0) -> list[list[int]]:
    """Every token number occurs once, so that it tells which document it is from, and where."""
    generator, at, found = random.Random(count), first, []
    for _ in range(count):
        size = generator.randrange(1, longest)
        found.append(list(range(at, at + size)))
        at += size
    return found


def shards_of(folder: Path, found: list[list[int]], *, parts: int = 3) -> TokenShards:
    for number in range(parts):
        some = found[number * len(found) // parts : (number + 1) * len(found) // parts]
        write_shard(folder / f"shard-{number:05d}.arrow", some, vocabulary_size=2**20)
    return TokenShards(folder)


def rows_of(shards: TokenShards, count: int, *, seed: int = 0, name: str = "math") -> list[tuple[list[int], list[int]]]:
    rows = SourceRows(shards, name=name, length=LENGTH, seed=seed)
    return [(tokens.tolist(), positions.tolist()) for tokens, positions, _ in map(rows.row, range(count))]


def mixed(folder: Path, weights: dict[str, float], *, rank: int = 0, ranks: int = 1, rows: int = 5, **more: Any) -> Any:
    for at, name in enumerate(weights):
        if not (folder / name).exists():
            shards_of(folder / name, documents(11 + at, first=10_000 * at))
    settings = {"held_out": [], "held_out_bytes": 1, "validation_rows": 2, "seed": 0} | more
    data = TokenMixture(
        shards={name: TokenShards(folder / name) for name in weights}, mixture=weights, batch_rows=rows,
        sequence_length=LENGTH, **settings,
    )  # fmt: skip
    data.trainer = SimpleNamespace(global_rank=rank, world_size=ranks)  # type: ignore[assignment]
    return data


def as_rows(batch: PackedBatch) -> list[tuple[Any, ...]]:
    return list(zip(batch.tokens.tolist(), batch.positions.tolist(), batch.learned.tolist(), batch.ids, strict=True))


@pytest.mark.parametrize(("count", "longest"), [(40, 60), (40, 6), (3, 200), (1, 9), (1, 2)])
def test_rows_are_the_epochs_documents_one_after_the_other(tmp_path: Path, count: int, longest: int) -> None:
    found = documents(count, longest)
    shards = shards_of(tmp_path, found)
    number = -(-3 * shards.tokens // LENGTH) + 1  # three epochs, and a bit
    rows = rows_of(shards, number)
    stream, start = [token for tokens, _ in rows for token in tokens], {d[0]: d for d in found}
    orders = []
    for epoch in range(3):
        rest, order = stream[epoch * shards.tokens : (epoch + 1) * shards.tokens], []
        while rest:  # whole documents, each once
            document = start[rest[0]]
            assert rest[: len(document)] == document
            order.append(document[0])
            rest = rest[len(document) :]
        assert Counter(order) == Counter(start.keys())
        orders.append(tuple(order))
    if count == 40:
        assert len({tuple(start), *orders}) == 4  # shuffled, and anew in each epoch


def test_positions_restart_with_every_document_and_every_row(tmp_path: Path) -> None:
    found = documents(40)
    starts = {document[0] for document in found}
    for tokens, positions in rows_of(shards_of(tmp_path, found), 60):
        for at in range(LENGTH):
            begins = at == 0 or tokens[at] in starts
            assert positions[at] == (0 if begins else positions[at - 1] + 1)


def test_the_order_derives_from_the_seed_and_the_sources_name(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, documents(40))
    assert rows_of(shards, 9) == rows_of(shards, 9)
    different = [rows_of(shards, 9), rows_of(shards, 9, seed=1), rows_of(shards, 9, name="other")]
    assert all(different.count(each) == 1 for each in different)


def test_a_row_does_not_depend_on_which_were_read_before(tmp_path: Path) -> None:
    shards = shards_of(tmp_path, documents(9))
    rows = SourceRows(shards, name="math", length=LENGTH, seed=0)
    expected = [tokens for tokens, _ in rows_of(shards, 50)]
    for number in (49, 3, 20, 3, 0, 48):
        assert rows.row(number)[0].tolist() == expected[number]


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda w: "/".join(f"{v:.3g}" for v in w.values()))
def test_sources_have_their_shares_exactly_at_the_end_of_a_period_and_nearly_at_any_time(
    weights: dict[str, float],
) -> None:
    mixture = Mixture(weights)
    counts: Counter[str] = Counter()
    for row in range(2 * PERIOD + 100):
        if row % 97 == 0 or row % PERIOD == 0:
            assert mixture.rows(row) == {name: counts[name] for name in mixture.names}
            assert all(abs(counts[name] - weights[name] * row) < 2.1 for name in weights)
        name, number = mixture.source(row)
        assert number == counts[name]  # a source's own rows come one after the other
        counts[name] += 1
    assert mixture.rows(PERIOD) == pytest.approx({n: w * PERIOD for n, w in weights.items() if w}, abs=1)
    assert sum(mixture.rows(PERIOD).values()) == PERIOD


def test_a_source_without_weight_is_never_read(tmp_path: Path) -> None:
    data = mixed(tmp_path, {"math": 1.0, "web": 0.0})
    assert all(id.startswith("math-") for batch in islice(data.batches(), 20) for id in batch.ids)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_ranks_share_the_rows_of_the_same_batches(tmp_path: Path, ranks: int) -> None:
    weights = {"math": 0.6, "web": 0.4}
    whole = [as_rows(batch) for batch in islice(mixed(tmp_path, weights).batches(), 12)]
    parts = [islice(mixed(tmp_path, weights, rank=r, ranks=ranks).batches(), 12) for r in range(ranks)]
    for rows, *each in zip(whole, *parts, strict=True):
        shared = [as_rows(part) for part in each]
        assert [shared[at % ranks][at // ranks] for at in range(len(rows))] == rows
        assert sum(map(len, shared)) == len(rows)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_resumed_run_sees_what_an_undisturbed_one_sees_with_any_number_of_ranks(tmp_path: Path, ranks: int) -> None:
    weights = {"math": 0.6, "web": 0.4}
    undisturbed = list(islice(mixed(tmp_path, weights).batches(), 40))
    stopped = mixed(tmp_path, weights)
    stopped.position = undisturbed[22].after
    state = stopped.state_dict()
    found = []
    for rank in range(ranks):
        resumed = mixed(tmp_path, weights, rank=rank, ranks=ranks)
        resumed.load_state_dict(state)
        found.append([as_rows(batch) for batch in islice(resumed.batches(), 17)])
    for at, batch in enumerate(undisturbed[23:]):
        rows = as_rows(batch)
        assert [found[row % ranks][at][row // ranks] for row in range(len(rows))] == rows


def test_what_was_seen_is_counted_in_shares_and_epochs(tmp_path: Path) -> None:
    data = mixed(tmp_path, {"math": 0.6, "web": 0.4})
    tokens: Counter[str] = Counter()
    for batch in islice(data.batches(), 30):
        tokens.update(id.split("-")[0] for id in batch.ids)
    for name, seen in data.seen(30).items():
        assert seen["share"] == tokens[name] / 150
        assert seen["epochs"] == tokens[name] * LENGTH / TokenShards(tmp_path / name).tokens


def test_memory_does_not_grow_with_the_length_of_the_documents(tmp_path: Path) -> None:
    peaks = []
    for factor in (1, 50):
        found = [list(range(1 + 20 * factor)) for _ in range(400)]
        shards_of(tmp_path / str(factor), found)
        tracemalloc.start()
        rows_of(TokenShards(tmp_path / str(factor)), 200)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    tokens_on_disk = 400 * 20 * 50 * 4
    assert peaks[1] - peaks[0] < tokens_on_disk / 20


def test_every_held_out_token_but_a_documents_first_is_foretold_once(tmp_path: Path) -> None:
    held_out = [list(range(100, 100 + size)) for size in (1, 2, LENGTH, LENGTH + 1, 5 * LENGTH)]
    data = mixed(tmp_path, {"math": 1.0}, held_out=held_out)
    batches = list(data.validation_batches())
    assert all(len(batch.tokens) <= 2 for batch in batches)
    foretold: Counter[int] = Counter()
    for batch in batches:
        foretold.update(batch.tokens[batch.learned].tolist())
        before = torch.roll(batch.tokens, 1, dims=1)
        assert torch.equal(batch.tokens[batch.learned], before[batch.learned] + 1)  # from the token before it
    assert foretold == Counter(token for document in held_out for token in document[1:])

"""dsmath's side of `corpus.py`, a step a process: `corpus_dsmath.py STEP WORK [COPIES]`."""

import functools
import json
import pickle
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from corpus_measure import measure, rows

from dsmath.corpus.pages import ExtractShard, PublishShard, write_duplicates, write_facts
from dsmath.corpus.shards import shard_name
from dsmath.corpus.text import Limits, Unreadable, extract
from dsmath.corpus.warc import Loss, Response, read_warc


def settings(work: Path) -> Any:
    """The composed experiment that `compose` left."""
    return pickle.loads((work / "experiment.pickle").read_bytes())


def compose(work: Path) -> dict[str, int]:
    """The experiment, and links to the archives without a loss, as the peer can only read those."""
    from dsmath.config.compose import composer

    asked = json.loads((work / "asked.json").read_text(encoding="utf-8"))
    overrides = ["stage=corpus", "crawl=warc", f"crawl.path={work / 'warc'}", "corpus=small"]
    with composer() as made:
        experiment = made.one([*overrides, "corpus.seed_urls=[planetmath.org]", *asked["overrides"]]).experiment
    (work / "experiment.pickle").write_bytes(pickle.dumps(experiment))
    left_out = 0
    for path in sorted(Path(asked["folder"]).glob("*.warc.gz")):
        with path.open("rb") as stream:
            found = read_warc(stream, name=path.name, max_bytes=experiment.pages.limits.max_bytes)
            if any(isinstance(each, Loss) for each in found):
                left_out += 1
            else:
                (work / "warc" / path.name).symlink_to(path)
    near = experiment.pages.near_duplicates
    return {"left_out": left_out, "shingle": near.shingle, "bands": near.bands, "rows": near.permutations // near.bands}


def html_pages(work: Path) -> Iterator[Response]:
    """The HTML pages of all archives."""
    for path in sorted((work / "warc").iterdir()):
        with path.open("rb") as stream:
            for found in read_warc(stream, name=path.name, max_bytes=settings(work).pages.limits.max_bytes):
                if isinstance(found, Response) and found.refused is None:
                    yield found


def text(body: bytes, charset: str | None, limits: Limits) -> str | None:
    try:
        return extract(body, charset=charset, limits=limits).text
    except Unreadable:
        return None


def prepare(work: Path) -> dict[str, int]:
    """The input of the single steps, the same for both sides, and classifiers from every second page.

    One is of words as dsmath spells them, the peer's of plain text, so that each meets the words it was trained on.
    """
    from dsmath.corpus.charset import decode
    from dsmath.corpus.classifier import NEGATIVE, POSITIVE, as_line, train

    experiment, limits = settings(work), Limits(**asdict(settings(work).pages.limits))
    schema = pa.schema(
        {"url": pa.string(), "body": pa.binary(), "charset": pa.string(), "html": pa.string(), "text": pa.string()}
    )
    pages, lines = 0, {"classifier": [], "theirs": []}
    with pq.ParquetWriter(work / "pages.parquet", schema, compression="zstd") as file:
        for page in html_pages(work):
            if found := text(page.body, page.charset, limits):
                html = decode(page.body, page.charset)[0]  # for the peer, whose reader hands on decoded pages
                row = {"url": page.url, "body": page.body, "charset": page.charset, "html": html, "text": found}
                file.write_batch(pa.RecordBatch.from_pylist([row], schema))
                pages += 1
                if pages % 2:
                    label = POSITIVE if "planetmath" in page.url else NEGATIVE
                    lines["classifier"].append(f"{label} {as_line(found)}\n")
                    lines["theirs"].append(f"{label} {' '.join(found.split())}\n")
    for name, several in lines.items():
        (work / "training.txt").write_text("".join(several), encoding="utf-8")
        train(work / "training.txt", experiment.corpus.fasttext, seed=0, model=work / f"{name}.bin")
    return {"pages": pages}


def read(work: Path) -> dict[str, int]:
    return {"out": sum(1 for _ in html_pages(work))}


def extraction(work: Path) -> dict[str, int]:
    limits = Limits(**asdict(settings(work).pages.limits))
    return {"out": sum(bool(text(*row, limits)) for row in rows(work / "pages.parquet", "body", "charset"))}


def language(work: Path) -> dict[str, int]:
    from dsmath.corpus.language import detect

    wanted = {*settings(work).pages.languages, "unknown"}
    return {"out": sum(detect(page)[0] in wanted for (page,) in rows(work / "pages.parquet", "text"))}


def decontamination(work: Path) -> dict[str, int]:
    """Building the index of the benchmarks is in it."""
    task = extract_shard(work, work)
    return {"out": sum(not task._index.hits(page) for (page,) in rows(work / "pages.parquet", "text"))}


def minhash(work: Path) -> dict[str, int]:
    """Signatures and the reduction, to the pages that are left."""
    from dsmath.corpus.duplicates import find_duplicates
    from dsmath.corpus.minhash import band_keys, exact_key

    task, path = extract_shard(work, work), work / "signed.parquet"
    columns = {"url": pa.string(), "text": pa.string(), "exact_key": pa.uint64(), "bands": pa.list_(pa.uint64())}
    schema, waiting = pa.schema(columns), []
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for url, page in rows(work / "pages.parquet", "url", "text"):
            waiting.append((url, page, exact_key(page), band_keys(page, task._near)))
            if len(waiting) == 1000:
                file.write_table(pa.table(list(zip(*waiting, strict=True)), schema))
                waiting = []
        if waiting:
            file.write_table(pa.table(list(zip(*waiting, strict=True)), schema))
    found = find_duplicates([path], task._near, buckets=task.settings.buckets, folder=work)
    gone = set(found["row"])
    return {"out": sum(row not in gone for row, _ in enumerate(rows(path, "url", "text")))}


def scoring(work: Path) -> dict[str, int]:
    from dsmath.corpus.classifier import Scorer

    pages = (page for (page,) in rows(work / "pages.parquet", "text"))
    return {"out": int((Scorer.load(work / "classifier.bin").log_odds(pages) > 0).sum())}


class Copies:
    """The crawl, so many times."""

    def __init__(self, work: Path, copies: int) -> None:
        self._paths = [str(path) for path in sorted((work / "warc").iterdir())] * copies

    def build(self) -> "Copies":
        return self

    def shards(self) -> list[str]:
        return self._paths

    def open(self, shard: str) -> BinaryIO:
        return Path(shard).open("rb")


class ExtractCopies(ExtractShard):
    """Shards of later copies get other URLs and other letters, so that they repeat nothing of the first."""

    def run(self, shard: int) -> None:
        self.copy = shard // len(set(self.crawl.shards()))
        super().run(shard)

    def _row(self, url: str, code: str, extracted: Any, page: str) -> dict[str, Any]:
        if self.copy:
            url, page = f"{url}#{self.copy}", page.translate(_letters(self.copy))
        return super()._row(url, code, extracted, page)


@functools.cache
def _letters(copy: int) -> dict[int, int]:
    """Letters of the scripts at hand moved on: a text stays as long, and has no word of the original."""
    blocks = ((0x41, 26), (0x61, 26), (0x3B1, 24), (0x430, 32), (0x3041, 80), (0x4E00, 20_000), (0xAC00, 11_000))
    return {start + i: start + (i + copy) % size for start, size in blocks for i in range(size)}


def extract_shard(work: Path, folder: Path, copies: int = 1) -> ExtractCopies:
    experiment = settings(work)
    return ExtractCopies(Copies(work, copies), experiment.pages, experiment.decontamination, folder)


def whole(work: Path, copies: int = 1) -> dict[str, int]:
    """All of it as the stages do it: from WARC files to scored pages."""
    from dsmath.corpus.scoring import ScoreShard

    folder = work / f"whole-{copies}"
    shutil.rmtree(folder, ignore_errors=True)
    task = extract_shard(work, folder, copies)
    shards = range(len(task.crawl.shards()))
    for shard in shards:
        task.run(shard)
    write_duplicates([folder / "extracted" / shard_name(shard) for shard in shards], task.settings, folder)
    for shard in shards:
        PublishShard(folder, folder).run(shard)
    write_facts(folder, folder, len(shards))
    score = ScoreShard(folder / "pages", work / "classifier.bin", folder)
    for shard in shards:
        score.run(shard)
    odds = (pq.read_table(score.done(shard))["log_odds"].to_numpy() for shard in shards)
    return {"out": sum(int((each > 0).sum()) for each in odds)}


def duplicates(work: Path, copies: int) -> dict[str, int]:
    """The reduction alone, on what `whole` extracted."""
    from dsmath.corpus.duplicates import find_duplicates

    folder, task = work / f"whole-{copies}", extract_shard(work, work)
    paths = sorted((folder / "extracted").iterdir())
    found = find_duplicates(paths, task._near, buckets=task.settings.buckets, folder=folder)
    return {"out": len(found)}


def selection(work: Path, copies: int) -> dict[str, int]:
    """The cut at half of the tokens, on what `whole` scored."""
    from dsmath.corpus.pages import read_facts
    from dsmath.corpus.scoring import scored
    from dsmath.corpus.selection import find_cut

    folder = work / f"whole-{copies}"
    facts = read_facts(folder)
    cut = find_cut(lambda: scored(folder, facts.shards), facts.tokens // 2)
    return {"out": sum(int((keys >= cut).sum()) for keys, _ in scored(folder, facts.shards))}


def round_of(work: Path, copies: int) -> dict[str, int]:
    """A first round of collection with its training, on what `whole` published."""
    from dsmath.corpus.pages import read_facts
    from dsmath.corpus.rounds import Round, collect

    folder, experiment = work / f"whole-{copies}", settings(work)
    for name in ("round", "round-scratch"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    facts = read_facts(folder)
    found = collect(
        Round(
            number=1, crawl="warc", pages=folder / "pages", facts=facts, settings=experiment.corpus,
            token_budget=facts.tokens // 4, before=None, folder=folder / "round", scratch=folder / "round-scratch",
            seed=0, launcher=experiment.launcher, tell=lambda _: None,
        )
    )  # fmt: skip
    return {"out": found.history[-1].pages}


STEPS = (
    compose, prepare, read, extraction, language, decontamination, minhash, scoring, whole, duplicates, selection,
    round_of,
)  # fmt: skip

if __name__ == "__main__":
    name, work, *more = sys.argv[1:]
    step = {each.__name__: each for each in STEPS}[name]
    measure(functools.partial(step, Path(work), *map(int, more)))

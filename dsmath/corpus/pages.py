"""From the records of a crawl to its pages (§2.1): text with its mathematics, in the wanted languages, each page once,
without the benchmarks.

A shard's records are read by a task of their own (`ExtractShard`); what repeats another page is found over all shards
(`dsmath/corpus/duplicates.py`); then each shard's pages are published (`PublishShard`).
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from dsmath.config.schema import Decontamination, Pages
from dsmath.config.types import Component
from dsmath.corpus import language, urls
from dsmath.corpus.decontamination import BenchmarkIndex, Hit
from dsmath.corpus.duplicates import find_duplicates
from dsmath.corpus.minhash import NearDuplicates, band_keys, exact_key
from dsmath.corpus.round_facts import KEPT, Flow
from dsmath.corpus.shards import ROWS, publish, publish_frame, publish_table, publish_text, shard_name
from dsmath.corpus.text import Extracted, Limits, Unreadable, extract
from dsmath.corpus.warc import Loss, Response, read_warc

READ, TEXT, LANGUAGE, BENCHMARKS, DUPLICATES = "records read", "text", "language", "benchmarks", "duplicates"
STEPS = (READ, TEXT, LANGUAGE, BENCHMARKS, DUPLICATES)
FACTS = "facts.json"

PAGE = pa.schema(
    [
        ("url", pa.string()),
        ("domain", pa.string()),
        ("title", pa.string()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("markup", pa.string()),
        ("formulas", pa.int32()),
        ("tokens", pa.int64()),
    ]
)
_EXTRACTED = PAGE.append(pa.field("exact_key", pa.uint64())).append(pa.field("bands", pa.list_(pa.uint64())))
DROPPED = pa.schema(
    [
        ("url", pa.string()),
        ("step", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("tokens", pa.int64()),
    ]
)


@dataclass(slots=True)
class _Fate:
    """A page that goes no further; `tokens` is None where no text was read."""

    url: str
    step: str
    reason: str
    detail: str = ""
    tokens: int | None = None


@dataclass
class ExtractShard:
    """Reads one shard of the crawl into `folder/extracted`, `folder/refused` and `folder/found`."""

    crawl: Component
    settings: Pages
    decontamination: Decontamination
    folder: Path
    name: str = "extract"

    def done(self, shard: int) -> Path:
        return self.folder / "extracted" / shard_name(shard)

    def run(self, shard: int) -> None:
        """Every record becomes a page or has a reason for being none; the texts in memory are `ROWS` at a time."""
        refused: list[_Fate] = []
        found: dict[str, list[dict[str, Any]]] = {"losses": [], "hits": []}

        def write(beside: Path) -> None:
            refused.clear()
            found["losses"].clear()
            found["hits"].clear()
            with pq.ParquetWriter(beside, _EXTRACTED, compression="zstd") as writer:
                rows: list[dict[str, Any]] = []
                for row in self._rows(shard, refused, found):
                    rows.append(row)
                    if len(rows) == ROWS:
                        writer.write_table(pa.Table.from_pylist(rows, _EXTRACTED))
                        rows = []
                writer.write_table(pa.Table.from_pylist(rows, _EXTRACTED))
            publish_table(
                self.folder / "refused" / shard_name(shard), pa.Table.from_pylist([*map(asdict, refused)], DROPPED)
            )
            publish_text(self.folder / "found" / shard_name(shard, ".json"), json.dumps(found, ensure_ascii=False))

        publish(self.done(shard), write)

    def _rows(
        self, shard: int, refused: list[_Fate], found: Mapping[str, list[dict[str, Any]]]
    ) -> Iterator[dict[str, Any]]:
        crawl = self.crawl.build()
        name = crawl.shards()[shard]
        with crawl.open(name) as stream:
            for record in read_warc(stream, name=Path(name).name, max_bytes=self.settings.limits.max_bytes):
                if isinstance(record, Loss):
                    found["losses"].append(asdict(record))
                    continue
                page = self._page(record, found["hits"])
                if isinstance(page, _Fate):
                    refused.append(page)
                else:
                    yield page

    def _page(self, record: Response, hits: list[dict[str, Any]]) -> dict[str, Any] | _Fate:  # noqa: PLR0911
        if record.refused is not None:
            return _Fate(record.url[: urls.LONGEST], READ, record.refused)
        url = urls.normalise(record.url)
        if url is None:
            return _Fate(record.url[: urls.LONGEST], READ, "not a web address")
        try:
            extracted = extract(record.body, charset=record.charset, limits=self._limits)
        except Unreadable as unreadable:
            return _Fate(url, TEXT, str(unreadable))
        text = extracted.text
        if len(text) < self.settings.least_characters:
            return _Fate(url, TEXT, "too short")
        tokens = self._tokens(text)
        code, _ = language.detect(text)
        if code not in self.settings.languages and not (code == "unknown" and self.settings.undecided):
            return _Fate(url, LANGUAGE, "another language", code, tokens)
        if contaminated := self._index.hits(text):
            hits += [{"url": url, **asdict(hit)} for hit in contaminated]
            if self.decontamination.unit == "page":
                return _Fate(url, BENCHMARKS, "contaminated", _named(contaminated), tokens)
            text = self._index.without(text, contaminated)
            if len(text) < self.settings.least_characters:
                return _Fate(url, BENCHMARKS, "contaminated", _named(contaminated), tokens)
        return self._row(url, code, extracted, text)

    def _row(self, url: str, code: str, extracted: Extracted, text: str) -> dict[str, Any]:
        near = self._near
        return {
            "url": url,
            "domain": urls.domain(url),
            "title": extracted.title[:500],
            "text": text,
            "language": code,
            "markup": " ".join(extracted.markup),
            "formulas": extracted.formulas,
            "tokens": self._tokens(text),
            "exact_key": exact_key(text),
            "bands": band_keys(text, near),
        }

    def _tokens(self, text: str) -> int:
        return max(round(len(text.encode()) / self.settings.bytes_per_token), 1)

    @cached_property
    def _limits(self) -> Limits:
        return Limits(**asdict(self.settings.limits))

    @cached_property
    def _near(self) -> NearDuplicates:
        return NearDuplicates(**asdict(self.settings.near_duplicates))

    @cached_property
    def _index(self) -> BenchmarkIndex:
        problems = {n: b.problems.build().split(b.split) for n, b in self.decontamination.benchmarks.items()}
        return BenchmarkIndex.build(problems, ngram=self.decontamination.ngram, shortest=self.decontamination.shortest)

    def __getstate__(self) -> dict[str, Any]:
        """Without what a process makes for itself."""
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}


def _named(hits: list[Hit]) -> str:
    return ", ".join(dict.fromkeys(f"{hit.benchmark} {hit.item}" for hit in hits))[:200]


def write_duplicates(extracted: list[Path], settings: Pages, folder: Path) -> None:
    """`folder/duplicates.parquet`: shard, row, reason and the URL of the page that stays."""
    path = folder / "duplicates.parquet"
    if path.exists():
        return
    near = NearDuplicates(**asdict(settings.near_duplicates))
    found = find_duplicates(extracted, near, buckets=settings.buckets, folder=folder)
    of: dict[tuple[int, int], str] = {}
    for (shard,), rows in found.group_by("of_shard"):
        here = pq.read_table(extracted[int(str(shard))], columns=["url"])["url"]
        of |= {(int(str(shard)), row): here[row].as_py() for row in rows["of_row"].unique()}
    stays = [of[place] for place in zip(found["of_shard"].to_list(), found["of_row"].to_list(), strict=True)]
    table = found.with_columns(pl.Series("of", stays, pl.String)).select("shard", "row", "reason", "of")
    publish_frame(path, table)


@dataclass
class PublishShard:
    """Writes the pages of a shard that stay, and all others with their reasons."""

    scratch: Path
    folder: Path
    name: str = "publish"

    def done(self, shard: int) -> Path:
        return self.folder / "pages" / shard_name(shard)

    def run(self, shard: int) -> None:
        duplicates = pl.read_parquet(self.scratch / "duplicates.parquet").filter(pl.col("shard") == shard)
        gone = dict(zip(duplicates["row"], zip(duplicates["reason"], duplicates["of"], strict=True), strict=True))
        fates = pq.read_table(self.scratch / "refused" / shard_name(shard)).to_pylist()

        def write(beside: Path) -> None:
            start = 0
            with (
                pq.ParquetFile(self.scratch / "extracted" / shard_name(shard)) as file,
                pq.ParquetWriter(beside, PAGE, compression="zstd") as writer,
            ):
                for batch in file.iter_batches(ROWS, columns=PAGE.names):
                    kept = [row for row in range(len(batch)) if start + row not in gone]
                    writer.write_table(pa.Table.from_batches([batch]).take(pa.array(kept, pa.int64())))
                    for row in range(len(batch)):
                        if start + row in gone:
                            reason, of = gone[start + row]
                            url, tokens = batch["url"][row].as_py(), batch["tokens"][row].as_py()
                            fates.append(asdict(_Fate(url, DUPLICATES, reason, of, tokens)))
                    start += len(batch)
            publish_table(self.folder / "dropped" / shard_name(shard), pa.Table.from_pylist(fates, DROPPED))

        publish(self.done(shard), write)


@dataclass(frozen=True)
class CrawlFacts:
    """What became of all records; plain data, kept as JSON beside the pages."""

    flow: list[dict[str, Any]]
    losses: list[dict[str, Any]]
    contamination: list[dict[str, Any]]
    pages: int
    tokens: int
    shards: int
    languages: dict[str, int] = field(default_factory=dict)

    def steps(self) -> tuple[Flow, ...]:
        """The flow as the report wants it."""
        return tuple(Flow(**row) for row in self.flow)


def write_facts(folder: Path, scratch: Path, shards: int) -> CrawlFacts:
    """Count over all shards; keep the counts and every hit of a benchmark: `facts.json`, `decontamination.jsonl`."""
    pages, tokens = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    kept_pages = kept_tokens = 0
    languages, losses = Counter[str](), list[dict[str, Any]]()
    benchmarks: dict[str, tuple[set[str], set[str]]] = {}
    lines: list[str] = []
    for shard in range(shards):
        table = pl.read_parquet(folder / "pages" / shard_name(shard), columns=["language", "tokens"])
        kept_pages += len(table)
        kept_tokens += int(table["tokens"].sum())
        languages.update(table["language"].to_list())
        for row in pq.read_table(folder / "dropped" / shard_name(shard)).to_pylist():
            pages[row["step"], row["reason"]] += 1
            tokens[row["step"], row["reason"]] += row["tokens"] or 0
        found = json.loads((scratch / "found" / shard_name(shard, ".json")).read_text(encoding="utf-8"))
        losses += found["losses"]
        for hit in found["hits"]:
            lines.append(json.dumps(hit, ensure_ascii=False))
            urls_hit, items = benchmarks.setdefault(hit["benchmark"], (set(), set()))
            urls_hit.add(hit["url"])
            items.add(hit["item"])
    publish_text(folder / "decontamination.jsonl", "".join(f"{line}\n" for line in lines))
    facts = CrawlFacts(
        flow=_flow(pages, tokens, kept_pages, kept_tokens),
        losses=losses,
        contamination=[
            {"benchmark": name, "pages": len(u), "items": len(i)} for name, (u, i) in sorted(benchmarks.items())
        ],
        pages=kept_pages,
        tokens=kept_tokens,
        shards=shards,
        languages=dict(sorted(languages.items())),
    )
    publish_text(folder / FACTS, json.dumps(asdict(facts), indent=1, ensure_ascii=False))
    return facts


def read_facts(folder: Path) -> CrawlFacts:
    """What `write_facts` kept."""
    return CrawlFacts(**json.loads((folder / FACTS).read_text(encoding="utf-8")))


def _flow(
    pages: Mapping[tuple[str, str], int], tokens: Mapping[tuple[str, str], int], kept_pages: int, kept_tokens: int
) -> list[dict[str, Any]]:
    """Every step's dropped reasons and what it passed on, counted back from what is left at the end."""
    rows: list[list[dict[str, Any]]] = []
    dropped: list[dict[str, Any]]
    for step in reversed(STEPS):
        reasons = sorted(reason for where, reason in pages if where == step)
        known = step not in (READ, TEXT)
        dropped = [
            {"step": step, "reason": r, "pages": pages[step, r], "tokens": tokens[step, r] if known else None}
            for r in reasons
        ]
        kept = {"step": step, "reason": KEPT, "pages": kept_pages, "tokens": None if step == READ else kept_tokens}
        rows.append([*dropped, kept])
        kept_pages += sum(row["pages"] for row in dropped)
        kept_tokens += sum(row["tokens"] or 0 for row in dropped)
    return [row for step_rows in reversed(rows) for row in step_rows]

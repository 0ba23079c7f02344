"""datatrove's side of `corpus.py`, a step a process: `corpus_datatrove.py STEP WORK SHINGLE BANDS ROWS`."""

import functools
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from corpus_measure import measure, rows
from datatrove.data import Document
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import FastTextClassifierFilter
from datatrove.pipeline.readers import JsonlReader, WarcReader
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.logging import logger


def documents(work: Path, column: str) -> Iterator[Document]:
    for url, text in rows(work / "pages.parquet", "url", column):
        yield Document(text=text, id=url, metadata={"url": url})


def count(pipeline: Iterable[Document]) -> dict[str, int]:
    return {"out": sum(1 for _ in pipeline)}


def reader(work: Path) -> Iterator[Document]:
    return WarcReader(str(work / "warc")).run()


def classifier(work: Path, pages: Iterable[Document]) -> Iterator[Document]:
    # a space for a newline: its default, nothing, glues words together
    return FastTextClassifierFilter(
        str(work / "theirs.bin"), keep_labels=[("positive", 0.5)], newline_replacement=" "
    ).run(pages)


def deduplicated(pages: Callable[[], Iterable[Document]], folder: Path, config: MinhashConfig) -> Iterator[Document]:
    """Its four steps; pages are asked for twice, as the last step needs them again."""
    shutil.rmtree(folder, ignore_errors=True)
    signatures, buckets, removed = (str(folder / name) for name in ("signatures", "buckets", "removed"))
    MinhashDedupSignature(signatures, config=config).run(pages())
    for bucket in range(config.num_buckets):
        MinhashDedupBuckets(signatures, buckets, config=config).run(None, bucket, config.num_buckets)
    MinhashDedupCluster(buckets, removed, config=config).run(None, 0, 1)
    return MinhashDedupFilter(removed).run(pages())


def read(work: Path, config: MinhashConfig) -> dict[str, int]:
    return count(reader(work))


def extraction(work: Path, config: MinhashConfig) -> dict[str, int]:
    return count(Trafilatura().run(documents(work, "html")))


def minhash(work: Path, config: MinhashConfig) -> dict[str, int]:
    return count(deduplicated(functools.partial(documents, work, "text"), work / "theirs", config))


def scoring(work: Path, config: MinhashConfig) -> dict[str, int]:
    return count(classifier(work, documents(work, "text")))


def whole(work: Path, config: MinhashConfig) -> dict[str, int]:
    """Without language and decontamination."""
    waiting = work / "their-pages"
    shutil.rmtree(waiting, ignore_errors=True)
    for _ in JsonlWriter(str(waiting)).run(Trafilatura().run(reader(work))):
        pass
    return count(classifier(work, deduplicated(lambda: JsonlReader(str(waiting)).run(), work / "theirs", config)))


STEPS = (read, extraction, minhash, scoring, whole)

if __name__ == "__main__":
    logger.remove()
    name, work, *shape = sys.argv[1:]
    config = MinhashConfig(**dict(zip(("n_grams", "num_buckets", "hashes_per_bucket"), map(int, shape), strict=True)))
    step = {each.__name__: each for each in STEPS}[name]
    measure(functools.partial(step, Path(work), config))

"""Every record of a crawl becomes a page or has a reason for being none."""

import json
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from small_web import SHARDS, SmallWeb, shared

from dsmath.corpus import urls
from dsmath.corpus.embedded import EmbeddedWeb
from dsmath.corpus.shards import shard_name
from dsmath.corpus.warc import Response, read_warc


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> SmallWeb:
    return shared(tmp_path_factory)


def responses() -> list[Response]:
    """The records of the small web, read without the stage."""
    crawl = EmbeddedWeb(seed=0, pages=500, shards=SHARDS)
    found = []
    for shard in crawl.shards():
        with crawl.open(shard) as stream:
            found += [r for r in read_warc(stream, name=shard, max_bytes=5_000_000) if isinstance(r, Response)]
    return found


def dropped(web: SmallWeb) -> pl.DataFrame:
    folder = web.entries["pages"] / "dropped"
    return pl.concat([pl.read_parquet(folder / shard_name(shard)) for shard in range(SHARDS)])


def test_every_record_is_a_page_or_dropped_with_a_reason(web: SmallWeb) -> None:
    records = responses()
    accounted = Counter([*web.pages()["url"], *dropped(web)["url"]])
    expected = Counter(record.url if record.refused else urls.normalise(record.url) or record.url for record in records)
    assert accounted == expected
    assert web.summary("pages")["records"] == len(records)
    assert (dropped(web)["reason"] != "").all()


def test_the_flow_adds_up_in_pages_and_tokens(web: SmallWeb) -> None:
    flow = json.loads((web.entries["pages"] / "facts.json").read_text())["flow"]
    by_step: dict[str, dict[str, dict[str, int]]] = {}
    for row in flow:
        by_step.setdefault(row["step"], {})[row["reason"]] = row
    entering, tokens = len(responses()), None
    for step, rows in by_step.items():
        assert sum(row["pages"] for row in rows.values()) == entering, step
        if tokens is not None:
            assert sum(row["tokens"] for row in rows.values()) == tokens, step
        entering, tokens = rows["kept"]["pages"], rows["kept"]["tokens"]
    assert (entering, tokens) == (len(web.pages()), web.pages()["tokens"].sum())
    counted = dropped(web).group_by("step", "reason").len()
    assert {(step, reason): pages for step, reason, pages in counted.iter_rows()} == {
        (row["step"], row["reason"]): row["pages"] for row in flow if row["reason"] != "kept"
    }
    assert {"status", "not html", "another language", "contaminated"} <= {row["reason"] for row in flow}


def test_pages_have_one_url_each_and_tokens_by_their_bytes(web: SmallWeb) -> None:
    pages = web.pages()
    assert pages["url"].n_unique() == len(pages)
    assert pages["tokens"].to_list() == [max(round(len(text.encode()) / 3.6), 1) for text in pages["text"]]
    assert pages["domain"].to_list() == [urls.domain(url) for url in pages["url"]]
    assert all(len(text) >= 200 for text in pages["text"])
    assert set(pages["language"]) <= {"en", "zh", "unknown"}


def test_a_duplicate_names_a_page_that_stays(web: SmallWeb) -> None:
    repeated = dropped(web).filter(pl.col("step") == "duplicates")
    assert len(repeated)
    assert set(repeated["detail"]) <= set(web.pages()["url"])


def test_every_hit_of_a_benchmark_is_kept_with_its_item_and_its_page_is_gone(web: SmallWeb) -> None:
    lines = (web.entries["pages"] / "decontamination.jsonl").read_text(encoding="utf-8").splitlines()
    hits = [json.loads(line) for line in lines]
    contaminated = dropped(web).filter(pl.col("reason") == "contaminated")
    assert hits
    assert all(hit["benchmark"] == "held_out" and hit["segment"] and hit["item"] for hit in hits)
    assert {hit["url"] for hit in hits} == set(contaminated["url"])
    assert not {hit["url"] for hit in hits} & set(web.pages()["url"])
    assert web.summary("pages")["contaminated"] == len(contaminated)


def test_nothing_but_the_result_is_published(web: SmallWeb) -> None:
    folder = web.entries["pages"]
    top = {path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file()}
    assert top == {"pages", "dropped", "facts.json", "decontamination.jsonl", "metrics.csv", "entry.json"}
    assert not list(Path(folder).rglob("*.writing"))

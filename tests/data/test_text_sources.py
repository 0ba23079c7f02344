"""Where texts come from: the pages of a crawl, files of several kinds, and mistakes named with their place."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsmath.data.text_sources import CollectedPages, OtherPages, SeedPages, TextFiles, TextSource
from dsmath.errors import UserError


def texts(source: TextSource) -> list[str]:
    return [text for part in source.parts() for text in source.texts(part)]


def crawl(folder: Path) -> dict[str, Path]:
    """A round's folder and its pages' folder: 3000 pages in two shards, more than are read at once."""
    corpus, pages = folder / "corpus", folder / "pages"
    for place in (corpus / "shards", corpus / "scores", pages / "pages"):
        place.mkdir(parents=True)
    for shard, numbers in enumerate((range(2500), range(2500, 3000))):
        file = f"shard-{shard:05d}.parquet"
        collected = [n % 3 == 0 for n in numbers]
        seed = [n % 7 == 0 for n in numbers]
        pq.write_table(pa.table({"text": [f"page {n}" for n in numbers]}), pages / "pages" / file)
        pq.write_table(pa.table({"positive": seed, "collected": collected}), corpus / "scores" / file)
        pq.write_table(pa.table({"text": [f"page {n}" for n in numbers if n % 3 == 0]}), corpus / "shards" / file)
    return {"corpus": corpus, "pages": pages}


def test_the_pages_of_a_crawl_are_collected_or_not_and_some_are_the_seed(tmp_path: Path) -> None:
    folders = crawl(tmp_path)
    assert texts(CollectedPages(corpus=folders["corpus"])) == [f"page {n}" for n in range(0, 3000, 3)]
    assert texts(OtherPages(**folders)) == [f"page {n}" for n in range(3000) if n % 3]
    assert texts(SeedPages(**folders)) == [f"page {n}" for n in range(0, 3000, 7)]


def test_scores_of_other_pages_are_refused(tmp_path: Path) -> None:
    folders = crawl(tmp_path)
    pq.write_table(
        pa.table({"positive": [True], "collected": [True]}), folders["corpus"] / "scores/shard-00001.parquet"
    )
    with pytest.raises(ValueError, match="has 1 rows"):
        texts(OtherPages(**folders))
    (folders["corpus"] / "scores/shard-00001.parquet").unlink()
    with pytest.raises(ValueError, match="scores of other pages"):
        OtherPages(**folders)


def test_files_of_every_kind_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"id": n, "body": f"line {n}\u2028七"}, ensure_ascii=n == 0) + "\n" for n in range(3))
    (tmp_path / "b.jsonl").write_text(lines + "\n", encoding="utf-8")
    (tmp_path / "c.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "d.json.zst").write_bytes(pa.Codec("zstd").compress(lines.encode(), asbytes=True))
    pq.write_table(pa.table({"other": [1, 2], "body": ["row 0", "row 1"]}), tmp_path / "a.parquet")
    (tmp_path / "e.txt").write_text("a whole\ntext", encoding="utf-8")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "f.v2.txt").write_text("below", encoding="utf-8")
    expected = [f"line {n}\u2028七" for n in range(3)]
    found = texts(TextFiles(path=str(tmp_path / "*.*"), column="body"))
    assert found == ["row 0", "row 1", *expected, *expected, *expected, "a whole\ntext"]
    assert texts(TextFiles(path=str(tmp_path / "**" / "*.txt"), column="body")) == ["below", "a whole\ntext"]
    inputs = TextFiles(path=str(tmp_path / "*.txt"), column="body").inputs()
    assert list(inputs.values()) == [tmp_path / "e.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"txt": 1}\n', 'a.jsonl:2: no field "text", did you mean txt? (found: txt)'),
        ("a.jsonl", b'{"text": 7}\n', 'a.jsonl:1: "text" is int, expected text'),
        ("a.jsonl", b"[1]\n", 'a.jsonl:1: expected an object with "text"'),
        ("a.jsonl", b'{"text": "x"\n', "a.jsonl:1: not a line of JSON: "),
        ("a.jsonl", b"[" * 200_000 + b"\n", "a.jsonl:1: not a line of JSON: "),
        ("a.jsonl", b'{"text": "\xff"}\n', "a.jsonl: cannot be read: 'utf-8' codec"),
        ("a.jsonl.gz", b"not compressed", "a.jsonl.gz: cannot be read: "),
        ("a.parquet", b"not Parquet", "a.parquet: cannot be read: "),
        ("a.csv", b"text\n", "a.csv: unknown kind of file; expected .parquet, .jsonl (also compressed) or .txt"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        texts(TextFiles(path=str(tmp_path / "*"), column="text"))
    assert str(raised.value).startswith(f"{tmp_path}/{message}")


def test_a_parquet_file_without_the_column_says_which_it_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["x"], "url": ["y"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError) as raised:
        texts(TextFiles(path=str(tmp_path / "*"), column="contents"))
    assert str(raised.value).endswith('no column "contents", did you mean content? (found: content, url)')
    pq.write_table(pa.table({"content": ["x", None]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r'a.parquet, row 2: "content" is NoneType, expected text'):
        texts(TextFiles(path=str(tmp_path / "*"), column="content"))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "no files: expected a path, such as data/*.parquet"),
        ("nowhere/*.txt", "nowhere/*.txt: no file matches; "),
    ],
)
def test_files_that_are_not_there_are_missed_at_once(path: Any, message: str) -> None:
    with pytest.raises(UserError) as raised:
        TextFiles(path=path, column="text").parts()
    assert str(raised.value).startswith(message)

"""What a person reads when a crawl, a seed or a budget cannot work: a message, exit code 2, and what is done stays."""

import gzip
import io
import json
import os
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest

from dsmath.cli import main

Run = Callable[..., tuple[int, str]]
WORDS = [
    "the", "of", "and", "to", "in", "that", "is", "was", "for", "with", "as", "his", "they", "at", "be", "this",
    "from", "have", "by", "one", "had", "not", "but", "what", "all", "were", "when", "we", "there", "can", "an",
    "your", "which", "their", "said", "if", "do", "will", "each", "about", "how", "up", "out", "them", "then",
    "she", "many", "some", "so", "these", "would", "other", "into", "has", "more", "her", "two", "like", "him",
    "see", "time", "could", "no", "make", "than", "first", "been", "its", "who", "now", "people", "my", "made",
    "over", "did", "down",
]  # fmt: skip
KINDS = {
    "maths": ["theorem", "proof", "lemma", "integral", "$x^2$", "function", "group", "ring"],
    "shop": ["price", "cart", "buy", "shoes"],
}
FASTTEXT = ("dim=8", "lr=0.5", "epochs=10", "min_count=1", "bucket=2000", "word_ngrams=1")
BASE = (
    *("experiment=smoke", "stage=corpus", "round=1", "logger=none", "trainer.progress=false", "paths.store=store"),
    *("crawl=warc", "crawl.path=crawl", "decontamination=none", "corpus.token_budget=2000"),
    *("corpus.seed_urls=[maths.example]", *(f"corpus.fasttext.{each}" for each in FASTTEXT)),
)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Exit code and stderr of a corpus from the WARC files in the folder `crawl`."""

    def call(*overrides: str) -> tuple[int, str]:
        capfd.readouterr()
        code: object = 0
        try:
            main([*BASE, *overrides])
        except SystemExit as done:
            code = done.code or 0
        assert isinstance(code, int)
        return code, capfd.readouterr().err

    return call


def page(url: str) -> bytes:
    """Two hundred words of English, with some of the kind that the address says."""
    generator = random.Random(url)
    own = KINDS["maths" if "maths" in url else "shop"]
    words = [generator.choice(own if generator.random() < 0.2 else WORDS) for _ in range(200)]
    return f"<!doctype html><title>{url}</title><p>{' '.join(words)}.</p>".encode()


def record(url: str, body: bytes, *, kind: bytes = b"text/html") -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n" + body
    return (
        b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: " + url.encode() + b"\r\n"
        b"Content-Type: application/http\r\nContent-Length: %d\r\n\r\n" % len(http) + http + b"\r\n\r\n"
    )


def write_crawl(pages: Mapping[str, bytes], *, shards: int = 1) -> list[Path]:
    """Gzipped WARC files in `crawl`, a member a record as crawlers write them."""
    Path("crawl").mkdir()
    paths = []
    rows = list(pages.items())
    for shard in range(shards):
        content = io.BytesIO()
        for url, body in rows[shard::shards]:
            content.write(gzip.compress(record(url, body), mtime=0))
        paths.append(Path(f"crawl/{shard}.warc.gz"))
        paths[-1].write_bytes(content.getvalue())
    return paths


def small_crawl(maths: int = 12, shops: int = 24) -> dict[str, bytes]:
    urls = [f"https://maths.example/{n}" for n in range(maths)] + [
        f"https://shop{n % 4}.example/{n}" for n in range(shops)
    ]
    return {url: page(url) for url in urls}


def entry(stage: str) -> Path:
    (record,) = Path("store").glob(f"{stage}/*/entry.json")
    return record.parent


def facts() -> dict[str, object]:
    found: dict[str, object] = json.loads((entry("pages") / "facts.json").read_text())
    return found


def published_pages() -> set[str]:
    files = sorted((entry("pages") / "pages").iterdir())
    return set(pl.concat([pl.read_parquet(file, columns=["url"]) for file in files])["url"])


def reasons() -> dict[str, str]:
    files = sorted((entry("pages") / "dropped").iterdir())
    return {row["url"]: row["reason"] for file in files for row in pl.read_parquet(file).to_dicts()}


def test_a_cut_warc_keeps_its_good_records_and_counts_the_loss(run: Run) -> None:
    pages = small_crawl()
    (path,) = write_crawl(pages)
    path.write_bytes(path.read_bytes()[:-150])
    code, err = run()
    assert code == 0, err
    assert published_pages() == set(list(pages)[:-1])
    summary = json.loads((entry("pages") / "entry.json").read_text())["summary"]
    assert (summary["records"], summary["losses"]) == (len(pages) - 1, 1)
    (loss,) = facts()["losses"]
    assert loss["where"].startswith("0.warc.gz")
    assert loss["what"]
    report = (entry("corpus") / "report.md").read_text()
    assert "0.warc.gz" in report


def test_a_corrupt_record_costs_no_other(run: Run) -> None:
    pages = small_crawl()
    members = [gzip.compress(record(url, body), mtime=0) for url, body in pages.items()]
    members[5] = members[5][:40] + bytes(60) + members[5][100:]
    (path,) = write_crawl(pages)
    path.write_bytes(b"".join(members))
    code, err = run()
    assert code == 0, err
    assert published_pages() == set(pages) - {list(pages)[5]}
    assert len(facts()["losses"]) == 1


def test_no_warc_is_told(run: Run) -> None:
    Path("crawl").mkdir()
    code, err = run()
    assert code == 2
    assert err.startswith("dsmath: crawl.path = crawl: ")
    assert "Traceback" not in err
    assert not list(Path("store").glob("*/*/entry.json"))


def test_a_crawl_without_any_page_says_what_became_of_its_records(run: Run) -> None:
    write_crawl({f"https://maths.example/{n}": b"<p>too short" for n in range(3)} | {"https://shop.example/": b" "})
    code, err = run()
    assert code == 2
    assert err.splitlines()[-1] == (
        "dsmath: crawl=warc: none of its records became a page; (1 empty; 3 too short); look at the options of "
        "pages, or at the crawl's files"
    )


@pytest.mark.parametrize("content", [b"", b"not a WARC at all"], ids=["empty file", "no WARC"])
def test_a_file_without_records_is_no_crawl(run: Run, content: bytes) -> None:
    (path,) = write_crawl({})
    path.write_bytes(gzip.compress(content) if content else content)
    code, err = run()
    assert code == 2
    assert "dsmath: crawl=warc: none of its records became a page; (" in err
    assert "Traceback" not in err


def test_a_crawl_that_is_all_seed_has_no_negatives(run: Run) -> None:
    write_crawl(small_crawl(maths=10, shops=0))
    code, err = run()
    assert code == 2
    assert err.splitlines()[-1] == (
        "dsmath: round 1: all 10 pages of the crawl are in the seed, and no negatives are left to tell them from; use "
        "a crawl with other domains too, a narrower corpus.seed_urls, or reject domains in the annotation"
    )


def test_a_path_of_a_crawl_of_one_domain_can_be_the_seed(run: Run) -> None:
    urls = [f"https://one.example/maths/{n}" for n in range(12)] + [f"https://one.example/shop/{n}" for n in range(24)]
    write_crawl({url: page(url) for url in urls})
    code, err = run("corpus.seed_urls=[one.example/maths]")
    assert code == 0, err
    kept = pl.read_parquet(entry("corpus") / "shards" / "shard-00000.parquet")["url"]
    assert 0 < len(kept) <= 12
    assert all("/maths/" in url for url in kept)
    assert pl.read_parquet(entry("corpus") / "domains.parquet")["domain"].to_list() == ["one.example"]


def test_a_seed_that_is_no_part_of_the_crawl_is_told_with_the_nearest_domain(run: Run) -> None:
    write_crawl(small_crawl())
    code, err = run("corpus.seed_urls=[math.example,maths.example]")
    assert code == 2
    assert err.endswith(
        "dsmath: corpus.seed_urls: no page of the crawl is under\n  math.example, did you mean maths.example?\n"
        "expected a domain of the crawl, or one with a path\n"
    )


@pytest.mark.parametrize("change", ["corpus.fasttext.lr=1e-9", "corpus.fasttext.min_count=100000"])
def test_a_classifier_that_learned_nothing_is_told_with_what_to_change(run: Run, change: str) -> None:
    write_crawl(small_crawl())
    code, err = run(change)
    assert code == 2
    last = err.splitlines()[-1]
    assert last.startswith("dsmath: round 1: the classifier learned nothing: all 36 pages have the log-odds ")
    for name in ("corpus.fasttext.lr", "corpus.fasttext.epochs", "corpus.fasttext.min_count", "corpus=small"):
        assert name in last
    assert not list(Path("store").glob("corpus/*/entry.json"))
    code, err = run()
    assert code == 0, err
    assert "pages: found" in err


def test_a_budget_for_more_than_the_crawl_keeps_everything_with_a_warning(run: Run) -> None:
    pages = small_crawl()
    write_crawl(pages)
    code, err = run("corpus.token_budget=1000000")
    assert code == 0, err
    tokens = facts()["tokens"]
    assert (
        f"corpus@round-1: round 1: corpus.token_budget = 1000000 is more than the {tokens} tokens of the crawl: "
        "everything is kept, mathematics or not\n"
    ) in err
    summary = json.loads((entry("corpus") / "entry.json").read_text())["summary"]
    assert (summary["pages"], summary["tokens"], summary["cut"]) == (len(pages), tokens, None)


def test_a_budget_below_the_best_page_is_told(run: Run) -> None:
    write_crawl(small_crawl())
    code, err = run("corpus.token_budget=10")
    assert code == 2
    assert err.splitlines()[-1] == (
        "dsmath: corpus.token_budget = 10: the best page alone has more tokens; expected a budget for many pages, of "
        f"the {facts()['tokens']} tokens of the crawl"
    )


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_benchmark_that_is_not_there_is_told(run: Run, workers: int) -> None:
    write_crawl(small_crawl(), shards=2)
    Path("benchmarks").mkdir()
    code, err = run("decontamination=gsm8k_svamp", "paths.benchmarks=benchmarks", f"launcher.workers={workers}")
    assert code == 2
    assert err.splitlines()[-1].startswith("dsmath: ")
    assert "gsm8k" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_hostile_pages_are_bounded_and_counted(run: Run) -> None:
    text = page("https://shop0.example/deep").split(b"<p>")[1]
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12))
    hostile = {
        "https://shop0.example/deep": b"<div>" * 100_000 + text + b"</div>" * 100_000,
        "https://shop1.example/huge": page("https://shop1.example/huge") + b"x" * 20_000_000,
        "https://shop2.example/bomb": b"<!DOCTYPE html [" + entities + b"]><p>&a11;" + text,
        "https://shop3.example/tags": b"<b>" * 1_000_000 + text,
    }
    pages = small_crawl()
    write_crawl({**pages, **hostile})
    before = resource.getrusage(resource.RUSAGE_SELF)
    code, err = run()
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert code == 0, err
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 20
    assert after.ru_maxrss - before.ru_maxrss < 700_000  # KiB, with all that is imported
    gone = reasons()
    assert set(pages) <= published_pages()
    assert gone["https://shop1.example/huge"]
    assert gone["https://shop3.example/tags"] == "too many elements"
    assert set(hostile) == published_pages() & set(hostile) | set(gone) & set(hostile)
    for file in (entry("pages") / "pages").iterdir():
        assert pl.read_parquet(file)["text"].str.len_bytes().max() <= 1_000_000


def sized(bytes_of_a_file: int, *overrides: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own whose files may have so many bytes, as on a disk that is almost full."""
    program = (
        "import resource\nfrom dsmath import job\nfrom dsmath.cli import main\noriginal = job.run\n"
        "def run(*arguments, **named):\n"  # the run's folder has been written then
        f"    resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes_of_a_file}, resource.RLIM_INFINITY))\n"
        "    return original(*arguments, **named)\n"
        f"job.run = run\nmain({[*BASE, *overrides]!r})\n"
    )
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment, timeout=120
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "stage"),
    [(8_000, "pages"), (20_000, "corpus"), (60_000, "corpus")],
    ids=["for no page", "for no classifier", "for no report"],
)
def test_a_disk_that_fills_publishes_nothing_and_the_same_command_goes_on(run: Run, room: int, stage: str) -> None:
    write_crawl(small_crawl(), shards=2)
    done = sized(room)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("dsmath: store/") or "no room to write it" in last
    assert "no room to write it (" in last
    assert last.endswith("what was finished stays, and the same command goes on when there is room")
    assert "Traceback" not in done.stderr
    assert not list(Path("store").glob(f"{stage}/*/entry.json"))
    assert not [
        file for file in Path("store").rglob("*.writing") if file.parent.name in ("pages", "shards", "extracted")
    ]
    interrupted = {file: file.stat().st_ino for file in Path("store").rglob("shard-*.parquet")}
    code, err = run()
    assert code == 0, err
    after = {str(file).replace(".partial", ""): file.stat().st_ino for file in Path("store").rglob("shard-*.parquet")}
    for file, number in interrupted.items():
        assert after.get(str(file).replace(".partial", ""), number) == number
    undisturbed = {file.relative_to("store"): file.read_bytes() for file in Path("store").rglob("*") if file.is_file()}
    Path("store").rename("first")
    assert run()[0] == 0
    for file in Path("store").rglob("*"):
        if file.is_file() and file.suffix not in (".lock", "") and file.name != "entry.json":
            assert undisturbed[file.relative_to("store")] == file.read_bytes(), file

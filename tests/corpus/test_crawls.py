"""Where shards come from: files, folders, globs, addresses, listings; and servers that fail."""

import gzip
import http.server
import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from dsmath.corpus import crawls, remote
from dsmath.corpus.crawls import CommonCrawl, Crawl, WarcFiles
from dsmath.errors import UserError

NO_WAITS = (0.0, 0.0, 0.0)
BIG = bytes(range(256)) * 4000  # a megabyte


class Server(http.server.ThreadingHTTPServer):
    """Files over HTTP with ranges, and faults: how often still each path answers with a status or breaks off."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.statuses: dict[str, list[int]] = {}
        self.breaks: dict[str, list[int]] = {}  # bytes after which the connection is closed
        self.ranges = True
        self.asked: list[tuple[str, str, str | None]] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, name = self.server, self.path.lstrip("/")
        wanted = self.headers.get("Range")
        server.asked.append((self.command, name, wanted))
        if server.statuses.get(name):
            return self.send_error(server.statuses[name].pop(0))
        if name not in server.files:
            return self.send_error(404)
        body, status = server.files[name], 200
        if wanted and server.ranges:
            start, _, stop = wanted.removeprefix("bytes=").partition("-")
            status, body = 206, body[int(start) : int(stop) + 1 if stop else None]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"v1"')
        self.end_headers()
        if self.command == "GET":
            broken = server.breaks.get(name)
            self.wfile.write(body[: broken.pop(0)] if broken else body)
            self.close_connection = True
        return None

    do_HEAD = do_GET  # noqa: N815 http.server calls it so

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(**files: bytes) -> Iterator[Server]:
    with Server({name.replace("__", "/").replace("_", "."): data for name, data in files.items()}) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS", NO_WAITS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    for name in ("b.warc.gz", "a.warc", "deep/c.warc.zst", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_file_a_folder_and_a_glob_are_the_same_files_in_the_same_order(folder: Path) -> None:
    expected = [str(folder / name) for name in ("a.warc", "b.warc.gz", "deep/c.warc.zst")]
    assert list(WarcFiles(path=str(folder)).shards()) == expected
    assert list(WarcFiles(path=f"{folder}/**/*.warc*").shards()) == expected
    assert list(WarcFiles(path=f"file://{folder}").shards()) == expected
    assert list(WarcFiles(path=f"{folder}/?.warc").shards()) == expected[:1]
    assert list(WarcFiles(path=f"{folder}/notes.txt").shards()) == [str(folder / "notes.txt")]


def test_local_files_are_inputs_and_open(folder: Path) -> None:
    crawl: Crawl = WarcFiles(path=str(folder))
    assert [path.read_bytes() for path in crawl.inputs().values()] == [b"a.warc", b"b.warc.gz", b"deep/c.warc.zst"]
    assert crawl.addresses() == {}
    with crawl.open(crawl.shards()[1]) as stream:
        assert stream.read() == b"b.warc.gz"


def test_nothing_found_names_the_key_what_was_given_and_what_is_there(folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"crawl\.path = .*/deap/\*\.warc: in the folder .* nothing is deap, did you mean deep"
    ):
        WarcFiles(path=f"{folder}/deap/*.warc").shards()
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="no WARC files in this folder, which has nothing"):
        WarcFiles(path=str(folder / "empty")).shards()
    with pytest.raises(UserError, match=r"nothing is quite_else; it has a\.warc, b\.warc\.gz, deep, empty, notes\.txt"):
        WarcFiles(path=f"{folder}/quite_else").shards()


def test_a_shard_that_is_not_of_the_crawl_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="no shard"):
        WarcFiles(path=str(folder / "*.gz")).open(str(folder / "notes.txt"))


def test_a_file_that_went_away_is_named(folder: Path) -> None:
    crawl = WarcFiles(path=str(folder))
    first = crawl.shards()[0]
    Path(first).unlink()
    with pytest.raises(UserError, match=r"a\.warc can't be read: No such file"):
        crawl.open(first)


def test_any_filesystem_of_fsspec_will_do() -> None:
    memory = fsspec.filesystem("memory")
    memory.makedirs("/crawl/deep")
    for name in ("b.warc.gz", "deep/a.warc", "x.txt"):
        memory.pipe(f"/crawl/{name}", name.encode())
    expected = ["memory:///crawl/b.warc.gz", "memory:///crawl/deep/a.warc"]
    crawl = WarcFiles(path="memory://crawl")
    assert list(crawl.shards()) == expected
    assert list(WarcFiles(path="memory://crawl/*.gz").shards()) == expected[:1]
    assert crawl.open(expected[1]).read() == b"deep/a.warc"
    assert crawl.inputs() == {}
    assert crawl.addresses() == {expected[0]: "9", expected[1]: "11"}
    with pytest.raises(UserError, match=r"crawl\.path = memory://nowhere/\*: no files there"):
        WarcFiles(path="memory://nowhere/*").shards()
    with pytest.raises(UserError, match=r"crawl\.path: nonsense://a can't be opened"):
        WarcFiles(path="nonsense://a").shards()


def test_one_address_over_http_with_its_etag() -> None:
    with serving(a_warc=BIG) as server:
        crawl = WarcFiles(path=f"{server.address}a.warc")
        assert list(crawl.shards()) == [f"{server.address}a.warc"]
        assert crawl.addresses() == {f"{server.address}a.warc": '"v1"'}
        assert crawl.open(crawl.shards()[0]).read() == BIG
        with pytest.raises(UserError, match=r"crawl\.path = .*b\.warc: no files there"):
            WarcFiles(path=f"{server.address}b.warc").shards()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("away", [False, True])
def test_a_listing_gives_its_files_in_its_order(tmp_path: Path, packed: bool, away: bool) -> None:
    text = b"crawl/2.warc.gz\ncrawl/1.warc.gz\n\ncrawl/2.warc.gz\n"
    data = gzip.compress(text) if packed else text
    with serving(warc_paths=data) as server:
        (tmp_path / "warc.paths").write_bytes(data)
        path = f"{server.address}warc.paths" if away else str(tmp_path / "warc.paths")
        crawl: Crawl = CommonCrawl(path=path, base="https://data.example.org")
        assert list(crawl.shards()) == [f"https://data.example.org/crawl/{n}.warc.gz" for n in (2, 1)]
        assert crawl.inputs() == ({} if away else {"listing": tmp_path / "warc.paths"})
        assert list(crawl.addresses()) == crawl.shards()
        assert list(CommonCrawl(path=path, base="s3://x/", limit=1).shards()) == ["s3://x/crawl/2.warc.gz"]


def test_listings_that_list_nothing_or_something_else_are_named(tmp_path: Path) -> None:
    listing = tmp_path / "warc.paths"
    for data, problem in (
        (b"", "it is empty"),
        (b"<html>404</html>", "it has the line '<html>404</html>'"),
        (b"a.wet.gz", "expected one WARC file a line"),
        (gzip.compress(b"a.warc.gz\n" * 99)[:-9], "a damaged gzip file"),
    ):
        listing.write_bytes(data)
        with pytest.raises(UserError, match=problem):
            CommonCrawl(path=str(listing), base="https://x").shards()
    with pytest.raises(
        UserError, match=r"crawl\.path = .*warc\.path: .* did you mean warc\.paths\?; expected a warc\.paths listing"
    ):
        CommonCrawl(path=str(tmp_path / "warc.path"), base="https://x").shards()
    with pytest.raises(UserError, match="did you mean"):
        CommonCrawl(path=str(tmp_path / "warc.path"), base="https://x").inputs()
    with pytest.raises(UserError, match=r"crawl\.limit = 0"):
        CommonCrawl(path=str(listing), base="https://x", limit=0)


def test_a_listing_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crawls, "LONGEST_LISTING", 1000)
    (tmp_path / "warc.paths.gz").write_bytes(gzip.compress(b"a.warc.gz\n" * 1000))
    with pytest.raises(UserError, match="more than 1000 bytes"):
        CommonCrawl(path=str(tmp_path / "warc.paths.gz"), base="https://x").shards()


def shard_of(server: Server, tmp_path: Path) -> tuple[CommonCrawl, str]:
    (tmp_path / "warc.paths").write_text("a.warc\n")
    crawl = CommonCrawl(path=str(tmp_path / "warc.paths"), base=server.address)
    return crawl, crawl.shards()[0]


def test_a_shard_is_one_request(tmp_path: Path) -> None:
    with serving(a_warc=BIG) as server:
        crawl, shard = shard_of(server, tmp_path)
        assert crawl.open(shard).read() == BIG
        assert server.asked == [("GET", "a.warc", None)]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path: Path, ranges: bool) -> None:
    with serving(a_warc=BIG) as server:
        server.ranges = ranges
        server.breaks["a.warc"] = [400_000, 500_000, 0]
        crawl, shard = shard_of(server, tmp_path)
        assert crawl.open(shard).read() == BIG
        assert 3 <= len(server.asked) <= 4
        *_, (_, _, last) = server.asked  # a break may take with it what was on its way: then that is asked for again
        assert last is not None
        assert last.startswith("bytes=")


def test_a_server_that_is_busy_for_a_while_is_asked_again(tmp_path: Path) -> None:
    with serving(a_warc=BIG, l_paths=b"a.warc") as server:
        server.statuses = {"a.warc": [503, 429], "l.paths": [500]}
        crawl = CommonCrawl(path=f"{server.address}l.paths", base=server.address)
        assert crawl.open(crawl.shards()[0]).read() == BIG


def test_a_server_that_stays_busy_or_away_is_given_up_by_name(tmp_path: Path) -> None:
    with serving(a_warc=BIG) as server:
        server.statuses["a.warc"] = [503] * 9
        crawl, shard = shard_of(server, tmp_path)
        with pytest.raises(UserError, match=r"a\.warc can't be reached, not in 3 more attempts either .*503"):
            crawl.open(shard)
        assert len(server.asked) == 1 + len(NO_WAITS)
    with pytest.raises(UserError, match=r"a\.warc can't be reached"):
        crawl.open(shard)
    with pytest.raises(UserError, match=r"a\.warc can't be reached"):
        WarcFiles(path=shard).shards()


def test_a_file_that_is_not_there_or_forbidden_is_asked_for_once_and_named(tmp_path: Path) -> None:
    with serving() as server:
        crawl, shard = shard_of(server, tmp_path)
        with pytest.raises(UserError, match=r"crawl\.path: http://.*/a\.warc is not there"):
            crawl.open(shard)
        server.statuses["a.warc"] = [403]
        with pytest.raises(UserError, match=r"a\.warc may not be read"):
            crawl.open(shard)
        assert len(server.asked) == 2


def test_a_child_process_reads_with_a_connection_of_its_own(tmp_path: Path) -> None:
    with serving(a_warc=BIG) as server:
        crawl, shard = shard_of(server, tmp_path)
        assert crawl.open(shard).read(10) == BIG[:10]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(length, (crawl, shard)) == len(BIG)


def length(crawl: Crawl, shard: str) -> int:
    return len(crawl.open(shard).read())

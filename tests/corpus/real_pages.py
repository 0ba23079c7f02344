"""The shared crawl and its labels, which are for measuring alone."""

import csv
from pathlib import Path

import pytest

REAL = Path(__file__).parents[2] / "../shared/data"
needs_crawl = pytest.mark.skipif(not (REAL / "web").is_dir(), reason="needs the crawl of ../shared/data/web")


def labels() -> dict[str, dict[str, str]]:
    with (REAL / "web/labels.tsv").open(encoding="utf-8", newline="") as file:
        return {row["url"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def real_pages() -> dict[str, str]:
    """Every page's text by resiliparse alone, which leaves out the formulas that are in scripts."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    texts = {}
    for file in sorted([*(REAL / "web").glob("free-*.warc.gz"), *(REAL / "web").glob("thirdparty-*.warc.gz")]):
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                body = record.reader.read()
                html = bytes_to_str(body, record.http_charset or detect_encoding(body))
                texts[record.headers["WARC-Target-URI"]] = extract_plain_text(html, main_content=True)
    return texts

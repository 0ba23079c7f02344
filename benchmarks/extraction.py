"""Formulas kept by markup, and pages a second: `python benchmarks/extraction.py FOLDER`.

FOLDER has WARC files and `labels.tsv` with the columns `url` and `markup`. What a page's formulas are is read from its
raw bytes by one regular expression for each markup, which shares nothing with the extractor. A formula is kept as often
as its LaTeX stands in the text, but no oftener than in the page; formulas that plain text shows by accident (without a
command or a script, or below four characters) don't count. Beside dsmath stand resiliparse alone, for the main content
too, and, where it is installed, trafilatura. MathML that carries its author's LaTeX is also converted without it and
compared. Rates are pages a second of processor time, medians of rounds that alternate.
"""

import argparse
import csv
import html
import platform
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import ElementNode, HTMLTree

from dsmath.corpus.mathml import latex
from dsmath.corpus.text import Limits, Unreadable, extract

try:
    import trafilatura
except ImportError:
    trafilatura = None
try:
    from mathml_to_latex.converter import MathMLToLaTeX
except ImportError:
    MathMLToLaTeX = None

LIMITS = Limits(
    max_bytes=10_000_000,
    max_elements=200_000,
    max_attributes=256,
    max_depth=256,
    max_formula_characters=4_000,
    max_text_bytes=1_000_000,
)
NO_TEXT = re.compile(r"<(script|style|pre|code|title|head)\b.*?</\1\s*>|<!--.*?-->", re.S | re.I)
TAG = re.compile(r"<[^<>]*>")
ANNOTATION = re.compile(r'<annotation encoding="application/x-tex">(.*?)</annotation>', re.S)
IN_MARKUP = {
    "script": re.compile(r'<script type="math/tex[^>]*>(.*?)</script>', re.S),
    "katex": ANNOTATION,
    "mathml": ANNOTATION,
    "mathml-alttext": re.compile(r'<math\b[^>]*?\balttext="(.*?)"', re.S),
    "wpimg": re.compile(r'<img [^>]*?alt="([^"]*)"[^>]*?class="latex"', re.S),
}
IN_TEXT = {
    "dollar": re.compile(r"\$\$([^$]+)\$\$|\$([^$]+)\$"),
    "paren": re.compile(r"\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S),
}

SYNONYMS = {
    r"\rightarrow": r"\to",
    r"\ldots": r"\dots",
    r"\cdots": r"\dots",
    r"\operatorname": r"\mathrm",
    r"\prime": "'",
    "^'": "'",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\varnothing": r"\emptyset",
    r"\colon": ":",
    r"\implies": r"\Rightarrow",
    r"\Longrightarrow": r"\Rightarrow",
}


class Page(NamedTuple):
    """One page with what its labels say of its markup."""

    body: bytes
    charset: str | None
    markup: str


Extractor = Callable[[Page], str]


def main() -> None:
    """Print the table and the rates."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    a = parser.parse_args()
    pages = read(a.folder)
    extractors: dict[str, Extractor] = {"dsmath": ours, "resiliparse": resiliparse_alone}
    if trafilatura:
        extractors["trafilatura"] = trafilatura_alone
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("resiliparse", *(["trafilatura"] if trafilatura else []))
    )
    print(f"{len(pages)} pages, {sum(len(page.body) for page in pages)} bytes; {versions}; {platform.machine()}\n")
    table(pages, extractors)
    conversion(pages)
    rates(pages, extractors, a.rounds)


def read(folder: Path) -> list[Page]:
    """All HTML answers with status 200 that labels know; `dsmath.corpus.warc` is not what is measured here."""
    with (folder / "labels.tsv").open(encoding="utf-8") as file:
        markup = {row["url"]: row["markup"] for row in csv.DictReader(file, delimiter="\t")}
    pages = []
    for path in sorted(folder.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                address, kind = record.headers["WARC-Target-URI"], record.http_content_type or ""
                if address in markup and record.http_headers.status_code == 200 and "html" in kind:
                    pages.append(Page(record.reader.read(), record.http_charset, markup[address]))
    return pages


def ours(page: Page) -> str:
    try:
        return extract(page.body, charset=page.charset, limits=LIMITS).text
    except Unreadable:
        return ""


def resiliparse_alone(page: Page) -> str:
    text = bytes_to_str(page.body, detect_encoding(page.body) or "utf-8")
    return extract_plain_text(HTMLTree.parse(text), preserve_formatting=True, main_content=True)


def trafilatura_alone(page: Page) -> str:
    return trafilatura.extract(page.body) or ""


def known(page: Page) -> Counter[str]:
    """The page's formulas by their essence, read from its source."""
    source = page.body.decode("utf-8", "replace")
    if page.markup in IN_MARKUP:
        found = IN_MARKUP[page.markup].findall(source)
    elif page.markup in IN_TEXT:
        found = ["".join(groups) for groups in IN_TEXT[page.markup].findall(TAG.sub("", NO_TEXT.sub("", source)))]
    else:
        found = []
    return Counter(e for formula in found if len(e := essence(html.unescape(formula))) >= 4 and re.search(r"[\\^_]", e))


def essence(text: str) -> str:
    """Without spaces, line-breaking comments and what only sets the size."""
    text = re.sub(r"%\n|\s|\\displaystyle(?![a-zA-Z])", "", text)
    return re.sub(r"^\{(.*)\}$", r"\1", text) if text.startswith("{") and text.count("{") == 1 else text


def table(pages: list[Page], extractors: dict[str, Extractor]) -> None:
    """Markdown: for each markup, pages with at least one formula kept and formulas kept, by extractor."""
    by_markup: defaultdict[str, list[Page]] = defaultdict(list)
    for page in pages:
        if page.markup:
            by_markup[page.markup].append(page)
    names = list(extractors)
    print("| markup | pages | known formulas |", *(f"{n}: pages | {n}: formulas |" for n in names))
    print("|---|---|---|" + "---|---|" * len(names))
    for markup, group in sorted(by_markup.items()):
        truths = [truth for page in group if (truth := known(page))]
        with_truth = [page for page in group if known(page)]
        total = sum(truth.total() for truth in truths)
        cells = []
        for name in names:
            kept = [
                sum(min(count, text.count(formula)) for formula, count in truth.items())
                for page, truth in zip(with_truth, truths, strict=True)
                for text in [re.sub(r"\\displaystyle(?![a-zA-Z])|\s", "", extractors[name](page))]
            ]
            cells += [share(sum(map(bool, kept)), len(truths)), share(sum(kept), total)]
        print(f"| {markup} | {len(group)} | {total or '–'} |", *(f"{cell} |" for cell in cells))


def conversion(pages: list[Page]) -> None:
    """Of the MathML that carries its author's LaTeX, the share that is converted to the same, synonyms aside."""
    converters: dict[str, Callable[[ElementNode], str]] = {"dsmath": latex}
    if MathMLToLaTeX:
        converters["mathml-to-latex"] = lambda math: MathMLToLaTeX().convert(math.outer_html)
    same, total = Counter(dict.fromkeys(converters, 0)), 0
    for page in pages:
        if page.markup in ("mathml-alttext", "mathml", "katex"):
            tree = HTMLTree.parse(page.body.decode("utf-8", "replace"))
            for math in tree.document.get_elements_by_tag_name("math").values():
                annotation = math.query_selector("annotation")
                truth = math.getattr("alttext") or (annotation.text if annotation else "")
                total += bool(truth)
                for name, convert in converters.items() if truth else ():
                    try:
                        same[name] += canonical(convert(math)) == canonical(truth)
                    except Exception:  # a library's failure is a formula lost
                        continue
    print()
    for name, count in same.items():
        print(f"{name}: {count} of {total} MathML formulas as their authors wrote them ({count / total:.1%})")


def canonical(source: str) -> str:
    """What two ways of writing a formula share: sizes, spaces and braces are gone, synonyms are one."""
    source = re.sub(r"%\n|\\(?:left|right|[bB]igg?[lr]?|(?:display|text)style|limits|mathop)(?![a-zA-Z])", "", source)
    source = re.sub(r"\\(?:q?quad(?![a-zA-Z])|[,;:! >])|[\s{}~*]", "", source)
    for one, other in SYNONYMS.items():
        source = source.replace(one, other)
    return source


def share(part: int, whole: int) -> str:
    """A percentage, or a dash where there is nothing to keep."""
    return f"{part / whole:.1%}" if whole else "–"


def rates(pages: list[Page], extractors: dict[str, Extractor], rounds: int) -> None:
    """Pages a second of processor time over all pages, trafilatura's over a tenth of them."""
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, extractor in extractors.items():
            chosen = pages[::10] if name == "trafilatura" else pages
            start = time.process_time()
            for page in chosen:
                extractor(page)
            seconds[name].append((time.process_time() - start) / len(chosen))
    print()
    for name, taken in seconds.items():
        print(f"{name}: {1 / statistics.median(taken):.0f} pages/s")


if __name__ == "__main__":
    main()

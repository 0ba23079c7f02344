"""What goes wrong on the web: benchmark text on pages, damaged HTML, answers that are no pages."""

import random
from dataclasses import replace

from dsmath.corpus.embedded.article import Article
from dsmath.data.problem import Problem

FRAGMENT = 9
"""Words of a benchmark text that a page may share with it."""
DISGUISES = ("plain", "upper case", "punctuation", "tags", "lines", "spaces", "part", "entities")


def leaked(article: Article, problem: Problem, r: random.Random, disguise: str) -> Article:
    """The article with a problem's question among its blocks; `disguise` is one of DISGUISES."""
    question = problem.question
    match disguise:
        case "upper case":
            question = question.upper()
        case "punctuation":
            question = question.replace(". ", " ; ").replace("?", " ?!")
        case "tags":
            question = "".join(
                f"{word}{TAG_SPACE if i % 4 == 3 else ' '}" for i, word in enumerate(question.split())
            ).strip()
        case "lines":
            question = question.replace(". ", ".\n")
        case "spaces":
            question = question.replace(" ", "  ").replace("  has  ", " \u00a0has\u00a0 ")
        case "part":
            question = " ".join(question.split()[1:13])
        case "entities":
            question = question.replace(" ", ENTITY_SPACE, 3)
        case _:
            pass
    return _insert(article, question, r)


def fragment(article: Article, problem: Problem, r: random.Random) -> Article:
    """The article with as many of a problem's words as may stay."""
    words = " ".join(problem.question.split()[:FRAGMENT])
    return _insert(article, f'Someone quoted the words "{words}" here.', r)


TAG_SPACE, ENTITY_SPACE = "\ue000", "\ue001"  # private characters that become HTML only after escaping
HIDDEN = {TAG_SPACE: " <b></b><span></span>", ENTITY_SPACE: "&#32;"}


def reveal(html: str) -> str:
    """HTML with the disguises' tags and entities in place."""
    for character, markup in HIDDEN.items():
        html = html.replace(character, markup)
    return html


def nested(html: str, depth: int) -> str:
    """A page whose body lies `depth` elements deep."""
    return html.replace("<body>", "<body>" + "<div>" * depth).replace("</body>", "</div>" * depth + "</body>")


def not_html(fault: str, number: int) -> tuple[str, bytes]:
    """Content type and body of an answer that is no page."""
    if fault == "pdf":
        return "application/pdf", b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n"
    return "application/json", f'{{"id": {number}, "tags": ["mathematics", "theorem"], "next": null}}'.encode()


def _insert(article: Article, text: str, r: random.Random) -> Article:
    """The text as a paragraph between others; never inside a formula, and its dollars are none."""
    at = r.randint(1, len(article.blocks))
    return replace(article, blocks=(*article.blocks[:at], text, *article.blocks[at:]))

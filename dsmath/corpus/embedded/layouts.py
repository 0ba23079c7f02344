"""HTML pages around an article: each kind of site has its frame, and writes formulas in its own markup."""

import random
import re
from collections.abc import Callable
from html import escape

from dsmath.corpus.embedded.article import Article
from dsmath.corpus.embedded.markup import MARKUPS, Markup

_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+)\$")


def body_html(article: Article, markup: str) -> list[str]:
    """The blocks of an article as HTML elements."""
    render = MARKUPS[markup] if article.mathematical else None
    return [_block(block, render) for block in article.blocks]


def page(article: Article, *, layout: str, site: str, markup: str, charset: str | None, r: random.Random) -> str:
    """A whole page; `charset` is what its `<meta>` declares, if it does."""
    declared = f'<meta charset="{charset}">' if charset else ""
    scripts = '<script src="/static/MathJax.js?config=TeX-AMS-MML_HTMLorMML"></script>' if article.mathematical else ""
    title = inline(article.title, MARKUPS[markup] if article.mathematical else None)
    frame = LAYOUTS[layout](title, body_html(article, markup), site, r)
    return (
        f'<!DOCTYPE html>\n<html lang="{article.language}"><head>{declared}<title>{escape(article.title)} - {site}</title>'
        f"{scripts}<style>body {{ margin: 0 auto; max-width: 60em; }}</style></head>\n<body>\n{frame}\n</body></html>\n"
    )


def inline(text: str, render: Markup | None) -> str:
    """A line of text with its formulas rendered, or with its dollars as they are."""
    if render is None:
        return escape(text, quote=False)
    parts, end = [], 0
    for match in _FORMULA.finditer(text):
        parts.append(escape(text[end : match.start()], quote=False))
        parts.append(render(match[1] or match[2], match[1] is not None))
        end = match.end()
    return "".join([*parts, escape(text[end:], quote=False)])


def _block(block: str, render: Markup | None) -> str:
    if block.startswith("## "):
        return f"<h2>{inline(block[3:], render)}</h2>"
    if block.startswith("- "):
        return "<ul>" + "".join(f"<li>{inline(item[2:], render)}</li>" for item in block.split("\n")) + "</ul>"
    if block.startswith("    "):
        return "<pre>" + escape("\n".join(line[4:] for line in block.split("\n")), quote=False) + "</pre>"
    if block.startswith("$$"):
        return f"<div>{inline(block, render)}</div>"
    return "<p>" + "<br>\n".join(inline(line, render) for line in block.split("\n")) + "</p>"


def _links(r: random.Random, words: str, tag: str = "li") -> str:
    return "".join(f'<{tag}><a href="/{w.lower()}/">{w}</a></{tag}>' for w in r.sample(words.split(), 5))


def _encyclopedia(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    menu = _links(r, "Entries Papers Forums Index Random About Copyright Feedback")
    return (
        f'<header><nav><ul>{menu}</ul></nav></header><div id="main" role="main"><article><h1>{title}</h1>{"".join(blocks)}'
        f'<table class="owner"><tr><td>Version {r.randint(1, 30)}</td><td>Owner: entry{r.randint(10, 9999)}</td></tr></table></article></div>'
        f"<footer>{site}, a free encyclopedia by its readers</footer>"
    )


def _forum(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    posts: list[list[str]] = [[]]
    for block in blocks:
        if block.startswith("<h2>"):
            posts.append([])
        posts[-1].append(block)
    shown = "".join(
        f'<div class="{"answer" if i else "question"} post"><div class="votecell"><span class="vote-count">{r.randint(-1, 80)}</span></div>'
        f'<div class="post-text">{"".join(post)}</div><div class="user-info"><a href="/users/{r.randint(100, 99999)}">user{r.randint(100, 99999)}</a> '
        f"{r.randint(1, 28)} {r.choice(('March', 'June', 'October'))} {r.randint(2009, 2023)}</div></div>"
        for i, post in enumerate(posts)
    )
    return (
        f'<div class="topbar"><a href="/">{site}</a> <a href="/login">Log in</a> <a href="/signup">Sign up</a></div><div id="mainbar"><h1>{title}</h1>'
        f'{shown}</div><div id="sidebar"><h4>Related</h4><ul>{_links(r, "Unanswered Tags Users Badges Hot Newest Tour Help")}</ul></div>'
        '<div id="footer"><a href="/privacy">Privacy policy</a> <a href="/cookies">Cookie settings</a></div>'
    )


def _notes(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    return f'<h1>{title}</h1><hr><p><a href="index.html">Up</a> | <a href="{r.randint(1, 40)}.html">Next</a></p>{"".join(blocks)}<hr><address>{site}</address>'


def _blog(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    archive = _links(r, "January February March April May June July August September October")
    return (
        f'<div id="header"><a href="/">{site}</a></div><div id="content" class="hfeed"><div class="post hentry"><h1 class="entry-title">{title}</h1>'
        f'<div class="entry-content">{"".join(blocks)}</div><div class="sharedaddy">Share this: Email Print</div></div>'
        f'<div id="comments"><h3>{r.randint(1, 40)} Comments</h3><p>Great post, thank you for writing it up.</p></div></div>'
        f'<div id="sidebar"><h3>Archives</h3><ul>{archive}</ul></div><div id="footer">Blog at {site}</div>'
    )


def _wiki(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    contents = _links(r, "Overview History Properties Applications References Notes Gallery")
    return (
        f'<div id="content" class="mw-body" role="main"><h1 id="firstHeading">{title}</h1><div id="bodyContent"><div id="mw-content-text">'
        f'<div class="toc"><ul>{contents}</ul></div>{"".join(blocks)}</div><div id="catlinks">Categories: {site}</div></div></div>'
        f'<div id="mw-panel"><ul>{_links(r, "Main Contents Current Random Donate Help Community")}</ul></div><div id="footer">This page was last edited in {r.randint(2005, 2023)}.</div>'
    )


def _documentation(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    return (
        f'<div class="related" role="navigation"><ul>{_links(r, "Index Modules Next Previous Search Source")}</ul></div><div class="document"><div class="body" role="main">'
        f'<section><h1>{title}<a class="headerlink" href="#top">¶</a></h1>{"".join(blocks)}</section></div></div><div class="footer">Built for {site}.</div>'
    )


def _shop(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    return (
        f'<header>{site} <form action="/search"><input name="q"></form> <a href="/cart">Cart (0)</a></header><main><div class="product"><h1>{title}</h1><img src="/img/{r.randint(1000, 9999)}.jpg" alt="">'
        f"{''.join(blocks)}<button>Add to cart</button></div></main><aside><ul>{_links(r, 'Sale New Bestsellers Kitchen Garden Bath Outlet')}</ul></aside><footer>Imprint, terms, delivery</footer>"
    )


def _magazine(title: str, blocks: list[str], site: str, r: random.Random) -> str:
    return (
        f'<header><nav><ul>{_links(r, "Home Local World Culture Opinion Weather Sport Video")}</ul></nav></header><main><article><h1>{title}</h1><p class="byline">{r.randint(1, 28)} May {r.randint(2012, 2023)}</p>'
        f'{"".join(blocks)}</article></main><aside class="newsletter">Subscribe to the newsletter of {site}</aside><footer>All rights reserved</footer>'
    )


LAYOUTS: dict[str, Callable[[str, list[str], str, random.Random], str]] = {
    "encyclopedia": _encyclopedia, "forum": _forum, "notes": _notes, "blog": _blog, "wiki": _wiki, "documentation": _documentation,
    "shop": _shop, "magazine": _magazine,
}  # fmt: skip
# ruff: noqa: E501 - HTML

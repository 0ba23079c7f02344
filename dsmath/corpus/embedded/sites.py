"""The sites of the generated web: what each holds, under which paths, in which layout, markup and charset.

All names end in `.example`, which RFC 2606 keeps free of real sites. The mathematics is spread so that one round cannot
find it all: the seed site is English, rigorous and in one markup; school arithmetic, Chinese pages and a manual full of
code share few words with it, and stand on domains where something else is near enough to be collected.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from dsmath.corpus.embedded import chinese, computer_algebra, formal, languages, mathematics, prose, school
from dsmath.corpus.embedded.article import Article

SEED = "theoremata.example/encyclopedia"
"""Domain and path of the pages that a first round starts from."""


@dataclass(frozen=True, slots=True)
class Section:
    """Pages of one kind; `{n}` in the path becomes a number of the page's own. `pages` of a web of 2 000."""

    path: str
    kind: str
    pages: int


@dataclass(frozen=True, slots=True)
class Site:
    """`declared` says where the charset is named: in the HTTP header, in the page, or nowhere."""

    domain: str
    layout: str
    sections: tuple[Section, ...]
    markup: str = "plain"
    charset: str = "utf-8"
    declared: str = "header"


KINDS: dict[str, Callable[[random.Random], Article]] = {
    "encyclopedia": mathematics.encyclopedia,
    "lecture": mathematics.lecture,
    "question": mathematics.question,
    "mathematical blog": mathematics.blog,
    "survey": mathematics.survey,
    "worksheet": school.worksheet,
    "homework thread": school.thread,
    "school lesson": school.lesson,
    "algebra reference": computer_algebra.reference,
    "algebra tutorial": computer_algebra.thematic_tutorial,
    "Chinese notes": chinese.notes,
    "Chinese problems": chinese.problems,
    "German lecture": languages.german_mathematics,
    "French lecture": languages.french_mathematics,
    "shop": prose.shop,
    "news": prose.news,
    "sports": prose.sports,
    "finance": prose.finance,
    "cooking": prose.cooking,
    "chat": prose.chat,
    "travel": prose.travel,
    "health": prose.health,
    "user": prose.user,
    "code": formal.code,
    "programming": formal.programming,
    "law": formal.law,
    "nature": formal.nature,
    "Chinese news": chinese.news,
    "Chinese shop": chinese.shop,
    "German news": languages.german,
    "French news": languages.french,
    "Japanese news": languages.japanese,
}
MATHEMATICAL = frozenset(tuple(KINDS)[:14])
"""The kinds that are mathematics."""


def _site(domain: str, layout: str, *sections: tuple[str, str, int], **options: str) -> Site:
    return Site(domain, layout, tuple(Section(*section) for section in sections), **options)


SITES: tuple[Site, ...] = (
    # Mathematics near the seed, in other markups
    _site("theoremata.example", "encyclopedia", ("/encyclopedia/{n}", "encyclopedia", 74), ("/users/{n}", "user", 6), markup="mathml_alttext"),
    _site("provehub.example", "forum", ("/questions/{n}", "question", 36), ("/users/{n}", "user", 18), markup="dollars"),
    _site("openproblems.example", "forum", ("/q/{n}", "question", 16), ("/meta/{n}", "chat", 5), markup="mathml"),
    _site("primepages.example", "encyclopedia", ("/glossary/{n}.html", "encyclopedia", 18), markup="katex"),
    _site("symmetrywiki.example", "wiki", ("/wiki/{n}", "survey", 14), ("/talk/{n}", "chat", 4), markup="mathml_annotation"),
    _site("lecturehall.example", "notes", ("/analysis/{n}.html", "lecture", 9), ("/discrete/{n}.html", "lecture", 9), markup="parentheses"),
    _site("epsilonroom.example", "blog", ("/2019/03/post-{n}/", "mathematical blog", 16), markup="wordpress_image"),
    _site("quietproofs.example", "blog", ("/notes/{n}/", "mathematical blog", 12), ("/books/{n}/", "chat", 6), markup="dollars"),
    # Mathematics under one path of a larger site
    _site("askcommons.example", "forum", ("/mathematics/{n}", "question", 16), ("/mathematics/{n}", "homework thread", 14),
          ("/cooking/{n}", "cooking", 20), ("/travel/{n}", "travel", 14), ("/pets/{n}", "chat", 14), markup="mathjax_script"),
    _site("northfield.example", "notes", ("/~bergman/notes/{n}.html", "lecture", 18), ("/news/{n}.html", "news", 16),
          ("/~lindqvist/journeys/{n}.html", "travel", 8), markup="mathjax_script"),
    _site("eastgate-college.example", "magazine", ("/math/courses/{n}", "lecture", 14), ("/sports/{n}", "sports", 10),
          ("/health/{n}", "health", 10), markup="katex"),
    _site("openlexicon.example", "wiki", ("/wiki/mathematics/{n}", "survey", 18), ("/wiki/places/{n}", "travel", 20),
          ("/wiki/people/{n}", "user", 12), markup="mediawiki_image"),
    _site("sciencechat.example", "forum", ("/forum/math/{n}", "question", 10), ("/forum/general/{n}", "chat", 18),
          ("/forum/money/{n}", "finance", 8), markup="codecogs_image"),
    _site("travelandtheorems.example", "blog", ("/theorems/{n}", "mathematical blog", 8), ("/travel/{n}", "travel", 14), markup="codecogs_image"),
    _site("numerica.example", "documentation", ("/theory/{n}.html", "lecture", 9), ("/api/{n}.html", "code", 20), markup="sphinx_image"),
    # Mathematics in other words: school arithmetic, a manual's code
    _site("tutorfriend.example", "magazine", ("/help/theory/{n}", "lecture", 8), ("/help/problems/{n}", "worksheet", 30), ("/about/{n}", "chat", 5),
          markup="parentheses"),
    _site("schoolboard.example", "forum", ("/maths/{n}", "homework thread", 20), ("/maths/{n}", "question", 5), ("/lounge/{n}", "chat", 16), markup="dollars"),
    _site("classthree.example", "magazine", ("/lessons/{n}", "school lesson", 16), ("/lunch/{n}", "cooking", 20)),
    _site("kidscount.example", "blog", ("/sheets/{n}", "worksheet", 20), ("/tables/{n}", "school lesson", 8), ("/outings/{n}", "travel", 20)),
    _site("algebrix.example", "documentation", ("/tutorial/{n}.html", "algebra tutorial", 8), ("/reference/{n}.html", "algebra reference", 26),
          ("/install/{n}.html", "code", 6), markup="sphinx_span"),
    # (The children's pages of two newspapers are in the last part: too few for their domains to be found at once.)
    # Chinese mathematics: first beside English notes, then beside formulas, then alone
    _site("shuxuejia.example", "notes", ("/en/{n}.html", "lecture", 6), ("/notes/{n}.html", "Chinese notes", 20), markup="dollars"),
    _site("xuetang.example", "magazine", ("/shuxue/{n}", "Chinese notes", 12), ("/yingyongti/{n}", "Chinese problems", 20), ("/xinwen/{n}", "Chinese news", 12),
          markup="mathjax_script", charset="gbk", declared="page"),
    _site("lunwenku.example", "blog", ("/p/{n}", "Chinese notes", 10), ("/life/{n}", "Chinese news", 6), markup="katex"),
    _site("zuoyezhan.example", "forum", ("/timu/{n}", "Chinese problems", 22), ("/shop/{n}", "Chinese shop", 8), charset="gb2312", declared="header"),
    _site("vorlesungen.example", "notes", ("/mathe/{n}.html", "German lecture", 9), markup="dollars", charset="iso-8859-1"),
    _site("coursdemaths.example", "notes", ("/cours/{n}.html", "French lecture", 6), markup="parentheses", charset="iso-8859-1", declared="page"),
    # Definitions, entries and assignments: near the seed in manner, without mathematics
    _site("naturalia.example", "encyclopedia", ("/encyclopedia/{n}", "nature", 40), ("/users/{n}", "user", 5)),
    _site("hedgerow.example", "wiki", ("/wiki/{n}", "nature", 24)),
    _site("statutebook.example", "notes", ("/acts/{n}.html", "law", 34)),
    _site("courtreader.example", "blog", ("/cases/{n}", "law", 20), ("/diary/{n}", "travel", 6)),
    _site("firstprogram.example", "notes", ("/lesson/{n}.html", "programming", 40)),
    _site("loopsandlists.example", "blog", ("/post/{n}", "programming", 30), ("/tea/{n}", "chat", 6)),
    # No mathematics, but dollars, numbers, signs and code
    _site("nordichome.example", "shop", ("/product/{n}", "shop", 29)),
    _site("lanternshop.example", "shop", ("/p/{n}.html", "shop", 24)),
    _site("budgetbarn.example", "shop", ("/item/{n}", "shop", 29), charset="iso-8859-1", declared="page"),
    _site("oakandlinen.example", "shop", ("/shop/{n}", "shop", 21)),
    _site("teatimegoods.example", "shop", ("/goods/{n}", "shop", 18)),
    _site("outdoorgear.example", "shop", ("/gear/{n}", "shop", 22), ("/stories/{n}", "travel", 8)),
    _site("ashfordherald.example", "magazine", ("/local/{n}", "news", 24), ("/sport/{n}", "sports", 11)),
    _site("dailycalder.example", "magazine", ("/story/{n}", "news", 27), ("/money/{n}", "finance", 10)),
    _site("millbrooktimes.example", "magazine", ("/2021/{n}.html", "news", 26), ("/children/{n}.html", "school lesson", 7)),
    _site("westbrookpost.example", "magazine", ("/articles/{n}", "news", 21), ("/food/{n}", "cooking", 8)),
    _site("norwickgazette.example", "magazine", ("/news/{n}", "news", 21), ("/wellbeing/{n}", "health", 10)),
    _site("statsdaily.example", "magazine", ("/figures/{n}", "finance", 11), ("/polls/{n}", "news", 16)),
    _site("ballzone.example", "magazine", ("/match/{n}", "sports", 29)),
    _site("fieldreport.example", "blog", ("/report/{n}", "sports", 21)),
    _site("marathonnews.example", "magazine", ("/race/{n}", "sports", 13), ("/training/{n}", "health", 6)),
    _site("tickerwatch.example", "magazine", ("/stocks/{n}", "finance", 24)),
    _site("bondletter.example", "blog", ("/letter/{n}", "finance", 18)),
    _site("marketmorning.example", "magazine", ("/brief/{n}", "finance", 19)),
    _site("parserkit.example", "documentation", ("/docs/{n}.html", "code", 21)),
    _site("queueworks.example", "documentation", ("/manual/{n}.html", "code", 19)),
    _site("devnotes.example", "blog", ("/til/{n}", "code", 14), ("/offtopic/{n}", "chat", 6)),
    _site("streamdocs.example", "documentation", ("/latest/{n}.html", "code", 19)),
    _site("routerlab.example", "wiki", ("/wiki/{n}", "code", 18)),
    _site("spicekitchen.example", "blog", ("/recipes/{n}", "cooking", 24)),
    _site("breadandbutter.example", "blog", ("/bake/{n}", "cooking", 19)),
    _site("souplovers.example", "forum", ("/t/{n}", "cooking", 14), ("/chat/{n}", "chat", 6)),
    _site("coffeecorner.example", "forum", ("/thread/{n}", "chat", 21)),
    _site("petlovers.example", "forum", ("/board/{n}", "chat", 16), ("/members/{n}", "user", 10)),
    _site("nighttrain.example", "blog", ("/diary/{n}", "travel", 19)),
    _site("harbourwalks.example", "blog", ("/walks/{n}", "travel", 16)),
    _site("slowtravel.example", "magazine", ("/guides/{n}", "travel", 18)),
    _site("sleepwell.example", "magazine", ("/advice/{n}", "health", 14)),
    _site("clinicguide.example", "wiki", ("/topic/{n}", "health", 16)),
    _site("beilingnews.example", "magazine", ("/xinwen/{n}.html", "Chinese news", 20), ("/xuexi/{n}.html", "Chinese problems", 6), charset="gb2312", declared="page"),
    _site("donghu.example", "magazine", ("/a/{n}", "Chinese news", 14), charset="gbk", declared="nowhere"),
    _site("hongmall.example", "shop", ("/item/{n}", "Chinese shop", 16)),
    _site("lanshop.example", "shop", ("/goods/{n}", "Chinese shop", 11), charset="gbk"),
    _site("stadtbote.example", "magazine", ("/artikel/{n}", "German news", 10), charset="iso-8859-1"),
    _site("kreisblatt.example", "magazine", ("/lokal/{n}", "German news", 6), charset="iso-8859-1", declared="nowhere"),
    _site("petitjournal.example", "magazine", ("/actu/{n}", "French news", 10), charset="iso-8859-1", declared="page"),
    _site("aoyamanews.example", "magazine", ("/kiji/{n}", "Japanese news", 8), charset="shift_jis", declared="page"),
    _site("minatotown.example", "magazine", ("/oshirase/{n}", "Japanese news", 5), charset="shift_jis", declared="nowhere"),
)  # fmt: skip
MIRRORS: tuple[Site, ...] = (
    _site("readerarchive.example", "blog", markup="dollars"),
    _site("copyshelf.example", "magazine", markup="parentheses"),
    _site("textmirror.example", "documentation", markup="dollars"),
)
"""Sites that repeat other sites' pages in a frame of their own."""

# ruff: noqa: E501 - a site a line

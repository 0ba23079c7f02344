"""An invented round to annotate: a forum, a wiki, a blog whose pages attack the terminal, and a domain nobody wants."""

import sys
from pathlib import Path

from dsmath.annotate.app import AnnotateApp
from dsmath.annotate.session import Session
from dsmath.corpus.domain_views import DomainViews, candidate_domains, domain_addresses

sys.path.append(str(Path(__file__).parents[1] / "corpus"))

from annotation_tools import Page, write_round

HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e[bold red]evil[/bold red] [@click=app.leave]press[/] [/]\x00"
QUESTIONS = [
    (
        "Is every projective module over k[x, y] free?",
        "Serre asked this in 1955. For $k[x_1,\\dots,x_n]$ the answer is",
    ),
    ("Why does $\\sum 1/p$ diverge?", "Euler's argument: $\\prod_p (1-p^{-s})^{-1} = \\zeta(s)$, and let $s \\to 1$."),
    ("Compactness without choice", "Which of the usual proofs that $[0,1]^I$ is compact need the axiom of choice?"),
]


def invented_pages() -> list[Page]:
    """Of forum.example 60 pages, of wiki.example 30, of evil.example 12, of shop.example 40."""
    pages = []
    for n in range(40):
        title, text = QUESTIONS[n % len(QUESTIONS)]
        lines = f"{text}\nI have read the standard references.\n\nAny hint is welcome."
        pages.append(Page(f"https://forum.example/questions/{n}", n % 10 != 0, title, lines))
    for n in range(20):
        pages.append(Page(f"https://forum.example/users/{n}", False, f"User {n}", f"User {n}\nMember since 2009"))
    for n in range(30):
        kind = "article" if n < 20 else "talk"
        pages.append(Page(f"https://wiki.example/{kind}/{n}", n < 18, f"Wiki {n}", "A group is a set with $ab$."))
    for n in range(12):
        pages.append(Page(f"https://evil.example/%5Bred%5Da/{n}", n < 6, HOSTILE, HOSTILE + "\nsecond line\u2028third"))
    for n in range(40):
        pages.append(Page(f"https://shop.example/item/{n}", n < 1, "Buy", "Cheap."))
    return pages


def app_of(folder: Path, *, round: int = 1, pages: list[Page] | None = None) -> AnnotateApp:
    """The app over a round; started again on the same folder, it finds what was decided."""
    if (folder / "round").exists():
        pages_folder, round_folder = folder / "pages-stage", folder / "round"
    else:
        pages_folder, round_folder = write_round(folder, invented_pages() if pages is None else pages)
    domains = [count.domain for count in candidate_domains(round_folder)]
    views = DomainViews(pages_folder, round_folder, domains=domains, depth=2, samples=3, seed=1)
    session = Session(folder / "annotation.yaml", domains, round=round, by="ada")
    return AnnotateApp(
        session,
        lambda domain: views.of([domain])[0],
        lambda domain: domain_addresses(pages_folder, round_folder, domain),
    )

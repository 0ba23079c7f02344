"""Which pages the generated web has: every site's own, then copies, errors and damage."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsmath.corpus.embedded.sites import KINDS, MATHEMATICAL, MIRRORS, SITES, Site
from dsmath.randomness import derive_random

ERRORS = {"not found": 0.012, "moved": 0.008, "pdf": 0.004, "json": 0.004, "empty": 0.004}
ADDED = {"mirror": 0.03, "same page": 0.025, **ERRORS}
"""Shares of the web that are added to the sites' own pages."""
CHANGED = {"leak": 20, "fragment": 2, "cut": 2, "deep": 2}
"""Own pages, of a web of 2 000, that are changed: benchmark text put in, HTML cut short, elements nested deeply."""
_LEAKING = {"worksheet", "homework thread", "question", "school lesson", "chat", "news", "lecture"}


@dataclass(frozen=True, slots=True)
class PagePlan:
    """One page before it is written; `number` derives its content, so copies share their original's."""

    url: str
    site: Site
    kind: str
    number: int
    fault: str = ""
    original: str | None = None


def draw_plan(seed: int, pages: int) -> list[PagePlan]:
    """All pages in a shuffled order; the same for the same arguments."""
    r = derive_random(seed, "embedded web", "plan")
    added = {fault: max(1, round(share * pages)) for fault, share in ADDED.items()}
    own = _own_pages(r, pages - sum(added.values()))
    _change(r, own, pages)
    plan = list(own)
    intact = [page for page in own if not page.fault]
    originals = r.sample(intact, added["mirror"] + added["same page"])
    # A third of the copies repeat mathematics, whatever its share of the web is.
    mathematics = [page for page in intact if page.kind in MATHEMATICAL]
    originals[::3] = r.sample(mathematics, len(originals[::3]))
    originals = list({page.url: page for page in originals}.values())
    mirrored = len(originals) * added["mirror"] // (added["mirror"] + added["same page"])
    for page in originals[:mirrored]:
        mirror = r.choice(MIRRORS)
        url = f"https://{mirror.domain}/{page.site.domain.partition('.')[0]}/{page.number}"
        site = replace(mirror, charset=page.site.charset, declared="header")
        plan.append(replace(page, url=url, site=site, fault="mirror", original=page.url))
    for page in originals[mirrored:]:
        plan.append(replace(page, url=_alias(r, page.url), fault="same page", original=page.url))
    for fault in ERRORS:
        for _ in range(added[fault]):
            base = r.choice(own)
            url = f"https://{base.site.domain}/{fault.replace(' ', '-')}/{r.randint(10**5, 10**6)}"
            plan.append(PagePlan(url, base.site, "", len(plan), fault))
    while len(plan) < pages:  # an original that was drawn twice is copied once
        site = r.choice(SITES)
        plan.append(PagePlan(f"https://{site.domain}/gone/{len(plan)}", site, "", len(plan), "not found"))
    r.shuffle(plan)
    return plan


def _own_pages(r: random.Random, count: int) -> list[PagePlan]:
    """The sites' own pages, as many of each section as its share asks for (largest remainders)."""
    sections = [(site, section) for site in SITES for section in site.sections]
    total = sum(section.pages for _, section in sections)
    exact = [count * section.pages / total for _, section in sections]
    counts = [int(share) for share in exact]
    for i in sorted(range(len(sections)), key=lambda i: (counts[i] - exact[i], i))[: count - sum(counts)]:
        counts[i] += 1
    own: list[PagePlan] = []
    for (site, section), amount in zip(sections, counts, strict=True):
        for _ in range(amount):
            number = len(own)
            name = number * 37 + r.randint(1000, 1036)  # rises in steps below 73, never repeats
            own.append(PagePlan(f"https://{site.domain}{section.path.format(n=name)}", site, section.kind, number))
    return own


def _change(r: random.Random, own: list[PagePlan], pages: int) -> None:
    for fault, amount in CHANGED.items():
        fitting = [
            i
            for i, page in enumerate(own)
            if not page.fault and (page.kind in _LEAKING if fault in ("leak", "fragment") else page.kind in KINDS)
        ]
        for i in r.sample(fitting, max(1, round(amount * pages / 2000))):
            own[i] = replace(own[i], fault=fault)


def _alias(r: random.Random, url: str) -> str:
    """Another address of the same page."""
    address = url.removeprefix("https://")
    choices: Sequence[str] = (
        f"{url}?utm_source=newsletter&utm_medium=email",
        f"{url}?fbclid=Iw{r.randint(10**9, 10**10)}",
        f"http://{address}",
        f"https://www.{address}",
        f"http://www.{address}#comments",
        f"https://{address.partition('/')[0].upper()}/{address.partition('/')[2]}",
    )
    return r.choice(choices)

"""What a domain's page says: the decision, and the sample pages."""

from textual.content import Content

from dsmath.annotate.plain import first_lines, one_line
from dsmath.corpus.annotation import Decision
from dsmath.corpus.domain_views import DomainView, Sample

LINES_SHOWN, CHARACTERS_SHOWN = 12, 2_000  # of a page


def verdict(accept: tuple[str, ...]) -> str:
    """A decision in words."""
    if not accept:
        return "rejected"
    return "accepted whole" if "/" in accept else f"accepted {', '.join(accept)}"


def state(decision: Decision | None, note: str) -> Content:
    """The decision that counts, by whom and why, and a note that no decision has yet."""
    if decision is None:
        shown = Content.styled("undecided", "$text-warning")
    else:
        style = "$text-success" if decision.accept else "$text-error"
        by = f"  by {one_line(decision.by, 40)}, {one_line(decision.when, 20)}, round {decision.round}"
        why = f": {one_line(decision.why, 200)}" if decision.why else ""
        shown = Content.assemble((one_line(verdict(decision.accept), 200), style), (by + why, "$foreground-muted"))
    if note and (decision is None or note != decision.why):
        shown = Content.assemble(shown, "  note: ", one_line(note, 200))
    return shown


def samples(view: DomainView) -> Content:
    """The pages inside the collection, then those outside."""
    parts: list[Content | str] = []
    outside = view.pages - view.collected
    for heading, pages, count in (
        ("in the collection", view.inside, view.collected),
        ("not in the collection", view.outside, outside),
    ):
        parts.append(Content.styled(f"{heading}: {len(pages)} of {count:,} pages\n\n", "bold $text-accent"))
        parts += [_page(page) for page in pages]
    return Content.assemble(*parts)


def _page(page: Sample) -> Content:
    return Content.assemble(
        (one_line(page.title, 200) or "(no title)", "bold"),
        "\n",
        (one_line(page.url, 300), "$foreground-muted"),
        "\n",
        first_lines(page.text, LINES_SHOWN, CHARACTERS_SHOWN),
        "\n\n",
    )

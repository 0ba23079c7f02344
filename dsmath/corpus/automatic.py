"""The rule that decides on candidate domains where no person does (`annotation=automatic`).

A domain is accepted whole when enough of its pages were collected. Otherwise its paths are, from the shortest on, that
have enough pages and of those enough collected; a path below an accepted one adds nothing and is left out. A domain
without such a path is rejected.
"""

from collections.abc import Iterable

from dsmath.corpus.annotation import Decision, path_mistake
from dsmath.corpus.domain_views import DomainView
from dsmath.corpus.path_counts import PathCount

BY = "automatic"


def automatic_decisions(
    views: Iterable[DomainView], *, path_share: float, min_pages: int, depth: int, round: int
) -> list[Decision]:
    """The rule's decisions, one for each view in its order, without hosts that no pattern can name (`localhost`).

    Args:
        views: with all paths of at least `min_pages` pages and up to `depth` segments.
        path_share: the smallest collected share of what is accepted, 0 to 1.
    """
    return [
        _decide(view, path_share, min_pages, depth, round) for view in views if path_mistake(view.domain, "/") is None
    ]


def _decide(view: DomainView, path_share: float, min_pages: int, depth: int, round: int) -> Decision:
    whole = f"{view.collected} of {view.pages} pages collected ({view.share:.1%})"
    if view.share >= path_share:
        return Decision(view.domain, ("/",), round, BY, "", f"{whole}, at least {path_share:.1%}")
    accepted = _paths(view, path_share, min_pages, depth)
    rule = f"at least {path_share:.1%} of at least {min_pages} pages"
    if not accepted:
        return Decision(view.domain, (), round, BY, "", f"{whole}; no path with {rule}")
    each = ", ".join(f"{path.path} {path.collected} of {path.pages} ({path.share:.1%})" for path in accepted)
    return Decision(
        view.domain, tuple(path.path for path in accepted), round, BY, "", f"{whole}; paths with {rule}: {each}"
    )


def _paths(view: DomainView, path_share: float, min_pages: int, depth: int) -> list[PathCount]:
    accepted: dict[str, PathCount] = {}
    for path in sorted(view.paths, key=lambda path: (path.path.count("/"), path.path)):
        if path.path.count("/") > depth or path.pages < min_pages or path.share < path_share:
            continue
        parents = path.path.split("/")
        if not any("/".join(parents[:end]) in accepted for end in range(2, len(parents))):
            accepted[path.path] = path
    return list(accepted.values())

"""`dsmath annotate [OVERRIDES]`: decide in the terminal which paths of a round's candidate domains join the seed."""

import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from dsmath.errors import UserError

SAMPLES = 5  # pages shown from inside and from outside the collection
DEPTH = 4  # segments of the paths that are counted, at most


def annotate_round(overrides: Sequence[str]) -> int:
    """Decide on the candidates of the round that the run with the same overrides waits for; the exit code.

    Raises:
        UserError: for a config that cannot run, annotation=automatic, and when no round has been collected yet.
    """
    import getpass

    from dsmath.config.compose import composer
    from dsmath.corpus.annotation import decisions_file
    from dsmath.graph.chain import nodes
    from dsmath.graph.store import Store

    with composer() as compose:
        e = compose.one([*overrides, "stage=corpus"]).experiment
    if e.annotation.file is None:
        raise UserError("annotation=automatic: a rule decides; expected annotation=interactive, or annotation=file")
    if e.annotation.file.startswith("dsmath:"):
        raise UserError(
            f"annotation.file = {e.annotation.file}: these decisions are the project's; expected "
            "annotation=interactive, "
            "which keeps yours in annotation.yaml, or annotation=file annotation.file=PATH"
        )
    store = Store(Path(e.paths.store))
    found = {node.label: store.find(node.stage.name, node.fingerprint) for node in nodes(e)}
    rounds = [entry for label, entry in found.items() if label.startswith("corpus@")]
    done = [entry for entry in rounds if entry is not None]
    pages = found["pages"]
    if not done or pages is None:
        raise UserError(
            f"no round of this corpus is in {e.paths.store}/ yet: expected `dsmath stage=corpus round=1` with "
            "the same words "
            "before its domains can be judged"
        )
    last = done[: e.round - 1][-1] if e.round > 1 else done[0]
    return annotate(
        pages.path,
        last.path,
        decisions_file(e.annotation.file),
        round=int(last.summary["round"]),
        by=getpass.getuser(),
        depth=min(e.annotation.depth, DEPTH),
        samples=SAMPLES,
        seed=e.seed,
    )


def annotate(
    pages_folder: Path,
    round_folder: Path,
    decisions_file: Path,
    *,
    round: int,
    by: str,
    depth: int,
    samples: int,
    seed: int,
) -> int:
    """Show the candidate domains of a finished round one by one and save every answer; the exit code.

    Domains that have a decision, of this round or an earlier one, are passed over at the start; one can go back to it.

    Raises:
        UserError: without a terminal, and for a file of decisions with mistakes.
    """
    from dsmath.annotate.session import Session
    from dsmath.corpus.domain_views import DomainView, DomainViews, candidate_domains, domain_addresses

    domains = [count.domain for count in candidate_domains(round_folder)]
    session = Session(decisions_file, domains, round=round, by=by)
    if not domains:
        print(f"round {round} has no candidate domain: nothing to decide, the next round's seed stays as it is")
        return 0
    if session.left() or _is_terminal():
        _require_terminal(decisions_file)
        print(f"{len(domains)} candidate domains of round {round}, counting their paths …", flush=True)
        views = DomainViews(pages_folder, round_folder, domains=domains, depth=depth, samples=samples, seed=seed)

        @lru_cache(maxsize=1)
        def addresses(domain: str) -> list[tuple[str, bool]]:
            return domain_addresses(pages_folder, round_folder, domain)

        def view(domain: str) -> DomainView:
            return views.of([domain])[0]

        from dsmath.annotate.app import AnnotateApp

        AnnotateApp(session, view, addresses).run()
    _say_where_we_are(session.left(), len(domains), decisions_file, round)
    return 0


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _require_terminal(decisions_file: Path) -> None:
    if not _is_terminal():
        raise UserError(
            "dsmath annotate needs a terminal, and this is none; run it in one, or write the decisions by hand into "
            f"{decisions_file} and use annotation=file, or leave them to the rule with annotation=automatic"
        )


def _say_where_we_are(left: list[str], domains: int, decisions_file: Path, round: int) -> None:
    print(f"round {round}: {domains - len(left)} of {domains} candidate domains decided, {len(left)} left")
    print(f"decisions: {decisions_file}")
    if left:
        print("the same command goes on from here; the next round waits until none is left")
    else:
        print(f"next: the run with round={round + 1}, its seed enlarged by what is accepted")

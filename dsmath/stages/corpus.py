"""The stage `corpus`: a round of collection (§2.1); each round is a node that grows from the one before it."""

import json
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import polars as pl

from dsmath.config.collecting import token_budget
from dsmath.corpus.annotation import decisions_file, read_decisions, standing
from dsmath.corpus.automatic import automatic_decisions
from dsmath.corpus.domain_views import domain_views
from dsmath.corpus.pages import read_facts
from dsmath.corpus.report import write_report
from dsmath.corpus.round_facts import RoundFacts
from dsmath.corpus.rounds import DOMAINS, MANIFEST, Before, Round, collect, decided
from dsmath.corpus.shards import publish_text, room_for
from dsmath.errors import UserError
from dsmath.work import Result, Work


def run(work: Work) -> Mapping[str, Any]:
    """Collect, and report.

    Raises:
        UserError: for what `collect` refuses, candidate domains that a person has yet to decide on, and a full disk.
    """
    with room_for(work.folder):
        return _run(work)


def _run(work: Work) -> Mapping[str, Any]:
    e = work.experiment
    number = int(work.variant.removeprefix("round-"))
    pages = work.upstreams["pages"]
    last = work.upstreams.get("corpus")
    if last is not None and last.summary["stopped"]:
        return _same_as(work, last, number)
    facts = collect(
        Round(
            number=number,
            crawl=e.crawl.name,
            pages=pages.path / "pages",
            facts=read_facts(pages.path),
            settings=e.corpus,
            token_budget=token_budget(e, number),
            before=None if last is None else _before(work, last, number),
            folder=work.folder,
            scratch=work.scratch,
            seed=e.seed,
            launcher=e.launcher,
            tell=lambda line: _tell(work, line),
        )
    )
    write_report(work.folder, facts)
    _write_manifest(work, facts)
    summary = _summary(facts)
    _log(work, facts, summary)
    if facts.stopped:
        _tell(work, f"{summary['overlap']:.1%} had been collected in round {number - 1}: the rounds end here")
    return summary


def _before(work: Work, last: Result, number: int) -> Before:
    """The last round with the decisions on its candidates."""
    annotation, e = work.experiment.annotation, work.experiment
    if annotation.name == "automatic":
        assert annotation.path_share is not None
        assert annotation.least_pages is not None
        views = domain_views(
            work.upstreams["pages"].path,
            last.path,
            domains=None,
            depth=annotation.depth,
            samples=0,
            seed=e.seed,
            least_pages=annotation.least_pages,
        )
        decisions = automatic_decisions(
            views,
            path_share=annotation.path_share,
            min_pages=annotation.least_pages,
            depth=annotation.depth,
            round=number - 1,
        )
        return Before(last.path, decisions, "annotation=automatic", refuse_idle=False)
    assert annotation.file is not None
    file = decisions_file(annotation.file)
    made = read_decisions(file) if file.exists() or annotation.name == "file" else []
    decisions = list(standing(made, number).values())
    domains = pl.read_parquet(last.path / DOMAINS).filter(pl.col("candidate"))["domain"].to_list()
    open_ones = decided(decisions, domains)
    if open_ones and annotation.name == "interactive":
        raise UserError(
            f"round {number} waits for a person: {len(open_ones)} of {len(domains)} domains that round "
            f"{number - 1} found "
            f"mathematical have no decision in {file}, such as {', '.join(open_ones[:3])}; call `dsmath "
            "annotate` with the "
            "same words, then the same command again"
        )
    if open_ones:
        _tell(
            work, f"{file}: says nothing of {len(open_ones)} candidate domains, which add no pages: {_some(open_ones)}"
        )
    return Before(last.path, decisions, str(file), refuse_idle=annotation.unmatched == "error")


def _same_as(work: Work, last: Result, number: int) -> Mapping[str, Any]:
    """The rounds have ended: what the last one collected is this one's corpus too."""
    for file in sorted(last.path.rglob("*")):
        if file.is_file() and file.name != "entry.json":
            place = work.folder / file.relative_to(last.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            shutil.copyfile(file, place)
    summary = dict(last.summary)
    ended = summary["round"]
    _tell(work, f"the rounds ended with round {ended}, whose corpus this is")
    return summary | {"asked": number}


def _summary(facts: RoundFacts) -> dict[str, Any]:
    now = facts.history[-1]
    return {
        "round": facts.round,
        "pages": now.pages,
        "tokens": now.tokens,
        "seed_pages": now.seed_pages,
        "overlap": now.overlap,
        "stopped": facts.stopped,
        "candidates": facts.candidate_count,
        "domains": facts.domain_count,
        "cut": facts.cut,
        "classifier_auc": facts.classifier.auc,
        "classifier_accuracy": facts.classifier.accuracy,
    }


def _write_manifest(work: Work, facts: RoundFacts) -> None:
    """What this corpus is and came from, for people and programs that get the folder alone."""
    shards = sorted((work.folder / "shards").glob("shard-*.parquet"))
    e = work.experiment
    publish_text(
        work.folder / MANIFEST,
        json.dumps(
            {
                **_summary(facts),
                "crawl": e.crawl.name,
                "token_budget": facts.token_budget,
                "shards": [
                    {"file": f"shards/{s.name}", "pages": pl.scan_parquet(s).select(pl.len()).collect().item()}
                    for s in shards
                ],
                "columns": list(pl.read_parquet_schema(shards[0])),
                "fingerprints": {name: up.path.name for name, up in sorted(work.upstreams.items())},
            },
            indent=1,
        )
        + "\n",
    )


def _log(work: Work, facts: RoundFacts, summary: Mapping[str, Any]) -> None:
    """Metrics over rounds, tables and the picture."""
    logger = work.tracker.stage("corpus", work.folder)
    logger.forget_after(-1)
    numbers = {k: float(v) for k, v in summary.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    logger.log_metrics(numbers, facts.round)
    columns = ["domain", "pages", "collected", "tokens", "candidate", "decision", "patterns"]
    logger.log_table(
        f"domains_round_{facts.round}",
        columns,
        [
            [d.domain, d.pages, d.collected, d.tokens_collected, d.candidate, d.decision or "", " ".join(d.patterns)]
            for d in facts.domains
        ],
    )
    shown = [*facts.kept_samples, *facts.borderline]
    logger.log_table(
        f"pages_round_{facts.round}",
        ["url", "log_odds", "collected", "text"],
        [[page.url, page.score, page.collected, page.text[:600]] for page in shown],
    )
    logger.log_image(f"report_round_{facts.round}", work.folder / "report.png")


def _tell(work: Work, line: str) -> None:
    print(f"{work.label}: {line}", file=sys.stderr, flush=True)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")

"""One round of the corpus (§2.1): seed → classifier → scores → the best pages → mathematical domains."""

import heapq
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from dsmath.config.schema import Corpus, Launcher
from dsmath.corpus.annotation import Decision
from dsmath.corpus.classifier import NEGATIVE, POSITIVE, Measures, Scorer, as_line, measure, train
from dsmath.corpus.pages import CrawlFacts
from dsmath.corpus.round_facts import (
    KEPT,
    Classifier,
    Contaminated,
    Domain,
    Flow,
    Histogram,
    Joined,
    Kind,
    LostPart,
    PastRound,
    RoundFacts,
    SamplePage,
)
from dsmath.corpus.scoring import CLASSIFIER, SHOWN, STEP, CollectShard, ScoreShard, scored
from dsmath.corpus.seeds import (
    Drawn,
    SeedFacts,
    SeedShard,
    accepted_patterns,
    lot,
    read_texts,
    require_matches,
    seed_facts,
)
from dsmath.corpus.selection import ALL, find_cut, score_of
from dsmath.corpus.shards import publish, publish_frame, publish_text, run_shards, shard_name
from dsmath.corpus.urls import UrlPattern
from dsmath.data.text_sources import TextFiles
from dsmath.errors import UserError
from dsmath.randomness import derive_seed

DOMAINS, MANIFEST, HISTORY = "domains.parquet", "manifest.json", "history.json"
LISTED = 200  # domains in the report's facts


@dataclass(frozen=True)
class Before:
    """The round before: its folder, its facts for the history, and the decisions made on it."""

    folder: Path
    decisions: Sequence[Decision]
    where: str  # what the decisions were read from, for messages
    refuse_idle: bool  # patterns that match nothing are a mistake


@dataclass(frozen=True)
class Round:
    """What a round works with."""

    number: int
    crawl: str
    pages: Path  # the folder of the pages' shards
    facts: CrawlFacts
    settings: Corpus
    token_budget: int
    before: Before | None
    folder: Path
    scratch: Path
    seed: int
    launcher: Launcher
    tell: Callable[[str], None]

    @property
    def shards(self) -> int:
        return self.facts.shards

    def map(self, task: Any) -> None:
        """Do a task for every shard."""
        run_shards(task, self.shards, launcher=self.launcher, logs=self.scratch / "logs")


def collect(work: Round) -> RoundFacts:
    """Do the round, leaving its shards, scores, domains and classifier in its folder; what the report shows of it.

    Raises:
        UserError: for a crawl without pages, a seed or a pattern that means no page of it, no negatives, a classifier
            that learned nothing, and a token budget below the best page's tokens.
    """
    if not work.facts.pages:
        raise UserError(
            f"crawl={work.crawl}: none of its records became a page; {_reasons(work.facts)} "
            "look at the options of pages, or at the crawl's files"
        )
    patterns = _patterns(work)
    seeds = _seed(work, patterns)
    extra = _outside_texts(work)
    _require_both(work, seeds, extra)
    measures, training = _train(work, seeds, extra)
    work.map(ScoreShard(work.pages, work.scratch / CLASSIFIER, work.scratch))
    _require_learned(work)
    cut = _cut(work)
    before = None if work.before is None else work.before.folder / "scores"
    draw = derive_seed(work.seed, "corpus", "samples", step=work.number)
    work.map(CollectShard(work.pages, work.scratch, before, work.folder, cut, work.number, draw))
    publish(work.folder / CLASSIFIER, lambda beside: _copy(work.scratch / CLASSIFIER, beside))
    return _facts(work, seeds=seeds, training=training, measures=measures, cut=cut, patterns=patterns)


def _patterns(work: Round) -> list[UrlPattern]:
    """Of the seed corpus, or of the decisions on the last round's candidates."""
    if work.before is None:
        return [UrlPattern.parse(pattern) for pattern in work.settings.seed_urls]
    domains = pl.read_parquet(work.before.folder / DOMAINS)
    candidates = set(domains.filter(pl.col("candidate"))["domain"])
    decided = [d for d in work.before.decisions if d.domain in candidates]
    elsewhere = [d.domain for d in work.before.decisions if d.domain not in candidates and d.accept]
    if elsewhere:
        work.tell(
            f"{work.before.where}: {len(elsewhere)} domains with accepted paths were collected too little of to count "
            f"(corpus.domain_share = {work.settings.domain_share}): {', '.join(sorted(elsewhere)[:5])}"
        )
    return accepted_patterns(decided)


def _seed(work: Round, patterns: Sequence[UrlPattern]) -> SeedFacts:
    before = None if work.before is None else work.before.folder / "scores"
    draw = max(work.settings.positives, work.settings.negatives)
    seed = derive_seed(work.seed, "corpus", "seed", step=work.number)
    spare = work.settings.negatives_from == "not_collected"
    every = work.settings.joins == "all"
    work.map(SeedShard(work.pages, before, patterns, work.scratch, every, draw, spare, seed))
    found = seed_facts(work.scratch, work.shards, positives=work.settings.positives, negatives=work.settings.negatives)
    where = "corpus.seed_urls" if work.before is None else work.before.where
    known = _known_paths(work, patterns) if any(not found.matched[str(p)] for p in patterns) else []
    if work.before is None or work.before.refuse_idle:
        require_matches(patterns, found.matched, where=where, paths=known)
    else:
        for pattern in patterns:
            if not found.matched[str(pattern)]:
                work.tell(f"{where}: no page of the crawl is under {pattern}")
    return found


def _known_paths(work: Round, patterns: Sequence[UrlPattern]) -> list[str]:
    """Domains of the crawl, and first path segments of those that the patterns name, for hints."""
    named, found = {pattern.domain for pattern in patterns}, set[str]()
    for shard in range(work.shards):
        table = pq.read_table(work.pages / shard_name(shard), columns=["url", "domain"])
        for url, domain in zip(table["url"].to_pylist(), table["domain"].to_pylist(), strict=True):
            found.add(domain)
            if domain in named:
                path = url.split(domain, 1)[1].split("/")
                found.add(domain + "/".join(path[:2]))
    return sorted(found)


def _outside_texts(work: Round) -> list[str]:
    """Texts of the seed corpus that are not in the crawl (OpenWebMath's, say), at most `corpus.positives`."""
    if work.settings.seed_files is None:
        return []
    source = TextFiles(path=work.settings.seed_files, column=work.settings.seed_column)
    seed = derive_seed(work.seed, "corpus", "seed files")
    texts = (text for part in source.parts() for text in source.texts(part) if text.strip())
    drawn = heapq.nsmallest(work.settings.positives, ((lot(text, seed), text) for text in texts))
    return [text for _, text in drawn]


def _require_both(work: Round, seeds: SeedFacts, extra: Sequence[str]) -> None:
    if not seeds.positive and not extra:
        raise UserError(
            f"corpus.seed_urls = {work.settings.seed_urls}: no page of the crawl is in the seed, so there is "
            "nothing to "
            "learn from; expected domains of the crawl, or corpus.seed_files"
        )
    if not seeds.negative:
        raise UserError(
            f"round {work.number}: all {seeds.pages} pages of the crawl are in the seed, and no negatives are "
            "left to tell "
            "them from; use a crawl with other domains too, a narrower corpus.seed_urls, or reject domains in "
            "the annotation"
        )


def _train(work: Round, seeds: SeedFacts, extra: Sequence[str]) -> tuple[Measures, dict[str, int]]:
    """The classifier, on lines in the order of their lots; some of both kinds are kept from it to measure it."""
    classifier, kept = work.scratch / CLASSIFIER, work.scratch / "training.json"
    if not (classifier.exists() and kept.exists()):
        share = int(work.settings.validation_share * 2**64)
        salt = derive_seed(work.seed, "corpus", "validation", step=work.number)
        lines: list[tuple[int, str, str]] = []  # lot, label, line
        for label, drawn in ((POSITIVE, seeds.positive), (NEGATIVE, seeds.negative)):
            lines += [(each[0], label, as_line(text)) for each, text in read_texts(work.pages, drawn)]
        lines += [(lot(text, salt), POSITIVE, as_line(text)) for text in extra]
        lines.sort()
        held = [line for line in lines if lot(line[2], salt) < share]
        taught = [line for line in lines if lot(line[2], salt) >= share]
        for label, what in ((POSITIVE, "the seed"), (NEGATIVE, "other pages")):
            if not any(line[1] == label for line in taught):
                raise UserError(
                    f"round {work.number}: no page of {what} is left to learn from; lower "
                    "corpus.validation_share, or use "
                    "a larger seed or crawl"
                )
        file = work.scratch / "training.txt"
        publish_text(file, "".join(f"{label} {line}\n" for _, label, line in taught))
        seed = derive_seed(work.seed, "corpus", "fasttext", step=work.number)
        publish(classifier, lambda beside: train(file, work.settings.fasttext, seed=seed, model=beside))
        odds = Scorer.load(classifier).of_lines(line for _, _, line in held)
        measures = measure(odds, [label == POSITIVE for _, label, _ in held])
        counts = Counter(label for _, label, _ in taught)
        said = {**asdict(measures), "positives": counts[POSITIVE], "negatives": counts[NEGATIVE], "outside": len(extra)}
        publish_text(kept, json.dumps(said))
        file.unlink()
    said = json.loads(kept.read_text(encoding="utf-8"))
    training = {name: said.pop(name) for name in ("positives", "negatives", "outside")}
    return Measures(**said), training


def _require_learned(work: Round) -> None:
    """Refuse scores that are all the same: fastText with the paper's values does that on some thousand pages."""
    low, high = np.inf, -np.inf
    for shard in range(work.shards):
        odds = pq.read_table(work.scratch / "scored" / shard_name(shard), columns=["log_odds"])["log_odds"].to_numpy()
        if len(odds):
            low, high = min(low, float(odds.min())), max(high, float(odds.max()))
    if high - low < 1e-3:
        raise UserError(
            f"round {work.number}: the classifier learned nothing: all {work.facts.pages} pages have the "
            f"log-odds {high:.4f}; "
            f"raise corpus.fasttext.lr (now {work.settings.fasttext.lr}) or corpus.fasttext.epochs (now "
            f"{work.settings.fasttext.epochs}), or lower corpus.fasttext.min_count; corpus=small has values for "
            "small crawls"
        )


def _cut(work: Round) -> int:
    budget = work.token_budget
    cut = find_cut(lambda: scored(work.scratch, work.shards), budget)
    if cut is None:
        raise UserError(
            f"corpus.token_budget = {budget}: the best page alone has more tokens; expected a budget for many "
            "pages, of the "
            f"{work.facts.tokens} tokens of the crawl"
        )
    if cut == ALL:
        work.tell(
            f"round {work.number}: corpus.token_budget = {budget} is more than the {work.facts.tokens} tokens "
            "of the crawl: "
            "everything is kept, mathematics or not"
        )
    return cut


def _facts(
    work: Round,
    *,
    seeds: SeedFacts,
    training: dict[str, int],
    measures: Measures,
    cut: int,
    patterns: Sequence[UrlPattern],
) -> RoundFacts:
    counted = [
        json.loads((work.scratch / "counted" / shard_name(s, ".json")).read_text(encoding="utf-8"))
        for s in range(work.shards)
    ]
    domains = _domains(work, counted)
    pages, tokens = sum(d.collected for d in domains), sum(d.tokens_collected for d in domains)
    candidates = _publish_domains(work, domains)
    overlap = None if work.before is None else (sum(c["again"] for c in counted) / pages if pages else 1.0)
    history = [] if work.before is None else _history(work.before.folder)
    history.append(PastRound(work.number, seeds.seed + training["outside"], pages, tokens, overlap))
    publish_text(work.folder / HISTORY, json.dumps([asdict(past) for past in history], indent=1))
    total = work.facts
    left = (total.pages - pages, total.tokens - tokens)
    flow = (*total.steps(), Flow("selection", "below the cut", *left), Flow("selection", KEPT, pages, tokens))
    return RoundFacts(
        round=work.number,
        crawl=work.crawl,
        flow=flow,
        losses=tuple(LostPart(**loss) for loss in total.losses),
        histogram=_histogram(counted),
        cut=None if cut == ALL else score_of(cut),
        token_budget=work.token_budget,
        classifier=Classifier(
            positives=_origins(seeds, training, history),
            negatives=training["negatives"],
            validation_pages=measures.pages,
            accuracy=measures.accuracy,
            auc=measures.auc,
            precision=measures.precision,
            recall=measures.recall,
        ),
        history=tuple(history),
        stop_overlap=work.settings.stop_overlap,
        stopped=overlap is not None and overlap >= work.settings.stop_overlap,
        domain_share=work.settings.domain_share,
        domain_count=len(domains),
        candidate_count=candidates,
        domains=tuple(sorted(domains, key=lambda d: (-d.tokens_collected, -d.pages, d.domain))[:LISTED]),
        joined=tuple(Joined(p.domain, str(p), seeds.joined[str(p)]) for p in patterns if seeds.joined[str(p)]),
        languages=_kinds(counted, "languages"),
        markup=_kinds(counted, "markup"),
        contamination=tuple(Contaminated(**row) for row in total.contamination),
        kept_samples=_samples(work, heapq.nsmallest(SHOWN, _all(counted, "kept"))),
        borderline=_samples(
            work,
            [
                *reversed(heapq.nsmallest(SHOWN // 2, _all(counted, "above"))),
                *heapq.nlargest(SHOWN // 2, _all(counted, "below")),
            ],
        ),
    )


def _origins(seeds: SeedFacts, training: dict[str, int], history: Sequence[PastRound]) -> tuple[tuple[str, int], ...]:
    """The seed's pages by where they came from: each round's growth is what joined before it."""
    found = [("seed", history[0].seed_pages)]
    for earlier, later in pairwise(history):
        found.append((f"joined for round {later.round}", later.seed_pages - earlier.seed_pages))
    return tuple(found)


def _domains(work: Round, counted: Sequence[dict[str, Any]]) -> list[Domain]:
    sums: dict[str, list[int]] = {}
    for each in counted:
        for name, counts in each["domains"].items():
            before = sums.setdefault(name, [0, 0, 0])
            sums[name] = [a + b for a, b in zip(before, counts, strict=True)]
    decisions = {} if work.before is None else {d.domain: d for d in work.before.decisions}
    return [
        Domain(
            domain=name,
            pages=pages,
            collected=collected,
            tokens_collected=tokens,
            candidate=collected > work.settings.domain_share * pages,
            decision=None if name not in decisions else "accept" if decisions[name].accept else "reject",
            patterns=() if name not in decisions else decisions[name].accept,
        )
        for name, (pages, collected, tokens) in sorted(sums.items())
    ]


def _publish_domains(work: Round, domains: Sequence[Domain]) -> int:
    table = pl.DataFrame(
        {
            "domain": [d.domain for d in domains],
            "pages": [d.pages for d in domains],
            "collected": [d.collected for d in domains],
            "tokens_collected": [d.tokens_collected for d in domains],
            "share": [d.collected / d.pages for d in domains],
            "candidate": [d.candidate for d in domains],
        },
        schema={
            **{"domain": pl.String, "pages": pl.Int64, "collected": pl.Int64, "tokens_collected": pl.Int64},
            **{"share": pl.Float64, "candidate": pl.Boolean},
        },
    )
    publish_frame(work.folder / DOMAINS, table)
    return int(table["candidate"].sum())


def _history(folder: Path) -> list[PastRound]:
    return [PastRound(**row) for row in json.loads((folder / HISTORY).read_text(encoding="utf-8"))]


def _histogram(counted: Sequence[dict[str, Any]]) -> Histogram:
    pages, tokens = Counter[int](), Counter[int]()
    for each in counted:
        for place, some_pages, some_tokens in each["bins"]:
            pages[place] += some_pages
            tokens[place] += some_tokens
    places = range(min(pages), max(pages) + 1)
    return Histogram(
        edges=tuple(STEP * place for place in range(min(pages), max(pages) + 2)),
        pages=tuple(pages[place] for place in places),
        tokens=tuple(tokens[place] for place in places),
    )


def _kinds(counted: Sequence[dict[str, Any]], what: str) -> tuple[Kind, ...]:
    sums: dict[str, list[int]] = {}
    for each in counted:
        for name, (pages, tokens) in each[what].items():
            before = sums.setdefault(name, [0, 0])
            sums[name] = [before[0] + pages, before[1] + tokens]
    rows = [Kind(name, pages, tokens) for name, (pages, tokens) in sums.items()]
    return tuple(sorted(rows, key=lambda kind: (-kind.pages, kind.name)))


def _all(counted: Sequence[dict[str, Any]], what: str) -> list[Drawn]:
    return [(row[0], row[1], row[2]) for each in counted for row in each[what]]


def _samples(work: Round, drawn: Sequence[Drawn]) -> tuple[SamplePage, ...]:
    """Pages to be looked at, in the order drawn."""
    columns = {name: dict(read_texts(work.pages, drawn, name)) for name in ("url", "title", "text", "tokens")}
    scores = {
        shard: pq.read_table(work.folder / "scores" / shard_name(shard), columns=["log_odds", "collected"])
        for shard in {each[1] for each in drawn}
    }
    return tuple(
        SamplePage(
            url=columns["url"][each],
            score=scores[each[1]]["log_odds"][each[2]].as_py(),
            tokens=int(columns["tokens"][each]),
            collected=scores[each[1]]["collected"][each[2]].as_py(),
            title=columns["title"][each],
            text=columns["text"][each][:1000],
        )
        for each in drawn
    )


def _reasons(facts: CrawlFacts) -> str:
    gone = [f"{row['pages']} {row['reason']}" for row in facts.flow if row["reason"] != KEPT and row["pages"]]
    lost = (
        [f"{len(facts.losses)} losses, the first: {facts.losses[0]['where']}: {facts.losses[0]['what']}"]
        if facts.losses
        else []
    )
    return f"({'; '.join([*gone, *lost]) or 'it has no records'});"


def _copy(source: Path, place: Path) -> None:
    shutil.copyfile(source, place)


def decided(decisions: Iterable[Decision], candidates: Iterable[str]) -> list[str]:
    """The candidates that no decision names."""
    named = {decision.domain for decision in decisions}
    return [name for name in candidates if name not in named]

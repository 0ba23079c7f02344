"""The stages `pages` and `corpus`: what rebuilds a round, and that neither death nor company changes a byte of it."""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from conftest import Done, Dsmath
from small_web import SMALL_WEB, SmallWeb, shared

from dsmath.config.compose import Composer, composer
from dsmath.graph.chain import nodes

sys.path.append(str(Path(__file__).parents[1] / "tracking"))
from wandb_file import read_run

WEB = [each for each in SMALL_WEB if not each.startswith(("experiment=", "logger="))]
# each comes in the process that goes on from the one before
MOMENTS = (
    ("half extracted:2", "pages"),
    ("duplicates found", "pages"),
    ("published pages:2", "pages"),
    ("extracted pages gone", "pages"),
    ("half classifier.bin", "corpus@round-1"),
    ("while scoring:3", "corpus@round-1"),
    ("half shards:2", "corpus@round-1"),
    ("after the report", "corpus@round-1"),
    ("while collecting:70", "corpus@round-2"),
    ("before the record", "corpus@round-2"),
)
MORE_MOMENTS = (
    ("while a page is read:50", "pages"),
    ("half refused", "pages"),
    ("published found:1", "pages"),
    ("while pages are compared", "pages"),
    ("half dropped:2", "pages"),
    ("half facts.json", "pages"),
    ("before publishing", "pages"),
    ("half seed:2", "corpus@round-1"),
    ("while training", "corpus@round-1"),
    ("half training.json", "corpus@round-1"),
    ("published scored:2", "corpus@round-1"),
    ("half scores:2", "corpus@round-1"),
    ("half counted:2", "corpus@round-1"),
    ("half domains.parquet", "corpus@round-1"),
    ("before the report", "corpus@round-1"),
    ("half manifest.json", "corpus@round-1"),
    ("scratch gone, not yet renamed", "corpus@round-1"),
    ("half history.json", "corpus@round-2"),
    ("before publishing", "corpus@round-2"),
)
LASTING = ("extracted", "pages", "scored", "shards")  # folders of work that is not to be done again


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> SmallWeb:
    """Four rounds that nobody disturbed."""
    return shared(tmp_path_factory)


@pytest.fixture(scope="module")
def compose() -> Iterator[Composer]:
    with composer() as made:
        yield made


def assert_same_entry(found: Path, expected: Path) -> None:
    """Every file's bytes; of the record, all but when and where it was written."""
    files = sorted(file.relative_to(expected) for file in expected.rglob("*") if file.is_file())
    assert sorted(file.relative_to(found) for file in found.rglob("*") if file.is_file()) == files
    for file in files:
        if file.name != "entry.json":
            assert (found / file).read_bytes() == (expected / file).read_bytes(), file
    records = [json.loads((folder / "entry.json").read_text()) for folder in (found, expected)]
    assert records[0]["summary"] == records[1]["summary"]
    assert records[0]["files"] == records[1]["files"]


def assert_undisturbed(store: Path, web: SmallWeb, rounds: int = 2) -> None:
    for label in ("pages", *(f"corpus@round-{number}" for number in range(1, rounds + 1))):
        entry = web.entries[label]
        assert_same_entry(store / entry.parent.name / entry.name, entry)
    assert not list(store.glob("*/*.partial"))


def finished(store: Path) -> dict[str, tuple[int, int]]:
    """Every shard that is done: which file it is, and when it was written."""
    files = [file for file in store.rglob("shard-*.parquet") if file.parent.name in LASTING]
    names = {str(file.relative_to(store)).replace(".partial", ""): file.stat() for file in files}
    return {name: (state.st_ino, state.st_mtime_ns) for name, state in names.items()}


def assert_kept(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> None:
    """Nothing that was done was done again; what only resuming needs may be gone with the end of its stage."""
    for name, state in before.items():
        if name in after:
            assert after[name] == state, name


def kill_again_and_again(dsmath: Dsmath, folder: Path, web: SmallWeb, moments: tuple[tuple[str, str], ...]) -> None:
    done = {}
    for moment, label in moments:
        killed = dsmath(folder, *WEB, "round=2", fault=moment)
        assert killed.code == -9, (moment, killed.err)
        assert f"{label}: building" in killed.err, (moment, killed.err)
        assert f"{label}: building" in killed.err.splitlines()[-1] or label == "pages", (moment, killed.err)
        assert_kept(done, now := finished(folder / "store"))
        done = now
    last = dsmath(folder, *WEB, "round=2")
    assert last.code == 0, last.err
    assert_kept(done, finished(folder / "store"))
    assert_undisturbed(folder / "store", web)


@pytest.mark.slow
def test_killed_at_the_worst_moments(dsmath: Dsmath, tmp_path: Path, web: SmallWeb) -> None:
    kill_again_and_again(dsmath, tmp_path, web, MOMENTS)


@pytest.mark.slow
def test_killed_at_more_moments(dsmath: Dsmath, tmp_path: Path, web: SmallWeb) -> None:
    kill_again_and_again(dsmath, tmp_path, web, MORE_MOMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_at_ten_random_moments(dsmath: Dsmath, tmp_path: Path, web: SmallWeb, seed: int) -> None:
    whole = dsmath(tmp_path / "whole", *WEB, "round=2")
    generator, killed = random.Random(seed), 0
    for number in range(60):
        folder, ended, done = tmp_path / str(number), False, {}
        while not ended:
            after = {"after": generator.uniform(0.1, 0.6) * whole.seconds} if killed < 10 else {}
            run = dsmath(folder, *WEB, "round=2", **after)
            assert run.code in (0, -9), run.err
            assert_kept(done, now := finished(folder / "store"))
            done, killed, ended = now, killed + (run.code == -9), run.code == 0
        assert_undisturbed(folder / "store", web)
        if killed >= 10:
            return
    pytest.fail(f"only {killed} kills came before the end of their run")


@pytest.mark.slow
def test_two_workers_find_the_same_bytes(dsmath: Dsmath, tmp_path: Path, web: SmallWeb) -> None:
    done = dsmath(tmp_path, *WEB, "round=1", "launcher.workers=2")
    assert done.code == 0, done.err
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["pages", "corpus@round-1"]
    assert_undisturbed(done.store, web, rounds=1)


@pytest.mark.slow
def test_two_workers_killed_and_going_on_as_one_find_the_same_bytes(
    dsmath: Dsmath, tmp_path: Path, web: SmallWeb
) -> None:
    for seconds in (4, 8, 12):
        killed = dsmath(tmp_path, *WEB, "round=2", "launcher.workers=2", after=seconds)
        assert killed.code in (0, -9), killed.err
    done = dsmath(tmp_path, *WEB, "round=2")
    assert done.code == 0, done.err
    assert_undisturbed(done.store, web)


def test_the_rounds_end_early_and_say_so(dsmath: Dsmath, tmp_path: Path, web: SmallWeb) -> None:
    (tmp_path / "store").symlink_to(web.store)  # round 1 is the same: it overlaps with nothing
    done = dsmath(tmp_path, *WEB, "round=4", "corpus.stop_overlap=0.01")
    assert done.code == 0, done.err
    overlap = web.summary("corpus@round-2")["overlap"]
    assert f"corpus@round-2: {overlap:.1%} had been collected in round 1: the rounds end here\n" in done.err
    for number in (3, 4):
        assert f"corpus@round-{number}: the rounds ended with round 2, whose corpus this is\n" in done.err
    with composer() as compose:
        made = nodes(compose.one([*SMALL_WEB, "round=4", "corpus.stop_overlap=0.01"]).experiment)
    entries = {node.label: web.store / node.stage.name / node.fingerprint for node in made}
    assert entries["corpus@round-1"] == web.round(1)
    second = entries["corpus@round-2"]
    for number in (3, 4):
        same = entries[f"corpus@round-{number}"]
        for file in second.rglob("*"):
            if file.is_file() and file.name != "entry.json":
                assert (same / file.relative_to(second)).read_bytes() == file.read_bytes(), file
        summary = json.loads((same / "entry.json").read_text())["summary"]
        assert (summary["round"], summary["asked"], summary["stopped"]) == (2, number, True)


@pytest.mark.slow
def test_a_round_that_only_copies_the_last_one_goes_on_after_a_kill(
    dsmath: Dsmath, tmp_path: Path, web: SmallWeb
) -> None:
    (tmp_path / "store").symlink_to(web.store)
    command = (*WEB, "round=3", "corpus.stop_overlap=0.02")
    killed = dsmath(tmp_path, *command, fault="while copying the last round:5")
    assert killed.code == -9, killed.err
    done = dsmath(tmp_path, *command)
    assert done.code == 0, done.err
    assert "corpus@round-2: found" in done.err


def labels(compose: Composer, *overrides: str) -> dict[str, str]:
    every = nodes(compose.one([*SMALL_WEB, "round=4", *overrides]).experiment)
    return {node.label: node.fingerprint for node in every}


def rebuilt(compose: Composer, *change: str, base: tuple[str, ...] = ()) -> set[str]:
    before, after = labels(compose, *base), labels(compose, *base, *change)
    assert before.keys() == after.keys()
    return {label for label in before if before[label] != after[label]}


def rounds(first: int) -> set[str]:
    return {f"corpus@round-{number}" for number in range(first, 5)}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("kl.coef=0.1", set()),
        ("launcher=slurm launcher.slurm.partition=x", set()),
        ("launcher.workers=3", set()),
        ("sft.steps=7", set()),
        ("annotation.path_share=0.9", rounds(2)),
        ("annotation.least_pages=9", rounds(2)),
        ("annotation.depth=1", rounds(2)),
        ("corpus.stop_overlap=0.5", rounds(2)),
        ("corpus.token_budgets={3:9000}", rounds(3)),
        ("corpus.token_budgets={1:9000}", rounds(1)),
        (f"corpus.token_budgets={{4:{40_000}}}", set()),  # what it has anyway
        ("corpus.token_budget=9000", rounds(1)),
        ("corpus.domain_share=0.2", rounds(1)),
        ("corpus.seed_urls=[proofs.example]", rounds(1)),
        ("corpus.fasttext.epochs=11", rounds(1)),
        ("seed=1", rounds(1)),
        ("pages.least_characters=100", {"pages", *rounds(1)}),
        ("decontamination.ngram=11", {"pages", *rounds(1)}),
        ("crawl.source.seed=1", {"pages", *rounds(1)}),
    ],
)
def test_a_change_rebuilds_exactly_the_rounds_that_depend_on_it(
    compose: Composer, change: str, expected: set[str]
) -> None:
    assert rebuilt(compose, *change.split()) == expected


def decision(domain: str, number: int, *accept: str, by: str = "a", why: str = "b") -> dict[str, object]:
    return {"domain": domain, "accept": list(accept), "round": number, "by": by, "when": "2024-01-01", "why": why}


def test_a_decision_rebuilds_the_rounds_after_its_own_and_who_made_it_nothing(
    compose: Composer, tmp_path: Path
) -> None:
    file = tmp_path / "decisions.yaml"
    of_file = ("annotation=file", f"annotation.file={file}")
    first = decision("a.example", 1, "/x")

    def found(*decisions: dict[str, object]) -> dict[str, str]:
        file.write_text(yaml.safe_dump(list(decisions)))
        every = nodes(compose.one([*_without_rule(), "round=4", *of_file]).experiment)
        return {node.label: node.fingerprint for node in every}

    def changed(*decisions: dict[str, object]) -> set[str]:
        return {label for label, fingerprint in found(*decisions).items() if fingerprint != base[label]}

    base = found(first)
    assert base["corpus@round-1"] == labels(compose)["corpus@round-1"]
    assert changed(first | {"by": "someone else", "why": "for fun", "when": "2025-12-31"}) == set()
    assert changed(first | {"accept": ["/y"]}) == rounds(2)
    assert changed(first, decision("b.example", 2, "/")) == rounds(3)
    assert changed(decision("b.example", 3, "/"), first) == rounds(4)
    moved = tmp_path / "moved.yaml"
    found(first)
    file.rename(moved)
    of_file = ("annotation=file", f"annotation.file={moved}")
    every = nodes(compose.one([*_without_rule(), "round=4", *of_file]).experiment)
    assert {node.label: node.fingerprint for node in every} == base


def _without_rule() -> list[str]:
    """The small web's words without those on the automatic rule."""
    return [each for each in SMALL_WEB if not each.startswith("annotation")]


def candidates(web: SmallWeb) -> list[str]:
    table = pl.read_parquet(web.round(1) / "domains.parquet").filter(pl.col("candidate"))
    names: list[str] = table["domain"].to_list()
    return names


def with_file(dsmath: Dsmath, folder: Path, web: SmallWeb, *decisions: dict[str, object], words: str = "") -> Done:
    """Round 2 from a file of decisions, with the first round of the shared store."""
    (folder / "decisions.yaml").write_text(yaml.safe_dump(list(decisions)))
    if not (folder / "store").exists():
        (folder / "store").symlink_to(web.store)
    annotation = ("annotation=file", "annotation.file=decisions.yaml")
    kept = [each for each in WEB if not each.startswith("annotation")]
    return dsmath(folder, *kept, "round=2", *annotation, *words.split())


def test_a_pattern_that_matches_nothing_is_named_with_the_nearest_path(
    dsmath: Dsmath, tmp_path: Path, web: SmallWeb
) -> None:
    urls = web.pages().filter(pl.col("domain").is_in(candidates(web)))
    url, domain = next((u, d) for u, d in zip(urls["url"], urls["domain"], strict=True) if u.count("/") > 3)
    path = url.split("://", 1)[1].split("/")[1]
    wrong = decision(domain, 1, f"/{path}x")
    done = with_file(dsmath, tmp_path, web, wrong)
    assert done.code == 2
    assert done.err.endswith(
        f"dsmath: decisions.yaml: no page of the crawl is under\n  {domain}/{path}x, did you mean {domain}/{path}?\n"
        "expected a domain of the crawl, or one with a path\n"
    )
    told = with_file(dsmath, tmp_path, web, wrong, words="annotation.unmatched=warn")
    assert told.code == 0, told.err
    assert f"corpus@round-2: decisions.yaml: no page of the crawl is under {domain}/{path}x\n" in told.err
    others = len(candidates(web)) - 1
    assert f"says nothing of {others} candidate domains, which add no pages: " in told.err


def test_only_the_paths_of_the_file_join(dsmath: Dsmath, tmp_path: Path, web: SmallWeb) -> None:
    domain = next(
        name
        for name in candidates(web)
        if len(web.pages().filter((pl.col("domain") == name) & ~web.scores(1)["collected"]))
    )
    poor = next(name for name in web.pages()["domain"].unique().sort() if name not in candidates(web))
    done = with_file(dsmath, tmp_path, web, decision(domain, 1, "/"), decision(poor, 1, "/"))
    assert done.code == 0, done.err
    assert (
        f"1 domains with accepted paths were collected too little of to count (corpus.domain_share = 0.1): {poor}"
        in done.err
    )
    entry = web.store / "corpus" / done.err.split("corpus@round-2: building ")[1].split()[0]
    positive = pl.concat([pl.read_parquet(file) for file in sorted((entry / "scores").iterdir())])["positive"]
    before = web.scores(1)
    expected = before["positive"] | ((web.pages()["domain"] == domain) & ~before["collected"])
    assert positive.to_list() == expected.to_list()


def test_a_round_waits_for_a_persons_decisions_and_keeps_the_one_before(
    dsmath: Dsmath, tmp_path: Path, web: SmallWeb
) -> None:
    (tmp_path / "store").symlink_to(web.store)
    kept = [each for each in WEB if not each.startswith("annotation")]
    done = dsmath(tmp_path, *kept, "round=2", "annotation=interactive")
    names = candidates(web)
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        f"dsmath: round 2 waits for a person: {len(names)} of {len(names)} domains that round 1 found mathematical "
        f"have no decision in annotation.yaml, such as {', '.join(names[:3])}; call `dsmath annotate` with the "
        "same words, "
        "then the same command again"
    )
    assert "corpus@round-1: found" in done.err
    (tmp_path / "annotation.yaml").write_text(yaml.safe_dump([decision(name, 1) for name in names]))
    rejected = dsmath(tmp_path, *kept, "round=2", "annotation=interactive")
    assert rejected.code == 0, rejected.err


def test_wandb_gets_the_flow_the_rounds_numbers_tables_picture_and_corpus(
    dsmath: Dsmath, tmp_path: Path, web: SmallWeb
) -> None:
    done = dsmath(tmp_path, *WEB, "round=2", logger="wandb")
    assert done.code == 0, done.err
    assert_undisturbed(done.store, web)
    run = read_run(done.run_folder)
    assert run.exit_code == 0
    keys = {key for row in run.history for key in row}
    shown = {"domains_round_2", "pages_round_1", "report_round_2"}
    assert {f"corpus/{name}" for name in shown} | {"pages/flow"} <= {key.removesuffix("/_type") for key in keys}, keys
    overlaps = {row["corpus/step"]: row.get("corpus/overlap") for row in run.history if "corpus/pages" in row}
    assert overlaps == {1: None, 2: web.summary("corpus@round-2")["overlap"]}
    data = b"".join(file.read_bytes() for file in done.run_folder.rglob("*.wandb"))
    for name in (b"corpus-round-1", b"corpus-round-2", b"manifest.json", b"shards/shard-00000.parquet"):
        assert name in data, name

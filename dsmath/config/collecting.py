"""What cannot work in collecting a corpus (§2.1)."""

from dsmath.config.paradigm import Broken
from dsmath.config.schema import Experiment


def pages_rules(e: Experiment) -> Broken:
    """Pages that can be told apart, and n-grams that say something."""
    near = e.pages.near_duplicates
    if near.permutations % near.bands:
        yield (
            "pages.near_duplicates.bands",
            f" = {near.bands}: cannot share permutations = {near.permutations} evenly; expected a divisor of it",
        )
    if not e.pages.languages and not e.pages.undecided:
        yield "pages.languages", " = []: no page would be kept; expected codes such as en and zh"
    if e.decontamination.shortest > e.decontamination.ngram:
        yield (
            "decontamination.shortest",
            f" = {e.decontamination.shortest}: longer than decontamination.ngram = {e.decontamination.ngram}; "
            "expected at "
            "most that",
        )


def corpus_rules(e: Experiment) -> Broken:
    """A seed to start from, and annotations that can be found."""
    corpus, annotation = e.corpus, e.annotation
    if not corpus.seed_urls and corpus.seed_files is None:
        yield (
            "corpus.seed_urls",
            " = []: there is no seed; expected domains of the crawl, such as [planetmath.org], or "
            "corpus.seed_files=FILES",
        )
    for name in corpus.token_budgets:
        if name not in ("1", "2", "3", "4"):
            yield f"corpus.token_budgets.{name}", f" = {corpus.token_budgets[name]}: expected a round, 1 to 4"
    if annotation.name == "automatic":
        for key in ("path_share", "least_pages"):
            if getattr(annotation, key) is None:
                yield f"annotation.{key}", " = null: annotation=automatic needs a number"
    elif annotation.file is None:
        yield "annotation.file", f" = null: annotation={annotation.name} keeps its decisions in a file; expected a path"


def token_budget(e: Experiment, round: int) -> int:
    """The tokens that a round keeps."""
    return e.corpus.token_budgets.get(str(round), e.corpus.token_budget)

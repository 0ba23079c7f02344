"""Moments of the corpus's stages at which `fork_server.py` has a process die."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def arm(moment: str, times: int, die: Callable[[], None]) -> bool:
    """Whether it knows the moment; the process dies the n-th time it comes.

    `published NAME` is when a file of that name has just been published, `half NAME` when half of its bytes are written
    beside its place; in NAME, `extracted` and the like are folders of shards.
    """
    from dsmath.corpus import classifier, duplicates, pages, rounds, scoring, seeds, shards
    from dsmath.stages import corpus as corpus_stage
    from dsmath.stages import pages as pages_stage

    if moment.startswith(("half ", "published ")):
        how, _, name = moment.partition(" ")
        _die_at(name, times, how == "half", die, (shards, pages, rounds, scoring, seeds))
    elif moment == "while a page is read":
        _before(pages.ExtractShard, "_page", times, die)
    elif moment == "while pages are compared":
        _before(duplicates, "_near", times, die)
    elif moment == "duplicates found":
        _before(pages, "publish_frame", times, die)
    elif moment == "extracted pages gone":
        _after(pages_stage.shutil, "rmtree", times, die)
    elif moment == "while training":
        # its own module of that name: provenance asks git through the shared one, long before
        classifier.subprocess = SimpleNamespace(**vars(classifier.subprocess))
        _before(classifier.subprocess, "run", times, die)
    elif moment == "while scoring":
        _before(classifier.Scorer, "log_odds", times, die)
    elif moment == "while collecting":
        _before(scoring, "lot", times, die)
    elif moment == "before the report":
        _before(corpus_stage, "write_report", times, die)
    elif moment == "after the report":
        _after(corpus_stage, "write_report", times, die)
    elif moment == "while copying the last round":
        _before(corpus_stage.shutil, "copyfile", times, die)
    else:
        return False
    return True


def _before(owner: Any, name: str, times: int, die: Callable[[], None]) -> None:
    original, calls = getattr(owner, name), [0]

    def replacement(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == times:
            die()
        return original(*arguments, **named)

    setattr(owner, name, replacement)


def _after(owner: Any, name: str, times: int, die: Callable[[], None]) -> None:
    original, calls = getattr(owner, name), [0]

    def replacement(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        calls[0] += 1
        if calls[0] == times:
            die()
        return found

    setattr(owner, name, replacement)


def _die_at(name: str, times: int, half: bool, die: Callable[[], None], modules: tuple[Any, ...]) -> None:
    """Replaces `publish` wherever it was imported."""
    original, calls = modules[0].publish, [0]

    def publish(path: Path, write: Callable[[Path], None]) -> None:
        def torn(beside: Path) -> None:
            write(beside)
            if half and calls[0] == times:
                beside.write_bytes(beside.read_bytes()[: beside.stat().st_size // 2])
                die()

        mine = name in (path.name, path.parent.name)
        calls[0] += mine
        original(path, torn if mine else write)
        if mine and not half and calls[0] == times:
            die()

    for module in modules:
        if hasattr(module, "publish"):
            module.publish = publish

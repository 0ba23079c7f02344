"""`dsmath compare SOURCE… [OPTIONS]`: the arms of an ablation side by side, with statistics over seeds.

A SOURCE is a sweep's folder, a run's folder (or any folder with either below it), a folder with offline W&B runs, or
ENTITY/PROJECT of W&B. Several are compared together; a run that is in several counts once.

  --by KEY[,KEY]        what makes an arm, such as kl.coef; by default the overrides that vary, the seed aside
  --metric NAME         such as eval/greedy, eval/sft/gsm8k/maj@8, rl/reward_mean; may be given again
  --baseline VALUE      the arm that others are compared with, by its value or label; by default the first
  --filter KEY=VALUE    only runs with this group, state, job_type, name, tag (W&B), or config value; may be given again
  --confidence SHARE    of the intervals, 0.95 by default
  --out FOLDER          where the files go, by default the source's folder (./comparison for W&B)
  --report              also save a W&B report with the same panels, for ENTITY/PROJECT

Leaves compare.html, compare.md, compare.csv, runs.csv and compare.png. Exit code 2 for a mistake.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dsmath.errors import UserError, did_you_mean

OPTIONS = ("--by", "--metric", "--baseline", "--filter", "--confidence", "--out", "--report")


def compare(arguments: Sequence[str]) -> None:
    """Read the sources, compare, print the tables and leave the files.

    Raises:
        UserError: for an option or a source that cannot be used; nothing is written then.
    """
    given = _parse(arguments)
    filters = _filters(given.filter)
    from dsmath.compare.build import compare as build
    from dsmath.compare.page import write_comparison
    from dsmath.compare.sources import read_sources
    from dsmath.compare.tables import print_comparison

    folder = _folder(given.out, given.sources)
    found = read_sources(given.sources, filters)
    comparison = build(
        found.runs,
        found.never_begun,
        sources=given.sources,
        title=_title(given.sources),
        by=[key.strip() for text in given.by for key in text.split(",") if key.strip()],
        metrics=given.metric,
        baseline=given.baseline,
        confidence=given.confidence,
        notes=found.notes,
    )
    if given.report:
        from dsmath.compare.wandb_report import require, save_report

        require(given.sources)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = write_comparison(folder, comparison)
    except OSError as error:
        if error.errno is None:  # not of the file system: a template that isn't there is one too
            raise
        raise UserError(f"{folder}: cannot be written ({error.strerror}); choose another with --out FOLDER") from None
    print_comparison(comparison)
    for file in files:
        if file.suffix == ".html":
            print(f"page: {file}")
    print(f"files: {folder}")
    if given.report:
        markdown = next(file for file in files if file.suffix == ".md").read_text(encoding="utf-8")
        print(f"report: {save_report(comparison, markdown)}")


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dsmath compare", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("sources", nargs="*")
    for name in ("--by", "--metric", "--filter"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--baseline")
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--out")
    parser.add_argument("--report", action="store_true")
    for word in arguments:
        if word.startswith("--") and word.partition("=")[0] not in OPTIONS:
            raise UserError(
                f"{word}: no such option of compare{did_you_mean(word, OPTIONS)}; there are {', '.join(OPTIONS)}"
            )
    try:
        given = parser.parse_intermixed_args(list(arguments))
    except (argparse.ArgumentError, SystemExit) as error:
        raise UserError(f"compare: {error}; expected dsmath compare SOURCE… [OPTIONS]") from None
    if not given.sources:
        raise UserError("compare: nothing to compare; expected dsmath compare SOURCE… [OPTIONS]")
    if not 0 < given.confidence < 1:
        raise UserError(f"--confidence {given.confidence}: expected a share between 0 and 1, such as 0.95")
    return given


def _filters(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        key, value = _pair(text)
        if key in found:
            raise UserError(f"--filter {text}: {key} is filtered already; expected each key once")
        found[key] = value
    return found


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserError(f"--filter {text}: expected KEY=VALUE, such as group=kl_coefficient or kl.coef=0.04")
    from dsmath.tracking.naming import value_text

    return key, value_text(value)


def _folder(given: str | None, sources: Sequence[str]) -> Path:
    if given is not None:
        return Path(given).expanduser()
    first = Path(sources[0]).expanduser()
    return first if len(sources) == 1 and first.is_dir() else Path("comparison")


def _title(sources: Sequence[str]) -> str:
    """The sweep's name where its folder is `NAME/DATE`."""
    names = [
        path.parent.name if (path := Path(source).resolve()).name[:1].isdigit() else path.name for source in sources
    ]
    return ", ".join(dict.fromkeys(names))

"""`dsmath [VERB] [OPTIONS] [OVERRIDES]`: compose → check → run; nothing heavy is imported before the check passed."""

import argparse
import errno
import inspect
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from dsmath.errors import UserError, did_you_mean

VERBS = (
    "run",
    "plan",
    "annotate",
    "rerun",
    "diff",
    "mcnemar",
    "compare",
    "lineage",
    "export",
    "sync",
    "grade",
    "schema",
    "status",
    "resume",
)
MISTAKE = 2
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script: a mistake is a message and exit code 2, a bug its traceback, a signal 128 + its number."""
    from dsmath.interrupt import Interrupted

    try:
        sys.exit(_run(list(sys.argv[1:] if argv is None else argv)))
    except UserError as error:
        print(f"dsmath: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
    except Interrupted as interrupted:
        print(f"dsmath: stopped by {interrupted}; {interrupted.then}", file=sys.stderr)
        sys.exit(128 + interrupted.signum)
    except KeyboardInterrupt:  # before the job listens, or while it shows its results
        print("dsmath: stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `dsmath … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        print(
            f"dsmath: {error.filename or 'a file'}: no room to write it ({error.strerror}); what was finished stays, "
            "and the same command goes on when there is room",
            file=sys.stderr,
        )
        sys.exit(MISTAKE)


def _run(argv: list[str]) -> int:  # noqa: PLR0911, PLR0912 - a branch a verb
    if argv[:1] in (["compare"], ["export"]) and not {"-h", "--help"} & set(argv):
        getattr(import_module(f"dsmath.verbs.{argv[0]}"), argv[0])(argv[1:])  # their options are their own
        return 0
    options = _parse(argv)
    if options.config_dir:
        from dsmath.config import places

        if not Path(options.config_dir).is_dir():
            raise UserError(f"--config-dir {options.config_dir}: no such folder")
        places.extra.append(Path(options.config_dir))
    if options.help:
        print(_help(options.verb), end="")
    elif options.version:
        from dsmath import __version__

        print(f"dsmath {__version__}")
    elif options.cfg:
        from dsmath.verbs.cfg import print_config

        print_config(options.overrides, node=options.cfg, resolve=options.resolve, package=options.package)
    elif options.verb == "plan":
        from dsmath.verbs.plan import plan

        plan(options.overrides)
    elif options.verb == "annotate":
        from dsmath.verbs.annotate import annotate_round

        return annotate_round(options.overrides)
    elif options.verb == "schema":
        from dsmath.config.jsonschema import write

        write(_arguments(options.overrides, at_most=1, what="schema [FOLDER]"))
    elif options.verb == "diff":
        from dsmath.verbs.diff import diff

        diff(*_arguments(options.overrides, exactly=2, what="diff RUN RUN"))
    elif options.verb == "mcnemar":
        from dsmath.verbs.mcnemar import mcnemar

        mcnemar(*_arguments(options.overrides, at_least=2, at_most=3, what="mcnemar A B [OUT.csv]"))
    elif options.verb == "lineage":
        from dsmath.verbs.lineage import lineage

        lineage(*_arguments(options.overrides, exactly=1, what="lineage RUN"))
    elif options.verb == "sync":
        from dsmath.verbs.sync import sync

        return sync(*_arguments(options.overrides, exactly=1, what="sync FOLDER"))
    elif options.verb == "status":
        from dsmath.verbs.status import status

        status(*_arguments(options.overrides, exactly=1, what="status SWEEP"))
    elif options.verb == "resume":
        from dsmath.verbs.resume import resume

        folder, *how = _arguments(options.overrides, at_least=1, what="resume SWEEP [OVERRIDES]")
        return resume(folder, how)
    elif options.verb == "grade":
        from dsmath.verbs.grade import grade

        grade(*_arguments(options.overrides, at_least=1, at_most=2, what="grade FILE.jsonl [OUT.jsonl]"))
    else:
        from dsmath.verbs import run

        if options.verb == "rerun":
            from dsmath.verbs.rerun import overrides_of

            overrides = overrides_of(*_arguments(options.overrides, exactly=1, what="rerun RUN"))
            return run.run(overrides, sweep=False)  # a point of an ablation is repeated alone
        return run.run(options.overrides, sweep=options.multirun or run.is_sweep(options.overrides))
    return 0


def _help(verb: str) -> str:
    """The whole page, or what a verb that takes files says of itself."""
    if verb in ("grade", "mcnemar", "compare", "lineage", "export", "sync", "status", "resume"):
        module = import_module(f"dsmath.verbs.{verb}")
        return f"{inspect.getdoc(module)}\n\n{inspect.getdoc(getattr(module, verb))}\n"
    from dsmath.config.help import help_text

    return help_text()


def _parse(argv: list[str]) -> argparse.Namespace:
    """Options and overrides in any order; an option that does not exist is a mistake like any other."""
    parser = argparse.ArgumentParser(prog="dsmath", add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-dir", "-cd")
    known = [name for action in parser._actions for name in action.option_strings]
    try:
        options, rest = parser.parse_known_args(argv)
    except argparse.ArgumentError as error:
        raise UserError(str(error)) from error
    for word in rest:
        if word.startswith("-"):
            raise UserError(f"{word}: no such option{did_you_mean(word, known)}; there are {', '.join(known)}")
    options.verb = rest.pop(0) if rest and rest[0] in VERBS else "run"
    if rest and "=" not in rest[0] and rest[0][:1] not in "~+" and options.verb in ("run", "plan", "annotate"):
        if rest[0] in VERBS:
            raise UserError(f"{options.verb} {rest[0]}: expected one verb")
        raise UserError(
            f"{rest[0]}: neither a verb nor KEY=VALUE{did_you_mean(rest[0], VERBS)}; verbs are {', '.join(VERBS)}"
        )
    options.overrides = rest
    return options


def _arguments(
    given: list[str], *, what: str, exactly: int | None = None, at_least: int = 0, at_most: int | None = None
) -> list[str]:
    most = exactly if at_most is None else at_most
    if len(given) < (exactly or at_least) or (most is not None and len(given) > most):
        raise UserError(f"expected: dsmath {what}")
    return given


if __name__ == "__main__":
    main()

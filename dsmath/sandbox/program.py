"""Runs a program as a notebook would, in the process that was confined for it."""

import ast
import linecache
import os
import sys
import sysconfig
import traceback
import types
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import TextIO, cast

FRAMES = 6  # of a traceback, the innermost
_SOURCE = "<block {}>"


class Exit(IntEnum):
    """How the process ends by itself. A program can end it as it likes, and by that choose its own status only."""

    OK = 0
    ERROR = 1
    MEMORY = 80
    NOT_CONFINED = 81


def run(blocks: Sequence[str], output: int) -> Exit:
    """Run the blocks in one namespace; what the last prints goes to the file `output`, which becomes 1 and 2.

    An exception ends its block, not the later ones, and that of the last block is printed: its own frames, no paths.
    When the last block ends with an expression that is not None, its str is printed.
    """
    namespace = _main_module()
    ended = Exit.OK
    for number, block in enumerate(blocks, start=1):
        last = number == len(blocks)
        if last:
            _flush()
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
        ended = _run_block(block, _SOURCE.format(number), namespace, show=last)
    _flush()
    return ended


def _main_module() -> dict[str, object]:
    """A fresh `__main__`: classes and functions of the program find their module."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    return vars(module)


def _run_block(block: str, source: str, namespace: dict[str, object], *, show: bool) -> Exit:
    linecache.cache[source] = (len(block), None, block.splitlines(keepends=True), source)
    try:
        body = ast.parse(block, source)
        value: object = None
        *_, end = [None, *body.body]
        if show and isinstance(end, ast.Expr):
            body.body.pop()
            exec(compile(body, source, "exec"), namespace)
            value = eval(compile(ast.Expression(end.value), source, "eval"), namespace)
        else:
            exec(compile(body, source, "exec"), namespace)
        if value is not None:
            print(value)
    except SystemExit:
        return Exit.OK
    except BaseException as error:
        if show:
            print(_short_traceback(error), file=sys.stderr)
        return Exit.MEMORY if isinstance(error, MemoryError) else Exit.ERROR
    return Exit.OK


def _short_traceback(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith("<block ")]
    lines = ["Traceback (most recent call last):\n"] if frames else []
    lines += ["  ...\n"] if len(frames) > FRAMES else []
    for frame in frames[-FRAMES:]:
        lines.append(f"  line {frame.lineno}, in {frame.name}\n")
        lines += [f"    {frame.line}\n"] if frame.line else []
    lines += traceback.format_exception_only(type(error), error)
    text = "".join(lines).rstrip("\n")
    for name in ("purelib", "platlib", "stdlib", "platstdlib"):
        text = text.replace(sysconfig.get_path(name), "<python>")
    return text.replace(str(Path.cwd()), ".")


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:  # the program may have put anything there
            continue


def open_streams() -> None:
    """Python's streams over the files 0, 1 and 2, as they are now."""
    sys.stdin = _stream(0, "r")
    sys.stdout = _stream(1, "w")
    sys.stderr = _stream(2, "w")


def _stream(file: int, mode: str) -> TextIO:
    """By lines, so that what was printed before a run is killed is there."""
    return cast(TextIO, open(file, mode, encoding="utf-8", errors="replace", buffering=1, closefd=False))

"""Hostile programs, each judged by what can be seen from outside: files, processes, sockets, what it printed."""

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostile import HOSTILE, PRELUDE, Hostile
from outside import World, children_of, folder_of, processes_with, zygote_of

from dsmath.sandbox.executor import Sandbox

ONLY_X86 = ("raw(", "libc.syscall", "0xCD")


@pytest.mark.parametrize("attempt", HOSTILE, ids=lambda attempt: attempt.name)
def test_contains_a_program_that(attempt: Hostile, sandbox: Sandbox, world: World) -> None:
    if platform.machine() != "x86_64" and any(mark in attempt.code for mark in ONLY_X86):
        pytest.skip("uses system call numbers of x86_64")
    zygote = zygote_of(sandbox)
    code = world.fill(PRELUDE + attempt.code, zygote)

    ran, after = sandbox.run([[code], ["import sympy, numpy; print(len(sympy.solve('x**2-2')), numpy.ones(2).sum())"]])

    assert ran.status in attempt.expect, ran
    assert not re.search("^ESCAPED", ran.output, re.MULTILINE), ran.output
    assert world.token not in ran.output
    assert len(ran.output) <= 4000
    assert ran.seconds < 0.7 + 1.5
    assert (after.status, after.output) == ("ok", "2 2.0\n")
    world.assert_unharmed()
    assert zygote_of(sandbox) == zygote, "the zygote was killed"
    assert children_of(zygote) == []
    assert processes_with(str(folder_of(sandbox))) == [zygote]
    assert list(folder_of(sandbox).iterdir()) == []


@pytest.mark.parametrize("attempt", [a for a in HOSTILE if a.works_outside], ids=lambda attempt: attempt.name)
def test_succeeds_uncontained_the_program_that(attempt: Hostile, world: World, tmp_path: Path) -> None:
    """So that the test above cannot pass because an attempt was never one."""
    code = world.fill(PRELUDE + attempt.code, world.sleeper.pid)
    ran = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, cwd=tmp_path, timeout=60, check=False)
    assert b"ESCAPED" in ran.stdout
    for listener in world.listeners:  # it did get through: forget it
        try:
            while True:
                listener.recv(1) if listener.type == 2 else listener.accept()
        except BlockingIOError:
            pass

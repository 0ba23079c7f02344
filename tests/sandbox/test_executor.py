"""What a program sees and says, and what the sandbox leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from outside import World, children_of, folder_of, processes_with, zygote_of

from dsmath.errors import UserError
from dsmath.sandbox import executor, jail
from dsmath.sandbox.executor import Ran, Sandbox, require


def run(sandbox: Sandbox, *blocks: str) -> Ran:
    [ran] = sandbox.run([blocks])
    return ran


@pytest.mark.parametrize(
    ("blocks", "output"),
    [
        (["print(1 + 1)"], "2\n"),
        (["import sympy\nx = sympy.Symbol('x')\nprint(sympy.solve(x**2 - 5*x + 6, x))"], "[2, 3]\n"),
        (["import numpy as np\nprint(np.linalg.solve([[2.0, 0], [0, 4]], [2, 8]))"], "[1. 2.]\n"),
        (["from sympy import *\nintegrate(sin(symbols('t')), (symbols('t'), 0, pi))"], "2\n"),
        (["print('π ≈ 3, 数学')"], "π ≈ 3, 数学\n"),
        (["x = 3", "y = x * x", "print(x, y)"], "3 9\n"),
        (["print('early')\nimport sys\nprint('early', file=sys.stderr)", "print('late')"], "late\n"),
        (["import os\nos.write(1, b'early')", "print('late')"], "late\n"),
        (["1 + 1", "print('late')"], "late\n"),
        (["1 / 0", "print('still')"], "still\n"),
        (["x = 5\nexit()\nx = 6", "x"], "5\n"),
        (["from fractions import Fraction\nprint('a')\nFraction(1, 2)"], "a\n1/2\n"),
        (["'text'"], "text\n"),
        (["None"], ""),
        (["x = 3"], ""),
        (["def f(n):\n    return n * f(n - 1) if n else 1\nf(5)"], "120\n"),
        (["print('before')\nraise SystemExit(3)"], "before\n"),
        (["import sys\nprint('o')\nprint('e', file=sys.stderr)"], "o\ne\n"),
        (["import warnings\nwarnings.warn('no')\nimport numpy as np\nnp.float64(1) / 0"], "inf\n"),
        (["if __name__ == '__main__':\n    print('main')"], "main\n"),
        (["import dataclasses, pickle\n@dataclasses.dataclass\nclass P:\n    x: int\npickle.loads(pickle.dumps(P(1)))"],
         "P(x=1)\n"),
        (["open('notes.txt', 'w').write('kept')", "print(open('notes.txt').read())"], "kept\n"),
        (["import signal, time\nsignal.signal(signal.SIGALRM, lambda *_: print('rang'))",
          "signal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(0.1)"], "rang\n"),
        (["# nothing"], ""),
        ([""], ""),
        ([], ""),
    ],
)  # fmt: skip
def test_runs_blocks_as_a_notebook(sandbox: Sandbox, blocks: list[str], output: str) -> None:
    ran = run(sandbox, *blocks)
    assert (ran.status, ran.output) == ("ok", output)


def test_shows_an_exception_with_the_programs_own_frames(sandbox: Sandbox) -> None:
    ran = run(sandbox, "def half(x):\n    return x / 0\n", "print('so far')\nhalf(\n    3)")
    assert ran.status == "error"
    assert ran.output == (
        "so far\n"
        "Traceback (most recent call last):\n"
        "  line 2, in <module>\n"
        "    half(\n"
        "  line 2, in half\n"
        "    return x / 0\n"
        "ZeroDivisionError: division by zero\n"
    )


@pytest.mark.parametrize(
    "code",
    [
        "import sympy\nsympy.solve(sympy.Symbol('x') > 'y')",
        "from sympy import no_such_name",
        "import no_such_module",
        "open('missing.txt')",
        "x = = 2",
        "def f(n): return f(n + 1)\nf(0)",
        "print('\\ud800'.encode())",
        "\ud800",
        "x = '\0'\n\0",
    ],
)
def test_shows_no_path_of_this_machine(sandbox: Sandbox, code: str) -> None:
    ran = run(sandbox, code)
    assert ran.status == "error"
    assert "Error" in ran.output.splitlines()[-1]
    assert len(ran.output) < 1000
    for path in (sys.prefix, sys.base_prefix, str(Path.cwd()), str(folder_of(sandbox))):
        assert path not in ran.output


def test_output_is_cut_at_its_characters() -> None:
    with Sandbox(seconds=5, memory_mb=128, output_characters=10) as small:
        whole, ascii_, wide, bytes_, nul = small.run([
            ["print('é' * 9)"],
            ["print('e' * 10)"],
            ["print('é' * 10)\nimport time\ntime.sleep(100)"],
            ["import os\nos.write(1, b'a\\xffb\\xc3')"],
            ["print('a\\0b\\r\\x1b[2J')"],
        ])  # fmt: skip
    assert (whole.status, whole.output) == ("ok", "é" * 9 + "\n")
    assert (ascii_.status, ascii_.output) == ("output", "e" * 10)
    assert (wide.status, wide.output) == ("output", "é" * 10)
    assert wide.seconds < 4, "it was not ended at its limit"
    assert (bytes_.status, bytes_.output) == ("ok", "a\ufffdb\ufffd4\n")  # 4: what os.write returns
    assert (nul.status, nul.output) == ("ok", "a\0b\r\x1b[2J\n")


def test_time_is_up_and_what_was_printed_is_kept(sandbox: Sandbox) -> None:
    ran = run(sandbox, "print('so far')\nwhile True: pass")
    assert (ran.status, ran.output) == ("time", "so far\n")
    assert 0.7 <= ran.seconds < 2.0


def test_memory_is_counted_on_top_of_the_libraries() -> None:
    with Sandbox(seconds=20, memory_mb=64, output_characters=100) as small:
        fits, too_much = small.run([[f"x = bytes({mb} << 20)\nlen(x) >> 20"] for mb in (48, 80)])
    assert (fits.status, fits.output) == ("ok", "48\n")
    assert too_much.status == "memory"


def test_every_run_is_alike(sandbox: Sandbox) -> None:
    code = (
        "import random, numpy as np\n"
        "print(hash('x'), random.random(), random.SystemRandom().random(), np.random.rand(), "
        "np.random.default_rng().random(), list({'a', 'b', 'c', 'd'}))"
    )
    here = [ran.output for ran in sandbox.run([[code]] * 3)]
    with Sandbox(seconds=5, memory_mb=128, output_characters=4000) as other:
        there = run(other, code).output
    assert len({*here, there}) == 1
    assert there.count(" ") > 5


def test_nothing_of_one_run_is_found_in_another(sandbox: Sandbox) -> None:
    secret = "".join(["one", "program's", "secret"])
    look = "import gc\nprint('one' 'program' in ''.join(str(x) for x in gc.get_objects() if type(x) in (list, dict)))"
    scan = (
        "import ctypes, gc\nneedle = ('one' + \"program'ssec\").encode()\nfound = 0\n"
        "for x in gc.get_objects():\n"
        "    for y in gc.get_referents(x):\n"
        "        if type(y) in (bytes, str) and needle in (y.encode('utf-8', 'replace') if type(y) is str else y):\n"
        "            found += 1\n"
        "found - sum(type(y) is bytes and y == needle for y in [needle])\n"
    )
    outputs = [ran.output for ran in sandbox.run([[f"x = {secret!r}\nprint(x)"], [look], [scan], [scan]])]
    assert outputs[0] == secret + "\n"
    assert outputs[1] == "False\n"
    assert outputs[2] == outputs[3] == run(sandbox, scan).output


def test_results_are_in_the_order_of_the_programs(sandbox: Sandbox) -> None:
    programs = [[f"import time\ntime.sleep({0.1 * (i % 3 == 0)})\nprint({i})"] for i in range(20)]
    assert [ran.output for ran in sandbox.run(programs)] == [f"{i}\n" for i in range(20)]
    assert sandbox.run([]) == []


@pytest.mark.parametrize(("parallel", "least", "most"), [(1, 0.8, 60), (4, 0.2, 0.75)])
def test_runs_so_many_at_a_time(parallel: int, least: float, most: float) -> None:
    with Sandbox(seconds=5, memory_mb=64, output_characters=10, parallel=parallel) as made:
        made.run([["1"]])
        started = time.monotonic()
        assert {ran.status for ran in made.run([["import time\ntime.sleep(0.2)"]] * 4)} == {"ok"}
        assert least <= time.monotonic() - started < most


def test_hundreds_of_runs_leave_nothing(sandbox: Sandbox) -> None:
    programs = [["open('file', 'w').write('x')\nprint(1)"], ["1/0"], ["import os\nos._exit(0)"], ["print('x' * 9999)"]]
    sandbox.run(programs)
    zygote = zygote_of(sandbox)

    def state() -> tuple[int, int, list[str]]:
        files = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), zygote)]
        return files[0], files[1], sorted(path.name for path in folder_of(sandbox).iterdir())

    def resident_kb() -> int:
        return int(Path(f"/proc/{zygote}/statm").read_text().split()[1]) * 4

    before, memory = state(), resident_kb()
    for _ in range(10):
        assert [ran.status for ran in sandbox.run(programs * 6)] == ["ok", "error", "ok", "output"] * 6
    assert state() == before
    assert resident_kb() < memory + 2000
    assert zygote_of(sandbox) == zygote
    assert children_of(zygote) == []


def test_the_zygote_has_no_environment_and_no_files_of_ours(sandbox: Sandbox, world: World) -> None:
    with (world.folder / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        with Sandbox(seconds=1, memory_mb=64, output_characters=10) as made:
            made.run([["1"]])
            zygote = zygote_of(made)
            environment = Path(f"/proc/{zygote}/environ").read_text().strip("\0").split("\0")
            links = [str(path.readlink()) for path in Path(f"/proc/{zygote}/fd").iterdir()]
    (world.folder / "open").unlink()
    assert sorted(environment) == sorted(f"{name}={value}" for name, value in executor.ENVIRONMENT.items())
    assert not any(link.startswith(str(world.folder)) for link in links), links


def test_a_dead_zygote_is_replaced(sandbox: Sandbox) -> None:
    first = zygote_of(sandbox)
    os.kill(first, signal.SIGKILL)
    assert run(sandbox, "print(1)").output == "1\n"
    assert zygote_of(sandbox) != first


def test_a_folder_that_somebody_tidied_away_is_made_anew(sandbox: Sandbox) -> None:
    assert sandbox.run([["print(1)"]])[0].output == "1\n"
    shutil.rmtree(folder_of(sandbox))  # as a cleaner of /tmp does, between two runs
    assert sandbox.run([["print(2)"]])[0].output == "2\n"

    with Sandbox(seconds=20, memory_mb=64, output_characters=100) as patient:  # and within one
        patient.run([["print(1)"]])
        folder = folder_of(patient)
        threading.Timer(0.3, shutil.rmtree, [folder]).start()
        assert [ran.output for ran in patient.run([["import time; time.sleep(1); print(3)"]])] == ["3\n"]
        assert folder_of(patient) != folder


def test_runs_of_a_zygote_that_dies_are_run_again(sandbox: Sandbox) -> None:
    zygote, folder = zygote_of(sandbox), folder_of(sandbox)
    threading.Timer(0.2, os.kill, (zygote, signal.SIGKILL)).start()
    assert [ran.output for ran in sandbox.run([["import time\ntime.sleep(0.5)\nprint(1)"], ["print(2)"]])] == [
        "1\n",
        "2\n",
    ]
    assert not folder.exists()
    assert processes_with(str(folder)) == []


def test_a_zygote_that_is_stuck_is_given_up_and_replaced(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "GRACE", 0.5)
    first = zygote_of(sandbox)
    os.kill(first, signal.SIGSTOP)  # it starts nothing and ends nothing
    assert [ran.output for ran in sandbox.run([["print(1)"]])] == ["1\n"]
    assert zygote_of(sandbox) != first


@pytest.mark.slow
def test_a_run_that_kills_every_zygote_is_given_up(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    start = executor._Zygote.start

    def dies(zygote: executor._Zygote, number: int, *rest: object) -> None:
        start(zygote, number, *rest)  # type: ignore[arg-type]
        if number == 1:
            zygote._process.kill()
            zygote._process.wait()

    monkeypatch.setattr(executor._Zygote, "start", dies)
    with Sandbox(seconds=5, memory_mb=64, output_characters=10, parallel=1) as made:
        statuses = [ran.status for ran in made.run([["1"], ["import time\ntime.sleep(3)"], ["3"]])]
    assert statuses == ["ok", "killed", "ok"]


SCRIPT = """
import os, signal, sys, threading, time
from dsmath.sandbox.executor import Sandbox
sandbox = Sandbox(seconds=100, memory_mb=64, output_characters=10)
starter = threading.Thread(target=sandbox.run, args=([["1"]],))
starter.start(); starter.join()  # the thread that started the zygote is gone
time.sleep(0.2)
print(sandbox._zygote.folder, flush=True)
sandbox.run([["import time\\ntime.sleep(1000)"]])
"""


def test_a_killed_parent_takes_everything_with_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    folder = parent.stdout.readline().strip()
    until(lambda: len(processes_with(folder)) == 2)  # the zygote and its run
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: processes_with(folder) == [])
    until(lambda: not Path(folder).exists())


def until(condition: object, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_interrupt_ends_the_runs_and_the_sandbox_goes_on() -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    with Sandbox(seconds=100, memory_mb=64, output_characters=10) as made:
        made.run([["1"]])
        folder = folder_of(made)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                made.run([["while True: pass"]] * 3)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        until(lambda: processes_with(str(folder)) == [])
        assert not folder.exists()
        assert run(made, "print(2)").output == "2\n"


def test_threads_take_turns(sandbox: Sandbox) -> None:
    found: dict[int, list[str]] = {}

    def work(i: int) -> None:
        found[i] = [ran.output for ran in sandbox.run([[f"print({i}, {j})"] for j in range(5)])]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [f"{i} {j}\n" for j in range(5)] for i in range(4)}


def test_a_fork_of_ours_starts_its_own_and_leaves_ours(sandbox: Sandbox) -> None:
    run(sandbox, "1")
    zygote, folder = zygote_of(sandbox), folder_of(sandbox)
    if (pid := os.fork()) == 0:
        code = 1
        try:
            code = int(run(sandbox, "print(7)").output)
            sandbox.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert zygote_of(sandbox) == zygote
    assert folder.exists()
    assert run(sandbox, "print(8)").output == "8\n"
    assert zygote_of(sandbox) == zygote


def test_starts_with_the_first_run_and_closes_twice() -> None:
    made = Sandbox(seconds=1, memory_mb=64, output_characters=10)
    assert made._zygote is None
    made.close()
    assert run(made, "1").output == "1\n"
    folder = folder_of(made)
    made.close()
    made.close()
    assert not folder.exists()
    assert processes_with(str(folder)) == []
    assert run(made, "2").output == "2\n"
    made.close()


def test_importing_it_loads_nothing_heavy_without_containment() -> None:
    code = "import sys, dsmath.sandbox.executor; print({'torch', 'numpy', 'sympy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_a_text_is_no_program_without_containment() -> None:
    with Sandbox(seconds=1, memory_mb=1, output_characters=1) as made, pytest.raises(TypeError, match="list of blocks"):
        made.run(["print(1)"])


@pytest.mark.parametrize("limits", [{"seconds": 0}, {"memory_mb": 0}, {"output_characters": -1}, {"parallel": 0}])
def test_refuses_limits_that_are_none_without_containment(limits: dict[str, int]) -> None:
    given = {"seconds": 1, "memory_mb": 1, "output_characters": 1, **limits}
    with pytest.raises(ValueError, match="positive"):
        Sandbox(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sys.platform", "darwin", "Linux .this is darwin"),
        ("platform.machine", lambda: "riscv64", "x86_64 or aarch64 .this is riscv64"),
    ],
)
def test_refuses_other_machines_without_containment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: object, said: str
) -> None:
    monkeypatch.setattr(f"dsmath.sandbox.jail.{name}", value)
    with pytest.raises(UserError, match=said):
        require()


def test_refuses_a_kernel_with_no_landlock_without_containment(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_there() -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(jail, "landlock_abi", not_there)
    monkeypatch.setattr(jail.platform, "machine", lambda: "x86_64")
    with pytest.raises(UserError, match=r"lacks Landlock .*5\.13"):
        require()
    with Sandbox(seconds=1, memory_mb=1, output_characters=1) as made, pytest.raises(UserError, match="Landlock"):
        made.run([["print('contained by nothing')"]])


def test_says_why_it_did_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such luck >&2\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox(seconds=1, memory_mb=64, output_characters=10) as made, pytest.raises(UserError, match="no such luck"):
        made.run([["1"]])
    assert list(tmp_path.iterdir()) == [python]

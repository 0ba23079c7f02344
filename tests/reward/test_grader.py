"""What decides an answer, on plain and on hostile text, and what becomes of the workers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dsmath.reward import grader as module
from dsmath.reward.grader import Grader, Verdict

DATA = Path(__file__).parents[3] / "shared/data/math"
RIGHT = Verdict(True, "symbolic")
WRONG = Verdict(False, "symbolic")


@pytest.fixture(scope="module")
def grader():
    with Grader(symbolic=True, workers=1) as shared:
        yield shared


SAME = [
    ("x^2+2x+1", "(x+1)^2"),
    (r"\sqrt{8}", r"2\sqrt2"),
    (r"\frac{1}{1+\sqrt2}", r"\sqrt2-1"),
    (r"\frac{\sqrt{3}}{2}", "0.8660254037844386"),
    (r"\sin 30^\circ", "1/2"),
    (r"\frac{1}{35}(x+y)", r"\frac{x+y}{35}"),
    ("2x+4y-3=0", r"y=-\frac{1}{2}x+\frac{3}{4}"),
    ("x <= 1", "-x >= -1"),
    (r"[10^{-3},\infty)", r"[0.001,\infty)"),
    (r"1\pm\sqrt{19}", r"1-\sqrt{19}, 1+\sqrt{19}"),
    (r"(\frac{3^4}{4}, 1)", r"(\frac{81}{4}, 1)"),
    (r"\begin{pmatrix} \frac{1}{\sqrt2} & 0 \end{pmatrix}", r"\begin{bmatrix} \frac{\sqrt2}{2} & 0 \end{bmatrix}"),
    ("f(x)=x+22", "x + 22"),
    (r"3^{100}", r"3 \cdot 3^{99}"),
    (r"\sqrt{x^3}", r"x\sqrt{x}"),
    (r"x^{1/3}", r"\sqrt[3]{x}"),
    (r"\sqrt{8}\text{ cm}", r"2\sqrt2"),
    ("0", r"\sqrt2\sqrt2-2"),
    ("0", r"\sin \pi"),
    (r"10^{400}", r"10\cdot 10^{399}"),
    (r"\frac12\begin{pmatrix}1\\2\end{pmatrix}", r"\frac12 \left[\begin{array}{c}1\\2\end{array}\right]"),
    ("10", r"Answer \((9+1)\)"),
    ("x > 5", r"Therefore $x \gt 5$ is the solution."),
]
DIFFERENT = [
    ("x^2+2x+1", "(x+1)^3"),
    (r"\sqrt{8}", "2.83"),
    ("10^{40}", "10^{40}+1"),
    ("10^{20}+x", "10^{20}+x+1"),
    ("x", "X"),
    ("2x + z = 1", "1"),
    (r"k \geqslant 2", "2"),
    (r"\pm 5", "5"),
    ("5", r"\pm 5"),
    ("x-3z=0", "0"),
    (r"\frac{\pi}{4}", r"45^\circ"),
    (r"\cos 58^\circ", r"\sin 2^\circ"),
    (r"(x+i)(x-i)", "x^2+1"),
    ("[1,2)", "[x,y)"),
    ("5", r"\frac{0}{0}"),
    ("1", "c^2"),
    (r"\sqrt{8}\text{ cm}", r"2\sqrt2 \text{ m}"),
    ("y'", "y"),
    ("7", "7'"),
    ("5", "5+10^{-400}"),
    ("x", "x+10^{-400}"),
    (r"\pi", r"\pi+10^{-400}"),
    ("0", "2^{-9999}"),
    ("0", "e^{-9000}"),
    ("5", r"\boxed{minus $5$}"),
    ("5", r"negative $5$"),
    ("5", r"twice $5$"),
    ("5", r"anything except $5$"),
    ("5", r"\boxed{6 #### 5}"),
    ("5", "the volume is 6 and the area is 5"),
    ("5", "it can be 6, but it is 5"),
    ("5", "6, no, the answer is 5"),
    ("x", "the square root of $x$"),
    ("(5, 10)", "10, 5"),
    *(
        pair
        for v, w in ["ab", "mn", "xy", "vw", "ky"]
        for pair in [
            (rf"\sqrt{{{v}^2}}", v),
            (rf"\ln({v}^2)", rf"2\ln {v}"),
            (rf"\sqrt{{{v}^2{w}^2}}", f"{v}{w}"),
            (rf"|{v}{w}|", f"{v}{w}"),
        ]
    ),
]


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_by_mathematics(grader, gold, answer):
    assert grader.grade([(gold, answer)])[0].correct


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_different_by_mathematics(grader, gold, answer):
    assert not grader.grade([(gold, answer)])[0].correct


def test_a_verdict_says_what_decided(grader):
    pairs = [
        ("5", None),
        ("5", "5.0"),
        ("|x+1|", "|1+x|"),
        ("|x+1|", "|x|"),
        (r"\frac{^{2}}{1-}", "5"),
        ("Monday", "5"),
    ]
    assert grader.grade(pairs) == [
        Verdict(False, "none"),
        Verdict(True, "exact"),
        RIGHT,
        WRONG,
        Verdict(False, "gold"),
        Verdict(False, "exact"),
    ]


def test_an_unreadable_gold_answer_is_right_when_repeated(grader):
    assert grader.grade([(r"\frac{^{2}}{1-}", r"$\frac{^{2}}{1-}$")]) == [Verdict(True, "exact")]


def test_without_mathematics_there_are_no_workers():
    with Grader(symbolic=False) as plain:
        assert plain.grade([("|x+1|", "|1+x|"), ("1/2", "0.5")]) == [Verdict(False, "exact"), Verdict(True, "exact")]
        assert plain._pool == []


def test_order_and_duplicates_are_kept_over_several_workers():
    pairs = [(f"|x+{i % 40}|", f"|{i % 3}+x|") for i in range(120)]
    with Grader(symbolic=True, workers=3) as several:
        assert [v.correct for v in several.grade(pairs)] == [i % 40 == i % 3 for i in range(120)]


HANGS = "import time; time.sleep(60)"
SPINS = "while True: pass"
DIES = "import os; os._exit(3)"
EATS = "x = bytearray(8 << 30)"


@pytest.mark.parametrize(
    ("does", "becomes"), [(HANGS, "timeout"), (SPINS, "timeout"), (DIES, "crash"), (EATS, "crash")]
)
def test_a_pair_that_breaks_its_worker_is_marked_and_the_others_are_graded(monkeypatch, does, becomes):
    monkeypatch.setattr(
        module,
        "_START",
        "import sys; sys.path[:] = {path!r}; from dsmath.reward import worker\n"
        "plain = worker.compare_pair\n"
        "def compare_pair(gold, answer):\n"
        f"    if gold == '|x|': exec({does!r})\n"
        "    return plain(gold, answer)\n"
        "worker.compare_pair = compare_pair\n"
        "try: worker.main({seconds!r})\n"
        "except MemoryError: pass\n",
    )
    with Grader(symbolic=True, timeout_seconds=0.4, workers=1) as hurt:
        pairs = [("|x+1|", "|1+x|"), ("|x|", "|y|"), ("|x+2|", "|2+x|")]
        assert hurt.grade(pairs) == [RIGHT, Verdict(False, becomes), RIGHT]
        assert hurt.grade([("|x+3|", "|3+x|")]) == [RIGHT]


def test_a_verdict_for_want_of_time_is_not_kept(monkeypatch):
    verdicts = iter([Verdict(False, "timeout"), Verdict(False, "crash"), RIGHT])
    with Grader(symbolic=True) as busy:
        monkeypatch.setattr(busy, "_by_mathematics", lambda pairs: [next(verdicts)])
        assert [busy.grade([("|x|", "|-x|")])[0].decided_by for _ in range(4)] == [
            "timeout",
            "crash",
            "symbolic",
            "symbolic",
        ]


def test_a_worker_that_cannot_start_is_no_wrong_answer(monkeypatch):
    monkeypatch.setattr(module, "_START", "raise SystemExit('no sympy here')")
    with Grader(symbolic=True) as broken, pytest.raises(RuntimeError, match="no sympy here"):
        broken.grade([("|x|", "|y|")])


def test_a_worker_that_died_in_between_is_replaced(grader):
    grader.grade([("|x+7|", "|7+x|")])
    os.kill(grader._pool[0].process.pid, signal.SIGKILL)
    grader._pool[0].process.wait()
    assert grader.grade([("|x+8|", "|8+x|")]) == [RIGHT]


def test_threads_may_share_a_grader(grader):
    found = {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: grader.grade([(f"|x+{i}|", f"|{i}+x|")])}))
        for i in range(90, 94)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [RIGHT] for i in range(90, 94)}


def test_workers_know_no_secrets_and_cannot_write(monkeypatch, grader):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    with Grader(symbolic=True, workers=1) as own:
        own.grade([("|x|", "|y|")])
        pid = own._pool[0].process.pid
        assert b"hunter2" not in Path(f"/proc/{pid}/environ").read_bytes()
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert limits.split("Max file size")[1].split()[0] == "0"
        assert limits.split("Max address space")[1].split()[0] == str(2 << 30)


def test_workers_die_with_a_killed_parent():
    code = (
        "from dsmath.reward.grader import Grader; import time\n"
        "g = Grader(symbolic=True, workers=2); g.grade([('|x|', '|y|'), ('|x|', '|z|')])\n"
        "print(*(w.process.pid for w in g._pool), flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while any(_runs(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if _runs(pid)] == []


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_text_is_never_evaluated_as_python():
    code = (
        "from dsmath.reward.symbolic import UnreadableError, forbid_evaluation\n"
        "import sympy; forbid_evaluation()\n"
        "for text in ('1+1', 'x', '__import__(\"os\")'):\n"
        "    try: sympy.sympify(text)\n"
        "    except UnreadableError: print('refused')\n"
        "print(sympy.Number('2.50'), sympy.Number('17'))\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["refused", "refused", "refused", "2.50000000000000", "17"]


HOSTILE = [
    "9^{9^{9^{9}}}",
    "9**9**9**9",
    "2^{100000000}",
    "1000000!",
    r"\binom{1000000000}{500000000}",
    "(x+1)^{10000}-(x+1)^{9999}",
    "(" * 5000 + "x" + ")" * 5000,
    r"\frac{1}{" * 300 + "1" + "}" * 300,
    "1" * 100_000,
    "1+" * 5000 + "1",
    r"\int_0^{1} e^{x^{x^{x}}} dx",
    r"\sum_{i=1}^{10^{9}} \frac{1}{i^{3}}",
    "1e1000000000",
    "__import__('os').system('touch /tmp/grader_owned')",
    "x=__import__('os').system('touch /tmp/grader_owned')",
    "().__class__.__base__.__subclasses__()",
    "\\text{" * 100,
    "$" * 10_000,
    "5\x00",
    r"\mathbb{R}",
    "4,5,6",
    "5 \\text{ or } 6 \\text{ or } 7",
    "x=4=5",
]


@pytest.mark.parametrize("answer", HOSTILE, ids=[text[:20].encode("ascii", "replace").decode() for text in HOSTILE])
def test_hostile_answers_are_wrong_soon_and_do_nothing(grader, answer):
    grader.grade([("|x|", "|y|")])
    started = time.monotonic()
    assert not grader.grade([("5", answer)])[0].correct
    assert time.monotonic() - started < 5  # far below on a machine that does nothing else
    assert not Path("/tmp/grader_owned").exists()


@pytest.mark.data
def test_every_adversarial_answer_is_wrong_but_the_two_that_say_five(grader):
    rows = [json.loads(line) for line in (DATA / "adversarial_answers.jsonl").read_text().splitlines()]
    verdicts = grader.grade([(row["gold"], row["pred"]) for row in rows])
    assert [row["name"] for row, verdict in zip(rows, verdicts, strict=True) if verdict.correct] == [
        "spaces",
        "unicode",
    ]
    assert not Path("/tmp/grader_owned").exists()


@pytest.mark.data
def test_labelled_pairs_are_graded_without_a_false_positive(grader):
    rows = [json.loads(line) for line in (DATA / "pairs.jsonl").read_text().splitlines()]
    verdicts = grader.grade([(row["gold"], row["pred"]) for row in rows])
    agree = [verdict.correct == row["label"] for row, verdict in zip(rows, verdicts, strict=True)]
    assert [row for row, verdict in zip(rows, verdicts, strict=True) if verdict.correct and not row["label"]] == []
    assert sum(agree) / len(agree) >= 0.994

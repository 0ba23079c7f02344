"""A script that imports dsmath's heavy parts once and then forks a child for every command line it reads.

Each line of standard input is JSON: `argv`, `folder` (where to run, and where `out` and `err` of the child go), and
optionally `environment`, `fault`, what the child does to itself and when (after `helper: `, what its helper of another
rank does), or `after`, the seconds after which it is killed. The answer is a line with the exit code, negative for a
signal. Helpers are forked too, where dsmath would start them anew: that would take them seconds to import everything.
"""

import importlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import corpus_faults

DISARMED: list[bool] = []  # not empty in a helper that was forked from a process with a fault


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, act: Callable[[], None], *, times: int = 1) -> None:
    """Act in the place of the n-th call."""
    original, calls = getattr(owner, name), [0]

    def replacement(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == times and not DISARMED:
            act()
        return original(*arguments, **named)

    setattr(owner, name, replacement)


def half_a_checkpoint(times: int) -> None:
    """Half of the bytes reach the file that is written beside the state."""
    import lightning as L

    original, calls = L.Trainer.save_checkpoint, [0]

    def torn(trainer: Any, path: Any, *rest: Any, **named: Any) -> None:
        original(trainer, path, *rest, **named)
        calls[0] += 1
        if calls[0] == times and not DISARMED:
            os.truncate(path, Path(path).stat().st_size // 2)
            die()

    L.Trainer.save_checkpoint = torn


def half_a_row(times: int) -> None:
    from dsmath.tracking.tracker import MetricsTable

    original, calls = MetricsTable.append, [0]

    def torn(table: Any, *arguments: Any) -> None:
        original(table, *arguments)
        calls[0] += 1
        if calls[0] == times:
            os.truncate(table._path, table._path.stat().st_size - 7)
            die()

    MetricsTable.append = torn


def half_a_sample() -> None:
    from dsmath.tracking.tracker import StageLogger

    original = StageLogger.log_samples

    def torn(logger: Any, *arguments: Any) -> None:
        original(logger, *arguments)
        os.truncate(logger._samples, logger._samples.stat().st_size - 9)
        die()

    StageLogger.log_samples = torn


def half_a_shard(tokens_stage: Any, times: int) -> None:
    """The process ends when half of a shard's documents are on their way."""
    original, calls = tokens_stage.write_shard, [0]

    def torn(path: Any, documents: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] < times:
            return original(path, documents, **named)

        def cut() -> Any:
            every = list(documents)
            yield from every[: len(every) // 2]
            die()

        return original(path, cut(), **named)

    tokens_stage.write_shard = torn


def kill_wandb_core() -> None:
    """End W&B's service at once, as SLURM's signals do, which reach every process of a job."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            if name == "wandb-core" and int(rest.split()[1]) == os.getpid():
                os.kill(int(stat.parent.name), signal.SIGKILL)


def without_wandb_core(times: int, act: Callable[[], None]) -> None:
    """W&B's service has time to write before the n-th step, is killed at the next, and the job is ended at the one
    after that."""
    import torch

    original, calls = torch.optim.AdamW.step, [0]

    def replacement(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == times:
            time.sleep(1.5)  # more than FLUSH_SECONDS
        elif calls[0] == times + 1:
            kill_wandb_core()
        elif calls[0] == times + 2:
            act()
        return original(*arguments, **named)

    torch.optim.AdamW.step = replacement


def arm(fault: str) -> None:  # noqa: PLR0912 - a table of moments
    """`MOMENT` or `MOMENT:N`, the n-th time it comes in this process."""
    import torch

    from dsmath.evaluation import answering
    from dsmath.graph import store
    from dsmath.stages import answers as answers_stage
    from dsmath.stages import pretrain as pretrain_stage
    from dsmath.stages import rl as rl_stage
    from dsmath.stages import sft as sft_stage
    from dsmath.stages import tokens as tokens_stage
    from dsmath.training import callbacks, exploration, language_modelling, policy_optimisation, tools
    from dsmath.training.callbacks import SaveState

    moment, _, number = fault.partition(":")
    times = int(number or 1)
    if moment == "before the optimizer's step":
        before(torch.optim.AdamW, "step", die, times=times)
    elif moment == "between forward and backward":
        before(torch.Tensor, "backward", die, times=times)
    elif moment == "after exploring":
        before(policy_optimisation.PolicyOptimisation, "learn", die, times=times)
    elif moment == "while sampling":
        before(exploration.Explorer, "_generate", die, times=times)
    elif moment == "while a program runs":
        before(tools.Tool, "__call__", die, times=times)
    elif moment == "while answering":
        before(answering.Answerer, "_generate", die, times=times)
    elif moment == "before a batch is kept":
        before(answers_stage, "write_answers", die, times=times)
    elif moment == "SIGTERM while answering":
        before(answering.Answerer, "_generate", lambda: os.kill(os.getpid(), signal.SIGTERM), times=times)
    elif moment == "before saving":
        before(SaveState, "save", die, times=times)
    elif moment == "half a checkpoint":
        half_a_checkpoint(times)
    elif moment == "half a state in shards":  # what makes the folder one is missing
        before(torch, "save", die, times=times)
    elif moment == "before a state is linked":
        before(callbacks, "synced", die, times=times)
    elif moment == "half a row":
        half_a_row(times)
    elif moment == "half a sample":
        half_a_sample()
    elif moment == "before the model is kept":
        before(sft_stage, "keep_policy", die, times=times)
        before(rl_stage, "keep_policy", die, times=times)
        before(pretrain_stage, "keep_policy", die, times=times)
    elif moment == "half a shard":
        half_a_shard(tokens_stage, times)
    elif moment == "SIGTERM before a shard":
        before(tokens_stage, "write_shard", lambda: os.kill(os.getpid(), signal.SIGTERM), times=times)
    elif moment == "before a shard":
        before(tokens_stage, "write_shard", die, times=times)
    elif moment == "before the record":
        before(store, "_write_record", die, times=times)
    elif moment == "before publishing":
        before(store.Store, "_publish", die, times=times)
    elif moment == "scratch gone, not yet renamed":
        original = store.shutil.rmtree

        def last_act(path: Any) -> None:
            original(path)
            die()

        store.shutil.rmtree = last_act
    elif moment == "NaN":
        poison(policy_optimisation, "policy_objective", times)
        poison(language_modelling, "packed_log_probs", times)
    elif moment == "a bug":
        before(torch.optim.AdamW, "step", lambda: 1 // 0, times=times)
    elif moment == "SIGTERM for all":
        before(torch.optim.AdamW, "step", lambda: os.kill(0, signal.SIGTERM), times=times)
    elif moment == "SIGTERM":
        before(torch.optim.AdamW, "step", lambda: os.kill(os.getpid(), signal.SIGTERM), times=times)
    elif moment == "SIGINT":
        before(torch.optim.AdamW, "step", lambda: os.kill(os.getpid(), signal.SIGINT), times=times)
    elif moment == "two SIGINT":

        def twice() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

        before(torch.optim.AdamW, "step", twice, times=times)
    elif moment == "SIGTERM without wandb-core":
        without_wandb_core(times, lambda: os.kill(os.getpid(), signal.SIGTERM))
    elif moment == "killed without wandb-core":
        without_wandb_core(times, die)
    elif moment == "SIGTERM at start":
        before(SaveState, "on_train_start", lambda: os.kill(os.getpid(), signal.SIGTERM), times=times)
    elif not corpus_faults.arm(moment, times, die):
        raise ValueError(moment)


def poison(module: Any, name: str, times: int) -> None:
    original, calls = getattr(module, name), [0]

    def poisoned(*arguments: Any, **named: Any) -> Any:
        found = original(*arguments, **named)
        calls[0] += 1
        if calls[0] != times or DISARMED:
            return found
        return (found[0] * float("nan"), *found[1:]) if isinstance(found, tuple) else found * float("nan")

    setattr(module, name, poisoned)


class Forked:
    """A forked process with what dsmath asks of a `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)


def fork_helper(fault: str) -> tuple[Forked, Any]:
    from dsmath import interrupt
    from dsmath.launch import rank

    ours, theirs = Pipe()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, interrupt.SIGNALS)
    process = os.fork()
    if process == 0:
        pipe = theirs.fileno()
        os.closerange(3, pipe)  # above all `ours`, or this process would keep its own lifeline
        os.closerange(pipe + 1, 4096)
        try:
            if fault.startswith("helper: "):
                arm(fault.removeprefix("helper: "))
            else:
                DISARMED.append(True)
            rank.main(pipe)
        finally:
            os._exit(99)  # a mistake of this script
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    theirs.close()
    return Forked(process), ours


def child(order: dict[str, Any]) -> None:
    os.setpgid(0, 0)
    folder = Path(order["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.update(order.get("environment", {}))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from dsmath import cli
    from dsmath.launch import ranks

    fault = order.get("fault", "")
    ranks.start_process = lambda: fork_helper(fault)
    if fault and not fault.startswith("helper: "):
        arm(fault)
    try:
        cli.main(order["argv"])
        code = 0
    except SystemExit as done:
        code = done.code if isinstance(done.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    import torch

    torch.set_num_threads(1)
    for name in (
        "lightning", "transformers.models.llama", "matplotlib.figure", "wandb", "dsmath.verbs.run", "dsmath.job",
        "dsmath.stages.sft", "dsmath.stages.rl", "dsmath.stages.answers", "dsmath.stages.evaluate",
        "dsmath.stages.tokens", "dsmath.stages.pretrain", "dsmath.stages.pages", "dsmath.stages.corpus",
        "dsmath.training.language_modelling", "dsmath.launch.ranks", "dsmath.launch.silent",
        "dsmath.training.policy_optimisation", "dsmath.models.tokenizer",
    ):  # fmt: skip
        importlib.import_module(name)
    from dsmath.models.tokenizer import build_tokenizer

    build_tokenizer(vocab_size=512)  # counts words once for all
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        started = time.monotonic()
        process = os.fork()
        if process == 0:
            child(order)
        if order.get("after") is not None:
            time.sleep(order["after"])
            os.kill(process, signal.SIGKILL)  # not waited for yet, so the number is still its own
        status = os.waitpid(process, 0)[1]
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()

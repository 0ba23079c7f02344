"""A program that test_corpus_on_slurm.py runs: tasks on SLURM, each of which writes a file.

This folder is on PYTHONPATH, so that the nodes can import the task. It sleeps as many seconds as the file `sleep` says,
and the one that the file `victim` names kills its own process, once.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dsmath import interrupt
from dsmath.config.compose import composer
from dsmath.corpus.shards import publish_text, run_shards
from dsmath.errors import UserError


@dataclass(frozen=True)
class WriteFile:
    folder: Path
    name: str = "write"

    def done(self, shard: int) -> Path:
        return self.folder / f"{shard}.txt"

    def run(self, shard: int) -> None:
        victim = self.folder / "victim"
        if victim.exists() and victim.read_text() == str(shard):
            victim.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        with (self.folder / f"{shard}.started").open("a") as file:
            file.write("started\n")
        sleep = self.folder / "sleep"
        time.sleep(float(sleep.read_text()) if sleep.exists() else 0)
        publish_text(self.done(shard), f"shard {shard}")


def main() -> None:
    where, count, partition = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    slurm = ["partition=" + partition, "shards.minutes=10", "shards.memory_gb=1", "poll_seconds=0.2"]
    with composer() as compose:
        words = ["launcher=slurm", "launcher.workers=4", *(f"launcher.slurm.{text}" for text in slurm)]
        launcher = compose.one(words).experiment.launcher
    with interrupt.listening():
        try:
            run_shards(WriteFile(where), count, launcher=launcher, logs=where / "logs")
        except UserError as error:
            print(error, file=sys.stderr)
            sys.exit(2)

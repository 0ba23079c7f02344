"""`dsmath status SWEEP`: how a sweep stands, from its folder alone, and from SLURM's queue where there is one.

Each point and each group of stages that several points grow from: its state, its job, where it runs, the last line of
its log; then every failure with the end of its log. Exit code 2 for a folder that is no sweep's.
"""

import os
import shlex
import sys
from pathlib import Path

PIPED = 160  # columns where there is no terminal


def status(folder: str) -> None:
    """Print the table; nothing is written.

    Raises:
        UserError: when the folder is no sweep's, or its records cannot be read.
    """
    from rich.console import Console

    from dsmath.sweeps.board import print_failures, table
    from dsmath.sweeps.folder import read_sweep
    from dsmath.sweeps.launch import look

    sweep = read_sweep(Path(folder))
    units = look(sweep)
    Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPED).print(table(units))
    sys.stdout.flush()
    print_failures(units)
    if jobs := sorted({each.job.split("_")[0] for each in units if each.job and each.state in ("waiting", "running")}):
        print(f"to cancel it: scancel {' '.join(jobs)}")
    if any(each.state == "failed" or (each.state == "waiting" and not each.job) for each in units):
        print(f"to go on with what is left: dsmath resume {shlex.quote(folder)}")

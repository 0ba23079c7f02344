"""What cannot work in how jobs are launched, as far as it shows without a cluster (dsmath/launch/cluster_check.py)."""

from collections.abc import Iterator

from dsmath.config.paradigm import Broken
from dsmath.config.schema import Experiment, Slurm

# What dsmath asks sbatch for itself, and beside it what would contradict that; with the key that says it here, if any.
OWN = {
    "nodes": "hardware.num_nodes",
    "ntasks-per-node": "hardware.devices",
    "ntasks": "hardware.devices",
    "cpus-per-task": "hardware.cpus_per_device",
    "cpus-per-gpu": "hardware.cpus_per_device",
    "gpus-per-node": "hardware.devices",
    "gpus-per-task": "hardware.devices",
    "gpus": "hardware.devices",
    "mem": "hardware.memory_gb",
    "mem-per-cpu": "hardware.memory_gb",
    "mem-per-gpu": "hardware.memory_gb",
    "time": "hardware.minutes",
    "signal": "launcher.slurm.signal_seconds",
    "partition": "launcher.slurm.partition",
    "account": "launcher.slurm.account",
    "qos": "launcher.slurm.qos",
    "constraint": "launcher.slurm.constraint",
    "reservation": "launcher.slurm.reservation",
    "dependency": "launcher.slurm.dependency",
    "array": "launcher.points",
    "wait": "launcher.wait",
    "requeue": None,
    "no-requeue": None,
    "open-mode": None,
    "job-name": None,
    "output": None,
    "error": None,
    "input": None,
    "chdir": None,
    "wrap": None,
    "parsable": None,
    "test-only": None,
    "kill-on-invalid-dep": None,
}


def slurm_rules(e: Experiment) -> Broken:
    """A launcher that knows what to ask, time to save in, and further options that leave dsmath's own alone."""
    launcher = e.launcher
    if launcher.name == "local" and not launcher.wait:
        yield (
            "launcher.wait",
            " = false: local processes end with the command; use launcher.wait=true, or launcher=slurm",
        )
    if launcher.name != "slurm":
        return
    if launcher.slurm is None:
        yield (
            "launcher.slurm",
            " = null: launcher=slurm says what to ask SLURM for there; leave it as the option has it",
        )
        return
    if e.hardware.minutes * 60 <= launcher.slurm.signal_seconds:
        yield (
            "hardware.minutes",
            f" = {e.hardware.minutes}: the job is told to save launcher.slurm.signal_seconds = "
            f"{launcher.slurm.signal_seconds} before its limit, which leaves no time to work; raise the one or lower "
            "the other",
        )
    if "?" in (launcher.slurm.dependency or ""):
        yield (
            "launcher.slurm.dependency",
            f" = {launcher.slurm.dependency}: dsmath adds what a job has to wait for, which SLURM does not take beside "
            "alternatives; expected conditions with commas",
        )
    yield from _options(launcher.slurm)
    for key, text in _texts(launcher.slurm):
        if any(character in text for character in "\n\r\0"):
            yield key, f" = {text!r}: goes into one line of a batch script; expected text without line breaks and NUL"


def _options(slurm: Slurm) -> Broken:
    for name in slurm.sbatch:
        key, option = f"launcher.slurm.sbatch.{name}", option_name(name)
        if not option.replace("-", "").isalnum() or not option.isascii() or option.startswith("-"):
            yield key, ": no name of an option; expected one of sbatch's without its dashes, such as exclude"
            continue
        own = option if option in OWN else next((known for known in OWN if known.startswith(option)), None)
        if own is None:
            continue
        use = f"use {OWN[own]}" if OWN[own] else "leave it out"
        short = "" if own == option else f" (sbatch takes it for {own})"
        yield key, f" = {slurm.sbatch[name]}: dsmath asks sbatch for that itself{short}; {use}"


def option_name(name: str) -> str:
    """An option's name as sbatch spells it: `mail_type` is `mail-type`."""
    return name.replace("_", "-")


def _texts(slurm: Slurm) -> Iterator[tuple[str, str]]:
    for name in ("partition", "account", "qos", "constraint", "reservation", "dependency", "python"):
        if (text := getattr(slurm, name)) is not None:
            yield f"launcher.slurm.{name}", text
    yield from (("launcher.slurm.setup", line) for line in slurm.setup)
    yield from (("launcher.slurm.srun", argument) for argument in slurm.srun)
    yield from ((f"launcher.slurm.sbatch.{name}", str(value)) for name, value in slurm.sbatch.items())

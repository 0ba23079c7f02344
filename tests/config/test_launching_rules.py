"""How jobs are launched, as far as it shows without a cluster: what dsmath asks for itself stays its own."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dsmath.config.compose import Composer
from dsmath.config.launching import slurm_rules

Broken = Callable[[str], list[str]]

ITSELF = "dsmath asks sbatch for that itself"
TEXTS = {
    "launcher=local launcher.wait=false": [
        "launcher.wait = false: local processes end with the command; use launcher.wait=true, or launcher=slurm"
    ],
    "launcher=slurm launcher.slurm=null": [
        "launcher.slurm = null: launcher=slurm says what to ask SLURM for there; leave it as the option has it"
    ],
    "launcher=slurm hardware.minutes=2": [
        "hardware.minutes = 2: the job is told to save launcher.slurm.signal_seconds = 120 before its limit, which "
        "leaves no time to work; raise the one or lower the other"
    ],
    "launcher=slurm +launcher.slurm.sbatch.time=5": [f"launcher.slurm.sbatch.time = 5: {ITSELF}; use hardware.minutes"],
    "launcher=slurm +launcher.slurm.sbatch.cpus_per_task=5": [
        f"launcher.slurm.sbatch.cpus_per_task = 5: {ITSELF}; use hardware.cpus_per_device"
    ],
    "launcher=slurm +launcher.slurm.sbatch.mem-per-cpu=5": [
        f"launcher.slurm.sbatch.mem-per-cpu = 5: {ITSELF}; use hardware.memory_gb"
    ],
    "launcher=slurm +launcher.slurm.sbatch.array=0-3": [
        f"launcher.slurm.sbatch.array = 0-3: {ITSELF}; use launcher.points"
    ],
    "launcher=slurm +launcher.slurm.sbatch.no_requeue=true": [
        f"launcher.slurm.sbatch.no_requeue = True: {ITSELF}; leave it out"
    ],
    "launcher=slurm +launcher.slurm.sbatch.part=x": [
        f"launcher.slurm.sbatch.part = x: {ITSELF} (sbatch takes it for partition); use launcher.slurm.partition"
    ],
    "launcher=slurm launcher.slurm.sbatch={--exclude:n3}": [
        "launcher.slurm.sbatch.--exclude: no name of an option; expected one of sbatch's without its dashes, such as "
        "exclude"
    ],
}


@pytest.mark.parametrize("overrides", TEXTS)
def test_the_message_names_the_key_and_what_to_use_instead(broken: Broken, overrides: str) -> None:
    assert broken(overrides) == TEXTS[overrides]


@pytest.mark.parametrize(
    "overrides",
    [
        "launcher=slurm launcher.wait=false",
        "launcher=slurm hardware.minutes=3",
        "launcher=local hardware.minutes=1",
        "launcher=slurm launcher.slurm.sbatch={exclude:n3,mail-type:FAIL,time-min:5,gres:'tmp:1',exclusive:true}",
    ],
)
def test_what_can_work_passes(broken: Broken, overrides: str) -> None:
    assert broken(overrides) == []


@pytest.mark.parametrize("character", ["\n", "\r", "\0"])
def test_a_text_that_would_break_the_batch_script_is_refused(compose: Composer, character: str) -> None:
    e = compose.one(["launcher=slurm"]).experiment
    slurm, text = e.launcher.slurm, f"a{character}b"
    assert slurm is not None
    slurm = replace(slurm, setup=["true", text], srun=[text], partition=text, sbatch={"exclude": text, "nice": 1})
    found = list(slurm_rules(replace(e, launcher=replace(e.launcher, slurm=slurm))))
    assert [key.removeprefix("launcher.slurm.") for key, _ in found] == ["partition", "setup", "srun", "sbatch.exclude"]
    assert {what for _, what in found} == {
        f" = {text!r}: goes into one line of a batch script; expected text without line breaks and NUL"
    }

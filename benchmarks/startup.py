"""CPU seconds of the commands that must feel instant, as whole processes: `python benchmarks/startup.py`."""

import platform
import resource
import statistics
import subprocess
import sys

COMMANDS = (["--help"], ["--cfg", "job"], ["--cfg", "job", "experiment=grpo_7b"], ["plan"])
RUNS = 7


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "dsmath", *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def main() -> None:
    """A line per command: minimum, median and maximum."""
    print(f"Python {platform.python_version()}, {platform.platform()}, {RUNS} runs each after one warm-up")
    for arguments in COMMANDS:
        cpu_seconds(arguments)
        times = [cpu_seconds(arguments) for _ in range(RUNS)]
        print(f"{'dsmath ' + ' '.join(arguments):<40} {min(times):.2f} {statistics.median(times):.2f} {max(times):.2f}")


if __name__ == "__main__":
    main()

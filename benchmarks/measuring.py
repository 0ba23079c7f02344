"""What the benchmarks of models share: the machine in words, memory, sides in processes of their own, real prompts."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import torch
import transformers

from dsmath.data.readers import JsonLines
from dsmath.models.load import Policy
from dsmath.models.prompt import render_prompt

INSTRUCTION = "Please reason step by step, and put your final answer within \\boxed{}."


def machine() -> str:
    """Where and with what a figure was measured, and how busy the machine was."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{date.today()}: {os.cpu_count()} cores of {_processor()}, {torch.get_num_threads()} threads, load {load}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"
    )


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    names = [line for line in file.read_text().splitlines() if line.startswith("model name")] if file.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.machine()


def resident_mb() -> float:
    """The memory that the process has now."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 2**10


def alone(script: str, *words: object) -> dict[str, Any]:
    """Run a script in a process of its own; the last line that it prints is JSON, and the result.

    Raises RuntimeError with what the process said when it fails.
    """
    command = [sys.executable, script, *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {ended.returncode}\n{ended.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def questions(policy: Policy, folder: Path, count: int) -> list[list[int]]:
    """The first questions of GSM8K's test set as the model's chat prompts, in tokens."""
    problems = JsonLines(
        path=str(folder), train=None, validation=None, test="test.jsonl", format="gsm8k", validation_size=1
    ).split("test")
    return [
        render_prompt(policy.tokenizer, problems[i].question, style="chat", instruction=INSTRUCTION)
        for i in range(count)
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)

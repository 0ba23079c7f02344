"""The stand-in of W&B's server, and the real client against it, in processes of its own."""

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wandb_server import WandbServer


@dataclass
class Client:
    """Runs Python as somebody who is logged in to the server; nothing of this machine's own settings is seen."""

    server: WandbServer
    folder: Path  # where it works; everything that W&B keeps is below it

    def environment(self, **more: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        places = {f"WANDB_{kind}_DIR": str(self.folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        here = {"HOME": str(self.folder), "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
        return own | places | here | {"WANDB_BASE_URL": self.server.url, "WANDB_API_KEY": self.server.key} | more

    def start(self, code: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """A process that runs the code, its input, output and errors as pipes."""
        return subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *arguments],
            cwd=self.folder, env=self.environment(**environment), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(
        self, code: str, *arguments: str, expected: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the code to its end; any other exit code than the expected one is an error of the test's."""
        process = self.start(code, *arguments, **environment)
        output, errors = process.communicate(timeout=120)
        assert expected in (None, process.returncode), output + errors
        return subprocess.CompletedProcess(code, process.returncode, output, errors)

    def ask(self, expression: str) -> Any:
        """What an expression of `api`, a `wandb.Api()`, is worth, by way of JSON."""
        code = f"import json, wandb\napi = wandb.Api()\nprint(json.dumps({expression}))"
        return json.loads(self.run(code).stdout.splitlines()[-1])


@pytest.fixture
def server() -> Iterator[WandbServer]:
    """A server of its own for each test; it must have known everything that it was asked for."""
    with WandbServer() as server:
        yield server
    assert (server.errors, server.unknown) == ([], set())


@pytest.fixture
def client(server: WandbServer, tmp_path: Path) -> Client:
    """The real client, logged in."""
    return Client(server, tmp_path)

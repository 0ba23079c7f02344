"""What lies outside the sandbox, where every escape would be seen: files, an environment, processes, sockets."""

import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dsmath.sandbox import jail, seccomp
from dsmath.sandbox.executor import Sandbox

REPO = Path(__file__).parents[2]


@dataclass
class World:
    """What must stay as it is, and what must not be found out."""

    token: str = field(default_factory=lambda: f"secret{secrets.token_hex(8)}")
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.canary = self.folder / "canary"
        self.canary.write_text(self.token)
        self.folder.chmod(0o777)  # for everybody, so that the sandbox's walls are tested and not the files' modes
        self.canary.chmod(0o666)
        self.home = Path.home() / f".{self.token}"
        self.home.write_text(self.token)
        self.home.chmod(0o666)
        self.stack.callback(self.home.unlink)
        os.environ["DSMATH_SECRET"] = self.token
        self.sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        self.stack.callback(self.sleeper.wait)
        self.stack.callback(self.sleeper.kill)
        self.listeners = [
            self._listener(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            self._listener(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            self._listener(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{self.token[6:]}"),
        ]
        self.before = self._state()

    def _listener(self, family: int, kind: int, address: object) -> socket.socket:
        listener = self.stack.enter_context(socket.socket(family, kind))
        listener.bind(address)
        if kind == socket.SOCK_STREAM:
            listener.listen()
        listener.setblocking(False)
        return listener

    def names(self, zygote: int) -> dict[str, str]:
        """What the programs are told, so that nothing is safe because it was not found."""
        allowed = [number for number, _ in seccomp.ALLOWED.values()]
        allowed += [numbers[0] for numbers in (seccomp.OPENAT, seccomp.IOCTL, seccomp.FCNTL, seccomp.PRLIMIT64)]
        return {
            "CANARY": str(self.canary),
            "HOME": str(self.home),
            "REPO": str(REPO),
            "PARENT": str(os.getpid()),
            "ZYGOTE": str(zygote),
            "SLEEPER": str(self.sleeper.pid),
            "PORT": str(self.listeners[0].getsockname()[1]),
            "UDP": str(self.listeners[1].getsockname()[1]),
            "ABSTRACT": self.token[6:],
            "TOKEN": f"1000.{int(self.token[6:14], 16)}",  # `sleep` takes it
            "ALLOWED": repr(allowed)[1:-1],
        }

    def fill(self, code: str, zygote: int) -> str:
        for name, value in self.names(zygote).items():
            code = code.replace(f"@{name}@", value)
        assert not re.search(r"@[A-Z]+@", code)
        return code

    def _state(self) -> list[object]:
        pid = self.sleeper.pid
        limits = Path(f"/proc/{pid}/limits").read_text()
        return [
            *((file.read_text(), file.stat().st_mode, file.stat().st_uid, file.stat().st_mtime_ns, file.stat().st_nlink)
              for file in (self.canary, self.home)),
            sorted(self.folder.iterdir()),
            os.listxattr(self.canary),
            self.sleeper.poll(),
            os.getpriority(os.PRIO_PROCESS, pid),
            os.sched_getaffinity(pid),
            limits,
            socket.gethostname(),
        ]  # fmt: skip

    def assert_unharmed(self) -> None:
        """Nothing outside has changed, been reached or been left behind."""
        assert self._state() == self.before
        for listener in self.listeners:
            with pytest.raises(BlockingIOError):
                listener.recv(1) if listener.type == socket.SOCK_DGRAM else listener.accept()
        for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/", str(REPO), *jail.libraries()):
            assert not (Path(folder) / "dsmath_escaped").exists()
            assert not (Path(folder) / "dsmath_escaped.pth").exists()
        assert processes_with(self.names(0)["TOKEN"]) == []


def processes_with(text: str) -> list[int]:
    """Processes whose command line has the text, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if text.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def children_of(pid: int) -> list[int]:
    """Its processes, zombies too."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def zygote_of(sandbox: Sandbox) -> int:
    assert sandbox._zygote is not None
    return sandbox._zygote._process.pid


def folder_of(sandbox: Sandbox) -> Path:
    assert sandbox._zygote is not None
    return sandbox._zygote.folder

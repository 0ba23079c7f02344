"""The filter's decisions for both architectures, by an interpreter of its instructions written from bpf(4)."""

import re
import struct
from pathlib import Path

import pytest

from dsmath.sandbox import seccomp

ALLOW, EPERM, KILL = 0x7FFF0000, 0x00050001, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7
MACHINES = [("x86_64", X86, 0), ("aarch64", ARM, 1)]


def decide(machine: str, arch: int, number: int, *arguments: int) -> int:
    """What the kernel would do with a call."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *(a % 2**64 for a in (*arguments, *[0] * (6 - len(arguments)))))
    code = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == 0x06:
            return k
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif operation == 0x54:
            accumulator &= k
        else:
            holds = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += if_true if holds else if_false


@pytest.mark.parametrize(("machine", "arch", "column"), MACHINES)
def test_allows_the_list_and_refuses_every_other_number(machine: str, arch: int, column: int) -> None:
    listed = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    by_argument = {n[column] for n in (seccomp.OPENAT, seccomp.IOCTL, seccomp.FCNTL, seccomp.PRLIMIT64)}
    for number in set(range(1000)) - by_argument:
        assert decide(machine, arch, number) == (ALLOW if number in listed else EPERM), number


@pytest.mark.parametrize(("machine", "arch", "column"), MACHINES)
def test_kills_for_another_architecture(machine: str, arch: int, column: int) -> None:
    for other in {0x40000003, 0x40000028, X86, ARM} - {arch}:  # i386, 32-bit ARM
        assert decide(machine, other, 1) == KILL
    for number in (0x40000000, 0x40000001, 0xFFFFFFFF):
        assert decide(machine, arch, number) == KILL


@pytest.mark.parametrize(("machine", "arch", "column"), MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "decision"),
    [
        (seccomp.OPENAT, (-100, 0, 0o2000000), ALLOW),  # O_RDONLY | O_CLOEXEC
        (seccomp.OPENAT, (-100, 0, 0o1101, 0o666), ALLOW),  # O_WRONLY | O_CREAT | O_TRUNC
        (seccomp.OPENAT, (-100, 0, 0o1102, 0o666), ALLOW),  # O_RDWR | O_CREAT | O_TRUNC
        (seccomp.OPENAT, (-100, 0, 0o101, 0o4755), EPERM),  # set-user-ID
        (seccomp.OPENAT, (-100, 0, 0o101, 0o2755), EPERM),  # set-group-ID
        (seccomp.OPENAT, (-100, 0, 0o1000), EPERM),  # O_RDONLY | O_TRUNC
        (seccomp.OPENAT, (-100, 0, 0o20000001), EPERM),  # __O_TMPFILE
        (seccomp.OPENAT, (-100, 0, 0o20001), EPERM),  # O_ASYNC
        (seccomp.FCNTL, (1, 3), ALLOW),  # F_GETFL
        (seccomp.FCNTL, (1, 4, 0o20000), EPERM),  # F_SETFL
        (seccomp.FCNTL, (1, 8, 1), EPERM),  # F_SETOWN
        (seccomp.IOCTL, (1, 0x5401), ALLOW),  # TCGETS
        (seccomp.IOCTL, (1, 0x5412), EPERM),  # TIOCSTI
        (seccomp.IOCTL, (1, 0x5452), EPERM),  # FIOASYNC
        (seccomp.PRLIMIT64, (0, 7, 0, 0x7FFF00000000), ALLOW),  # read its own
        (seccomp.PRLIMIT64, (0, 7, 0x7FFF00000000, 0), EPERM),  # new ones, at addresses of either half
        (seccomp.PRLIMIT64, (0, 7, 0x1000, 0), EPERM),
        (seccomp.PRLIMIT64, (1, 7, 0, 0x1000), EPERM),  # of another
    ],
)
def test_decides_by_arguments(  # noqa: PLR0917
    machine: str, arch: int, column: int, call: tuple[int, int], arguments: tuple[int, ...], decision: int
) -> None:
    assert decide(machine, arch, call[column], *arguments) == decision


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_numbers_are_the_kernels(column: int, header: str) -> None:
    if not Path(header).exists():
        pytest.skip(f"no {header}")
    text = Path(header).read_text()
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    numbers.setdefault("newfstatat", numbers.get("fstatat", -1))
    given = dict(seccomp.ALLOWED, openat=seccomp.OPENAT, ioctl=seccomp.IOCTL, fcntl=seccomp.FCNTL)
    given["prlimit64"] = seccomp.PRLIMIT64
    for name, own in given.items():
        assert own[column] == numbers.get(name), name

"""The system calls that a contained program may make: a seccomp filter that allows a few and refuses all others.

An allow-list, since a call that the kernel gains tomorrow is then refused without anybody having heard of it. A refused
call fails with EPERM, which Python raises as PermissionError; the wrong architecture (32-bit, x32) is death. Landlock
does not govern chmod, chown, utimes, extended attributes, signals, or the limits of other processes: those are refused
here, so that the two walls hold together, also for a program that runs as root's user.

Sources: seccomp(2); Documentation/userspace-api/{seccomp_filter,landlock}.rst; the tables of Linux 6.12
(arch/x86/entry/syscalls/syscall_64.tbl, scripts/syscall.tbl for aarch64).
"""

import ctypes
import errno
import platform
import struct

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SECCOMP = {"x86_64": 317, "aarch64": 277}  # the number of seccomp(2) itself

# (x86_64, aarch64); None where the architecture has no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    # memory
    "brk": (12, 214),
    "madvise": (28, 233),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "munmap": (11, 215),
    # open files, of which Landlock decides what may be opened
    "close": (3, 57),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "ftruncate": (77, 46),
    "getdents64": (217, 61),
    "lseek": (8, 62),
    "poll": (7, None),
    "ppoll": (271, 73),
    "pread64": (17, 67),
    "pselect6": (270, 72),
    "pwrite64": (18, 68),
    "read": (0, 63),
    "readv": (19, 65),
    "select": (23, None),
    "write": (1, 64),
    "writev": (20, 66),
    # what a name stands for; imports need it
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "fstat": (5, 80),
    "getcwd": (79, 17),
    "lstat": (6, None),
    "newfstatat": (262, 79),
    "stat": (4, None),
    "statx": (332, 291),
    # itself, its clocks, its own alarms
    "alarm": (37, None),
    "clock_getres": (229, 114),
    "clock_gettime": (228, 113),
    "clock_nanosleep": (230, 115),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "futex": (202, 98),
    "getcpu": (309, 168),
    "getegid": (108, 177),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getitimer": (36, 102),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getrandom": (318, 278),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "gettid": (186, 178),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "nanosleep": (35, 101),
    "restart_syscall": (219, 128),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124),
    "setitimer": (38, 103),
    "sigaltstack": (131, 132),
    "sysinfo": (99, 179),
    "time": (201, None),
    "times": (100, 153),
    "uname": (63, 160),
}

# Calls whose arguments decide.
OPENAT = (257, 56)
IOCTL = (16, 29)
FCNTL = (72, 25)
PRLIMIT64 = (302, 261)

_O_TRUNC, _O_ACCMODE, _O_ASYNC, _O_TMPFILE = 0o1000, 0o3, 0o20000, 0o20000000
_SET_ID = 0o6000  # in the mode of a new file
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5450, 0x5451)  # TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONCLEX, FIOCLEX
_FCNTLS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC: F_SETOWN would send signals

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_BITS, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCH = 0, 4  # offsets in struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_X32 = 0x40000000

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def program(machine: str | None = None) -> bytes:
    """The filter as an array of `struct sock_filter`, for this machine or a named one (x86_64, aarch64)."""
    machine = machine or platform.machine()
    column = list(AUDIT_ARCH).index(machine)
    refuse, allow = (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_GREATER_EQUAL, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for numbers in ALLOWED.values():
        if (number := numbers[column]) is not None:
            code += [(_JUMP_EQUAL, 0, 1, number), allow]
    # Refused in opening: files that would run as their owner, files without a name, signals on input, and truncation
    # of what may only be read, which older Landlocks miss.
    hidden = [(_LOAD, 0, 0, _argument(2)), (_JUMP_BITS, 0, 1, _O_TMPFILE | _O_ASYNC), refuse]
    cut = [(_AND, 0, 0, _O_TRUNC | _O_ACCMODE), (_JUMP_EQUAL, 0, 1, _O_TRUNC), refuse]
    set_id = [(_LOAD, 0, 0, _argument(3)), (_JUMP_BITS, 0, 1, _SET_ID), refuse]
    code += _when(OPENAT[column], [*set_id, *hidden, *cut, allow])
    for numbers, commands in ((IOCTL, _IOCTLS), (FCNTL, _FCNTLS)):
        body: list[Instruction] = [(_LOAD, 0, 0, _argument(1))]
        for command in commands:
            body += [(_JUMP_EQUAL, 0, 1, command), allow]
        code += _when(numbers[column], [*body, refuse])
    # Its own limits may be read; new ones, or those of another process, are refused.
    null = [
        step
        for word in (_argument(0), _argument(2), _argument(2) + 4)
        for step in ((_LOAD, 0, 0, word), (_JUMP_EQUAL, 1, 0, 0), refuse)
    ]
    code += _when(PRLIMIT64[column], [*null, allow])
    code.append(refuse)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _argument(index: int) -> int:
    """Offset of an argument's low half: both architectures are little-endian."""
    return 16 + 8 * index


def _when(number: int, body: list[Instruction]) -> list[Instruction]:
    """`body`, every path of which returns, for one call."""
    return [(_JUMP_EQUAL, 0, len(body), number), *body]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install(libc: ctypes.CDLL, code: bytes) -> None:
    """Put the filter on this process, for good; no_new_privs must be set. Raises OSError."""
    filter_ = _Program(len(code) // 8, code)
    pr_set_seccomp, mode_filter = 22, 2
    if libc.prctl(pr_set_seccomp, mode_filter, ctypes.byref(filter_), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp filter")

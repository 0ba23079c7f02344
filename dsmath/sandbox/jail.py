"""The walls around one process: limits, no privileges, Landlock, seccomp. Standard library only; Linux only.

`confine` is one way: nothing in it can be undone by the process or by what it starts. Sources: landlock(7), prctl(2),
capabilities(7), credentials(7).
"""

import ctypes
import os
import platform
import resource
import sys
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dsmath.sandbox import seccomp

NOBODY = 65534
FILE_BYTES = 16 << 20  # the size of a file in the scratch folder
OPEN_FILES = 64

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same on both architectures
_CAPSET = {"x86_64": 126, "aarch64": 91}
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 4, 24, 38, 47
_SIGKILL = 9

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_REG, _TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 8, 1 << 14
# A flat folder whose files only grow, so that counting what a program wrote cannot be fooled: no folders, links,
# removals.
_SCRATCH = _WRITE_FILE | _READ_FILE | _READ_DIR | _MAKE_REG | _TRUNCATE
_LIBRARY = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICES = {"/dev/null": _READ_FILE | _WRITE_FILE | _TRUNCATE, "/dev/urandom": _READ_FILE}
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/usr/share/zoneinfo")

_libc = ctypes.CDLL(None, use_errno=True)


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("fd", ctypes.c_int32))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


@dataclass(frozen=True, slots=True)
class Walls:
    """What `confine` puts up, made once and used for every process."""

    landlock_abi: int
    libraries: tuple[str, ...]
    filter: bytes  # seccomp
    capabilities: int  # how many the kernel knows
    uid: int | None  # the user to become; None to stay


def missing() -> list[str]:
    """What this machine lacks for containing a program, in words; empty where it has all."""
    if sys.platform != "linux":
        return [f"Linux (this is {sys.platform})"]
    machine = platform.machine()
    if machine not in seccomp.AUDIT_ARCH or sys.maxsize < 2**32:
        known = " or ".join(seccomp.AUDIT_ARCH)
        return [f"a 64-bit Python on {known} (this is {machine}), whose system calls are known"]
    lacks = []
    try:
        landlock_abi()
    except OSError as error:
        lacks.append(
            f"Landlock (Linux 5.13 or newer, with `landlock` among the boot parameter `lsm=`): {error.strerror}"
        )
    get_action_available, kill_process = 2, ctypes.c_uint32(0x80000000)
    if _libc.syscall(seccomp.SECCOMP[machine], get_action_available, 0, ctypes.byref(kill_process)) != 0:
        lacks.append(f"seccomp filters (CONFIG_SECCOMP_FILTER): {os.strerror(ctypes.get_errno())}")
    return lacks


def landlock_abi() -> int:
    """Version of the kernel's Landlock, from 1. Raises OSError where there is none, or where it is turned off."""
    version = 1
    return _syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(version))


def libraries() -> tuple[str, ...]:
    """The folders that hold Python's own libraries, and the system's shared objects under them."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    if directory := sysconfig.get_config_var("LIBDIR"):  # a shared libpython; where there is none, nothing is there
        paths |= {str(path) for path in Path(directory).glob("libpython*.so*")}
    found = {os.path.realpath(path) for path in (*paths, *_SYSTEM_LIBRARIES) if Path(path).exists()}
    return tuple(sorted(found))


def walls(*, uid: int | None) -> Walls:
    """The walls for this machine. Raises OSError where it has no Landlock."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    return Walls(landlock_abi(), libraries(), seccomp.program(), last + 1, uid)


def isolate() -> bool:
    """A network, System V IPC and host name of its own for this process and its children, where that is permitted.

    It is the second wall around the network, never the only one. This process must have one thread.
    """
    clone_newuts, clone_newipc, clone_newuser, clone_newnet = 0x04000000, 0x08000000, 0x10000000, 0x40000000
    flags = clone_newnet | clone_newipc | clone_newuts
    if _libc.unshare(flags) == 0:
        return True
    uid, gid = os.getuid(), os.getgid()
    if uid == 0 or _libc.unshare(flags | clone_newuser) != 0:
        return False
    with suppress(OSError):  # without a map everything belongs to nobody, which loses only ownership
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    return True


def die_with(parent: int) -> None:
    """The kernel kills this process when its parent dies."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(1)


def confine(walls: Walls, scratch: int, *, memory_bytes: int, cpu_seconds: int, parent: int) -> None:
    """Contain this process, which has one thread and no open files but its streams and `scratch`, a folder.

    `memory_bytes` is added to the address space that it has. Raises OSError when a wall cannot be put up: the process
    must then run nothing.
    """
    os.setsid()
    _limit(memory_bytes, cpu_seconds)
    os.fchdir(scratch)
    _drop_privileges(walls, scratch)
    die_with(parent)  # behind the change of user, which clears it
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _landlock(walls, scratch)
    os.close(scratch)
    seccomp.install(_libc, walls.filter)


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + memory_bytes,
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: FILE_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)  # noqa: PLW2901
        resource.setrlimit(limit, (value, value))


def _drop_privileges(walls: Walls, scratch: int) -> None:
    for capability in range(walls.capabilities):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused to an ordinary user, who has none to keep
    pr_cap_ambient_clear_all = 4
    _check(_libc.prctl(_PR_CAP_AMBIENT, pr_cap_ambient_clear_all, 0, 0, 0))
    if walls.uid is not None:
        os.fchown(scratch, walls.uid, walls.uid)
        os.setgroups([])
        os.setresgid(walls.uid, walls.uid, walls.uid)
        os.setresuid(walls.uid, walls.uid, walls.uid)
    header = _CapabilityHeader(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    _syscall(_CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref((_Capabilities * 2)()))
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def _landlock(walls: Walls, scratch: int) -> None:
    abi = walls.landlock_abi
    all_files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    net = 0b11 if abi >= 4 else 0  # TCP: bind, connect
    scoped = 0b11 if abi >= 6 else 0  # abstract UNIX sockets, signals
    rules = _Rules(all_files, net, scoped)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _syscall(_LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        _allow(ruleset, scratch, _SCRATCH & all_files)
        for path, access in (*((path, _LIBRARY) for path in walls.libraries), *_DEVICES.items()):
            try:
                file = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:  # what is not there, or not for this user, need not be allowed
                continue
            is_folder = Path(path).is_dir()
            _allow(ruleset, file, access & all_files & (-1 if is_folder else ~_READ_DIR))
            os.close(file)
        log_off = 1 if abi >= 7 else 0  # what is refused would fill the audit log
        _syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(log_off))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, file: int, access: int) -> None:
    path_beneath = 1
    _syscall(_LANDLOCK_ADD, ruleset, path_beneath, ctypes.byref(_Beneath(access, file)), ctypes.c_uint32(0))


def _syscall(number: int, *arguments: object) -> int:
    return _check(_libc.syscall(ctypes.c_long(number), *arguments))


def _check(returned: int) -> int:
    if returned < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return returned

"""Programs that try to get out, to look out, or to take too much. Each prints ESCAPED when its attempt succeeded.

Names between @ are filled in by the test (`World.names`). `expect` lists the statuses that are right; where the attempt
is refused and caught, the program ends by itself and that is "ok".
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hostile:
    name: str
    code: str
    expect: tuple[str, ...] = ("ok",)
    works_outside: bool = False  # harmless, and an uncontained Python prints ESCAPED: the attempt is a real one


PRELUDE = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(action, *arguments):
    try:
        got = action(*arguments)
    except (OSError, RuntimeError, ImportError, ValueError) as error:
        print("refused:", type(error).__name__)
        return None
    print("ESCAPED", got)
    return got
def raw(number, *arguments):
    ctypes.set_errno(0)
    got = libc.syscall(ctypes.c_long(number), *arguments)
    if got >= 0 or ctypes.get_errno() != errno.EPERM:
        print("ESCAPED", number, got, ctypes.get_errno())
def read(path):
    with open(path, "rb") as file:
        return file.read(10000)
def write(path, mode="w"):
    with open(path, mode) as file:
        return file.write("OVERWRITTEN")
"""

FILES = [
    Hostile("reads a file in /tmp", "attempt(read, '@CANARY@')", works_outside=True),
    Hostile("reads a file in the home folder", "attempt(read, '@HOME@')", works_outside=True),
    Hostile("reads a file of the repository", "attempt(read, '@REPO@/pyproject.toml')", works_outside=True),
    Hostile("reads /etc/passwd", "attempt(read, '/etc/passwd')", works_outside=True),
    Hostile(
        "lists folders",
        "for f in '/', '/tmp', '/etc', '..', '@REPO@', '/proc', '/dev': attempt(os.listdir, f)",
        works_outside=True,
    ),
    Hostile(
        "walks up from its folder by file descriptors",
        """
up = os.open(".", os.O_RDONLY)
for _ in range(6):
    up = os.open("..", os.O_RDONLY | os.O_PATH, dir_fd=up)
attempt(lambda: os.open("@CANARY@"[1:], os.O_RDONLY, dir_fd=up))
attempt(os.listdir, up)
""",
    ),
    Hostile(
        "reads environments of all processes",
        """
import itertools
for pid in itertools.chain(["self", "@PARENT@", "@ZYGOTE@", os.getppid()], range(1, 400)):
    try:
        print("ESCAPED", read(f"/proc/{pid}/environ"))
    except OSError:
        pass
""",
        works_outside=True,
    ),
    Hostile(
        "reads memory and maps",
        """
for pid in "self", "@PARENT@", "@ZYGOTE@":
    for name in "mem", "maps", "cmdline", "status", "auxv", "stack":
        attempt(lambda: open(f"/proc/{pid}/{name}", "rb"))
""",
        works_outside=True,
    ),
    Hostile("writes its own memory by a file", "attempt(lambda: open('/proc/self/mem', 'r+b'))", works_outside=True),
    Hostile(
        "goes through files that others have open",
        """
for pid in "self", "@PARENT@", "@ZYGOTE@":
    attempt(os.listdir, f"/proc/{pid}/fd")
    attempt(read, f"/proc/{pid}/root@CANARY@")
    attempt(os.readlink, f"/proc/{pid}/cwd")
""",
        works_outside=True,
    ),
    Hostile(
        "overwrites a file",
        """
for mode in "w", "a", "r+":
    attempt(write, "@CANARY@", mode)
attempt(os.truncate, "@CANARY@", 0)
for flags in os.O_RDONLY | os.O_TRUNC, os.O_WRONLY, os.O_RDWR | os.O_CREAT:
    attempt(os.open, "@CANARY@", flags)
""",
    ),
    Hostile(
        "removes and renames a file",
        """
attempt(os.unlink, "@CANARY@")
attempt(os.rename, "@CANARY@", "@CANARY@2")
attempt(os.rename, "@CANARY@", "mine")
attempt(os.replace, "mine", "@CANARY@")
""",
    ),
    Hostile(
        "changes a file's mode, owner, times and attributes",
        """
attempt(os.chmod, "@CANARY@", 0o777)
attempt(os.chown, "@CANARY@", 65534, 65534)
attempt(os.utime, "@CANARY@", (0, 0))
attempt(os.setxattr, "@CANARY@", "user.escaped", b"1")
file = os.open("@CANARY@", os.O_PATH)
attempt(os.chmod, file, 0o777)
attempt(os.utime, file, (0, 0))
""",
    ),
    Hostile(
        "reads by a symbolic link", "attempt(os.symlink, '@CANARY@', 'link'); attempt(read, 'link')", works_outside=True
    ),
    Hostile("reads by a hard link", "attempt(os.link, '@CANARY@', 'link'); attempt(read, 'link')"),
    Hostile(
        "writes to Python's libraries",
        """
import site, sysconfig, sympy
for folder in {*site.getsitepackages(), *sysconfig.get_paths().values()}:
    attempt(write, f"{folder}/dsmath_escaped.pth")
attempt(write, sympy.__file__, "a")
""",
    ),
    Hostile(
        "writes beside its folder",
        """
for folder in "..", "/tmp", "/dev/shm", "/var/tmp", "/run", "@REPO@", os.path.expanduser("~root"), "/":
    attempt(write, f"{folder}/dsmath_escaped")
""",
    ),
    Hostile(
        "writes to devices",
        """
for device in "/dev/mem", "/dev/kmsg", "/dev/port", "/dev/tty", "/dev/console", "/dev/vda", "/dev/sda", "/dev/ptmx":
    attempt(lambda: open(device, "r+b", buffering=0))
""",
    ),
    Hostile(
        "writes to the kernel's switches",
        """
for path in "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/proc/self/oom_score_adj":
    attempt(lambda: open(path, "r+"))
""",
    ),
    Hostile(
        "hides a file without a name",
        """
for folder in ".", "/tmp":
    attempt(os.open, folder, os.O_TMPFILE | os.O_RDWR)
""",
    ),
    Hostile(
        "makes special files",
        """
import stat
attempt(os.mkfifo, "fifo")
attempt(os.mknod, "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
attempt(os.mkdir, "folder")
""",
    ),
    Hostile(
        "leaves a file that runs as its owner",
        """
for mode in 0o4777, 0o2777, 0o6755:
    attempt(os.open, f"file{mode}", os.O_CREAT | os.O_WRONLY, mode)
""",
    ),
    Hostile(
        "deletes its folder",
        """
import shutil
shutil.rmtree(os.getcwd(), ignore_errors=True)
attempt(os.rmdir, os.getcwd())
attempt(os.rename, os.getcwd(), "/tmp/dsmath_escaped")
""",
    ),
    Hostile("watches files", "raw(253); raw(294, 0); raw(300, 0, 0)"),
]

PROCESSES = [
    Hostile("forks", "pid = os.fork()\nprint('ESCAPED', pid)\nif not pid: os._exit(0)", ("error",), works_outside=True),
    Hostile(
        "bombs with forks",
        """
while True:
    try:
        os.fork()
        print("ESCAPED")
    except OSError:
        pass
""",
        ("time",),
    ),
    Hostile(
        "starts a shell",
        """
import subprocess
attempt(lambda: subprocess.run(["/bin/sh", "-c", "echo out"], capture_output=True).stdout)
attempt(lambda: os.posix_spawn("/bin/sh", ["sh", "-c", "echo @TOKEN@"], {}))
""",
        works_outside=True,
    ),
    Hostile("becomes a shell", "os.execv('/bin/sh', ['sh', '-c', 'echo ESCAPED'])", ("error",), works_outside=True),
    Hostile(
        "calls system of libc",
        "print('ESCAPED' if libc.system(b'echo ESCAPED') == 0 else 'refused')",
        works_outside=True,
    ),
    Hostile(
        "uses multiprocessing",
        """
import multiprocessing
attempt(lambda: multiprocessing.get_context("fork").Process(target=print).start())
""",
        works_outside=True,
    ),
    Hostile(
        "bombs with threads",
        """
import threading, time
while True:
    attempt(threading.Thread(target=time.sleep, args=(100,)).start)
    time.sleep(0.05)
""",
        ("time",),
    ),
    Hostile(
        "leaves a process behind",
        """
for flags in 17, 0x00000100 | 17, 0x10000000 | 17, 0x20000000 | 17:
    if libc.syscall(56, flags, 0, 0, 0, 0) == 0:
        os.execv("/bin/sleep", ["sleep", "@TOKEN@"])
""",
    ),
    Hostile("clones by raw calls", "raw(57); raw(58); raw(435, bytes(88), 88)"),
    Hostile(
        "kills others",
        """
import signal
for pid in @SLEEPER@, @PARENT@, @ZYGOTE@, os.getppid(), -1, 0, -@SLEEPER@:
    attempt(os.kill, pid, signal.SIGKILL)
for group in 0, @SLEEPER@, @PARENT@:
    attempt(os.killpg, group, signal.SIGKILL)
attempt(os.pidfd_open, @SLEEPER@)
raw(234, @SLEEPER@, @SLEEPER@, 9)
raw(200, @SLEEPER@, 9)
raw(129, @SLEEPER@, 9, bytes(128))
""",
    ),
    Hostile(
        "has the kernel signal another when output is read",
        """
import fcntl
for file in 1, 2:
    attempt(fcntl.fcntl, file, fcntl.F_SETOWN, @SLEEPER@)
    attempt(fcntl.fcntl, file, 10, 9)
    attempt(fcntl.fcntl, file, fcntl.F_SETFL, os.O_ASYNC)
    attempt(fcntl.ioctl, file, 0x8901, bytes(4))
    attempt(fcntl.ioctl, file, 0x5452, bytes([1, 0, 0, 0]))
""",
    ),
    Hostile(
        "starves another",
        """
import resource
attempt(os.setpriority, os.PRIO_PROCESS, @SLEEPER@, 19)
attempt(os.sched_setaffinity, @SLEEPER@, {0})
attempt(resource.prlimit, @SLEEPER@, resource.RLIMIT_CPU, (1, 1))
attempt(resource.prlimit, @SLEEPER@, resource.RLIMIT_CPU)
""",
    ),
    Hostile(
        "traces and reads another process",
        """
for pid in @SLEEPER@, @PARENT@, @ZYGOTE@:
    raw(101, 16, pid, 0, 0)
    raw(101, 0x4206, pid, 0, 0)
    raw(310, pid, 0, 0, 0, 0, 0)
    raw(311, pid, 0, 0, 0, 0, 0)
raw(101, 0, 0, 0, 0)
raw(312, @SLEEPER@, os.getpid(), 0, 0, 0)
""",
    ),
    Hostile("outlives its parent", "raw(157, 1, 0, 0, 0, 0)\nraw(112)\nraw(109, 0, 0)"),
]

NETWORK = [
    Hostile(
        "connects by TCP",
        """
import socket
attempt(lambda: socket.create_connection(("127.0.0.1", @PORT@), 1))
attempt(lambda: socket.create_connection(("localhost", @PORT@), 1))
""",
        works_outside=True,
    ),
    Hostile(
        "sends by UDP",
        """
import socket
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"@TOKEN@", ("127.0.0.1", @UDP@)))
""",
        works_outside=True,
    ),
    Hostile(
        "connects by an abstract UNIX socket",
        """
import socket
attempt(lambda: socket.socket(socket.AF_UNIX).connect(b"\\x00" + b"@ABSTRACT@"))
""",
        works_outside=True,
    ),
    Hostile("listens", "import socket\nattempt(lambda: socket.create_server(('127.0.0.1', 0)))", works_outside=True),
    Hostile("pairs sockets", "import socket\nattempt(socket.socketpair)", works_outside=True),
    Hostile("fetches a page", "import urllib.request\nattempt(urllib.request.urlopen, 'http://127.0.0.1:@PORT@/')"),
    Hostile(
        "talks to the kernel by sockets",
        """
import socket
for family in range(46):
    for kind in 1, 2, 3, 5:
        try:
            print("ESCAPED", socket.socket(family, kind))
        except OSError:
            pass
""",
        works_outside=True,
    ),
    Hostile("uses io_uring", "raw(425, 8, bytes(120)); raw(426); raw(427)"),
]

PRIVILEGES = [
    Hostile(
        "becomes root",
        """
for call in os.setuid, os.setgid, os.seteuid, os.setegid:
    attempt(call, 0)
attempt(os.setresuid, 0, 0, 0)
attempt(os.setgroups, [0])
raw(126, 0, 0); raw(125, 0, 0)
""",
    ),
    Hostile(
        "changes the root and mounts",
        """
attempt(os.chroot, ".")
raw(165, b"none", b".", b"tmpfs", 0, 0); raw(166, b"/", 2); raw(155, b".", b".")
for number in range(428, 434):
    raw(number, 0, 0, 0, 0, 0)
raw(442, 0, 0, 0, 0, 0); raw(304, 0, 0, 0); raw(303, 0, 0, 0, 0, 0)
""",
    ),
    Hostile(
        "unshares and joins namespaces",
        """
for flag in 0x10000000, 0x20000000, 0x40000000, 0x00020000, 0x02000000:
    raw(272, flag)
raw(308, 0, 0)
""",
    ),
    Hostile(
        "runs a program from memory",
        """
raw(319, b"x", 0)
raw(447, 0)
raw(322, 0, b"", 0, 0, 0x1000)
raw(59, b"/bin/sh", 0, 0)
""",
    ),
    Hostile(
        "uses the kernel's keys",
        "raw(248, b'user', b'x', b'x', 1, -3); raw(249, b'user', b'x', 0, 0); raw(250, 0, -3, 0)",
    ),
    Hostile(
        "uses bpf, perf, userfaultfd, modules, kexec, reboot",
        """
for number in 321, 298, 323, 175, 313, 176, 246, 320, 169, 103, 164, 227, 305, 170, 171, 134, 135, 167, 168, 163, 310:
    raw(number, 0, 0, 0, 0, 0)
""",
    ),
    Hostile(
        "uses queues and memory shared by all",
        """
for number in 29, 30, 31, 64, 65, 66, 68, 69, 70, 71, 240, 241:
    raw(number, 0, 0, 0, 0, 0)
""",
    ),
    Hostile(
        "makes every other call",
        """
ALLOWED = {@ALLOWED@}
for number in {*range(600)} - ALLOWED - {335, 336}:  # uretprobe and uprobe, which the kernel answers with SIGILL
    raw(number, -1, -1, -1, -1, -1, -1)
""",
    ),
    Hostile("calls by the x32 numbers", "libc.syscall(ctypes.c_long(0x40000000 + 39))\nprint('ESCAPED')", ("killed",)),
    Hostile(
        "calls as a 32-bit program",
        """
import mmap
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(bytes([0xB8, 20, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, 20 (getpid); int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
print("ESCAPED")
""",
        ("killed",),
    ),
    Hostile(
        "loads a library that it wrote",
        """
with open("own.so", "wb") as file:
    file.write(read_all(libc_path))
own = ctypes.CDLL(os.path.join(os.getcwd(), "own.so"))
print("ESCAPED" if own.system(b"echo ESCAPED") == 0 else "refused")
""".replace(
            "read_all(libc_path)",
            "open(next(p for p in ('/lib/x86_64-linux-gnu/libc.so.6', '/lib64/libc.so.6', "
            "'/lib/aarch64-linux-gnu/libc.so.6') if os.path.exists(p)), 'rb').read()",
        ),
        ("ok", "killed"),
    ),
    Hostile(
        "raises its limits",
        """
import resource
for name in dir(resource):
    if name.startswith("RLIMIT_"):
        attempt(resource.setrlimit, getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
""",
    ),
]

LIMITS = [
    Hostile("takes memory as bytes", "x = b'x' * (1 << 33)", ("memory",)),
    Hostile("takes memory as a list", "x = [0]\nwhile True: x += x", ("memory",)),
    Hostile(
        "takes memory as objects", "x = []\nwhile True: x.append([object() for _ in range(1000)])", ("memory", "time")
    ),
    Hostile("takes memory with numpy", "import numpy as np\nx = [np.zeros(10**6) for _ in range(10**4)]", ("memory",)),
    Hostile(
        "takes memory by maps", "import mmap\nx = [mmap.mmap(-1, 1 << 26) for _ in range(1000)]", ("error", "memory")
    ),
    Hostile("loops", "while True: pass", ("time",)),
    Hostile("loops in C", "x = 10 ** 10 ** 8", ("time",)),
    Hostile("loops in sympy", "import sympy\nsympy.factorial(10**7)", ("time", "memory")),
    Hostile("loops in a pattern", "import re\nre.match('(a+)+b', 'a' * 60)", ("time",)),
    Hostile("sleeps", "import time\ntime.sleep(1000)", ("time",)),
    Hostile(
        "ignores signals and exceptions",
        """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    try:
        while True: pass
    except BaseException:
        pass
""",
        ("time",),
    ),
    Hostile("prints for ever", "while True: print('x' * 1000)", ("output",)),
    Hostile("prints for ever to standard error by its number", "while True: os.write(2, b'x' * 1000)", ("output",)),
    Hostile("prints one long line", "print('x' * 10**7)", ("output",)),
    Hostile("prints bytes that are no text", "os.write(1, bytes(range(256)) * 3)"),
    Hostile("prints digits of a huge number", "print(10 ** 10 ** 6)", ("error", "time")),
    Hostile(
        "fills the disk with a file",
        "with open('big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))",
        ("error",),
    ),
    Hostile(
        "fills the disk with many files",
        """
for i in range(10**9):
    with open(f"file{i}", "wb") as f:
        f.write(bytes(1 << 16))
""",
        ("output",),
    ),
    Hostile("makes files without content", "for i in range(10**9): open(f'file{i}', 'w').close()", ("output",)),
    Hostile("opens files without end", "x = [open('/dev/null') for _ in range(10**5)]", ("error",)),
    Hostile(
        "recurses", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()\nf()", ("memory", "killed", "time")
    ),
    Hostile(
        "recurses in C",
        "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6): x = [x]\nrepr(x)",
        ("killed", "memory", "time", "output"),
    ),
    Hostile("crashes", "ctypes.string_at(0)", ("killed",)),
    Hostile("aborts", "os.abort()", ("killed",)),
]

PROTOCOL = [
    Hostile(
        "writes to every file that is open",
        """
for file in range(1024):
    if file not in (1, 2):
        try:
            os.write(file, b"ended 0 0")
            print("ESCAPED" if file else "nothing", file)
        except OSError:
            pass
""",
    ),
    Hostile(
        "looks for the zygote's socket",
        """
import gc, socket
for thing in gc.get_objects():
    if isinstance(thing, socket.socket):
        attempt(thing.send, b"ended 0 0")
import ctypes
raw(46, 3, 0, 0); raw(47, 3, 0, 0); raw(44, 3, b"x", 1, 0, 0, 0)
""",
    ),
    Hostile("closes its output and goes on", "os.closerange(0, 100)\nwhile True: pass", ("time",)),
    Hostile("ends at once and says that all is well", "os._exit(0)"),
    Hostile("ends at once with a code", "os._exit(3)", ("error",)),
    Hostile("pretends that it was not confined", "os._exit(81)", ("killed",)),
    Hostile("replaces the way to end", "os._exit = lambda code: None\nos.kill = os._exit", ("ok", "killed")),
    Hostile(
        "hangs when it ends",
        """
import atexit, sys
class Stuck:
    def __del__(self):
        while True: pass
stuck = Stuck()
@atexit.register
def wait():
    while True: pass
""",
    ),
    Hostile(
        "hangs when its output is flushed",
        """
import sys
class Stuck:
    def write(self, text): pass
    def flush(self):
        while True: pass
sys.stdout = sys.stderr = Stuck()
""",
        ("time",),
    ),
    Hostile(
        "raises what cannot be printed",
        """
class Bad(Exception):
    def __str__(self): raise SystemError("no")
    __repr__ = __str__
raise Bad
""",
        ("error",),
    ),
    Hostile("reads its input", "import sys\nprint(repr(sys.stdin.read()))\ninput()", ("error",)),
    Hostile(
        "breaks Python for others",
        """
import builtins, json, sys, sympy, numpy
sympy.solve = numpy.array = json.loads = lambda *a, **k: "ESCAPED"
builtins.print = builtins.len = builtins.compile = None
sys.modules.clear()
sys.path[:] = ["@CANARY@"]
os.environ["PATH"] = "ESCAPED"
""",
        ("ok", "error", "killed"),
    ),
]

HOSTILE = [*FILES, *PROCESSES, *NETWORK, *PRIVILEGES, *LIMITS, *PROTOCOL]

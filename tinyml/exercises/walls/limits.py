"""What a student's code may use: time, memory, and files in its scratch folder."""
import ctypes
import os
import signal
import sys
from contextlib import suppress

try:
    import resource
except ImportError:    # Windows: the parent's clock remains, and the refusals below
    resource = None

WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
PATHS = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
         "os.chown", "os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"}
NEVER = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "os.kill",
         "os.killpg", "os.startfile", "subprocess.", "socket.", "ctypes.", "signal.", "pty.",
         "ftplib.", "smtplib.", "urllib.", "http.", "winreg.", "msvcrt.", "syslog.", "sqlite3.",
         "_thread.start", "sys._current", "sys.settrace", "sys.setprofile", "gc.get_objects",
         "gc.get_referents")


def lock(limits):
    """Set the limits {seconds, megabytes} of this process, for good.

    Seconds are of computing, so that a busy machine fails nobody. What the system cannot limit, it
    does not.
    """
    if resource is not None:
        _limit(resource.RLIMIT_CPU, int(limits["seconds"]) + int(sum(os.times()[:2])) + 1)
        _limit(resource.RLIMIT_AS, limits["megabytes"] * 2 ** 20)
        _limit(resource.RLIMIT_FSIZE, 16 * 2 ** 20)
        _limit(resource.RLIMIT_CORE, 0)
    sys.addaudithook(_refusing(os.path.realpath(os.getcwd()), NEVER, frozenset(PATHS)))


def end_in_time(seconds, parent):
    """Have the system end this process after so many seconds on the clock, or with its parent."""
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(seconds) + 1)
    end_with(parent)


def end_with(parent):
    """Have the system end this process with its parent, of that number.

    So no child is left, also if the parent was killed and nobody waits for it.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)    # PR_SET_PDEATHSIG
    if hasattr(os, "fork") and parent != os.getppid():    # it has died already
        os._exit(1)


def _limit(kind, value):
    try:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        pass    # not on this system


def _refusing(scratch, never, paths):
    """An audit hook (PEP 578): once it is there, nobody can take it away.

    All that it looks up is its own, so that nobody can change it either.
    """
    realpath, decode, absolute, null, below = (
        os.path.realpath, os.fsdecode, os.path.isabs, os.devnull, scratch + os.sep)
    writing = WRITING

    def inside(path):
        path = decode(path)
        if path == null:
            return True
        if not absolute(path):    # it might be below another open folder
            return False
        path = realpath(path)
        return path == scratch or path.startswith(below)

    def hook(event, arguments):
        if event.startswith(never):
            raise PermissionError(f"an answer must not use {event}")
        if event == "open":
            path, mode, flags = arguments
            named = not isinstance(path, int) and path is not None
            if named and flags & writing and not inside(path):
                raise PermissionError("an answer must not write files")
        elif event in paths and not all(
                inside(path) for path in arguments[:2] if isinstance(path, (str, bytes))):
            raise PermissionError(f"an answer must not use {event}")
    return hook

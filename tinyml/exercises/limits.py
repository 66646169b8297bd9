"""What a student's code may use: time, memory, and no file, process or connection outside its scratch folder."""
import os
import sys

try:
    import resource
except ImportError:    # Windows: the parent's clock remains, and the refusals below
    resource = None

WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
PATHS = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod", "os.chown",
         "os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile"}
NEVER = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.spawn", "os.posix_spawn", "os.kill", "os.killpg",
         "os.startfile", "subprocess.", "socket.", "ctypes.", "signal.", "pty.", "ftplib.", "smtplib.", "urllib.",
         "http.", "winreg.", "msvcrt.", "syslog.", "_thread.start", "sys._current_frames")


def lock(limits):
    """Set the limits {seconds, megabytes} of this process, for good.

    Seconds are of computing, so that a busy machine fails nobody. What the system cannot limit, it does not.
    """
    if resource is not None:
        _limit(resource.RLIMIT_CPU, int(limits["seconds"]) + int(sum(os.times()[:2])) + 1)
        _limit(resource.RLIMIT_AS, limits["megabytes"] * 2 ** 20)
        _limit(resource.RLIMIT_FSIZE, 16 * 2 ** 20)
        _limit(resource.RLIMIT_CORE, 0)
    sys.addaudithook(_refusing(os.path.realpath(os.getcwd())))


def _limit(kind, value):
    try:
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
    except (ValueError, OSError):
        pass    # not on this system


def _refusing(scratch):
    """An audit hook (PEP 578): once it is there, nobody can take it away."""
    def inside(path):
        path = os.path.realpath(os.fsdecode(path))
        return path == os.devnull or path == scratch or path.startswith(scratch + os.sep)

    def hook(event, arguments):
        if event.startswith(NEVER):
            raise PermissionError(f"an answer must not use {event}")
        if event == "open":
            path, mode, flags = arguments
            if not isinstance(path, int) and path is not None and flags & WRITING and not inside(path):
                raise PermissionError("an answer must not write files")
        elif event in PATHS and not all(inside(p) for p in arguments[:2] if isinstance(p, (str, bytes))):
            raise PermissionError(f"an answer must not use {event}")
    return hook

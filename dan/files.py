"""Writing files so that a reader, or a crash, never meets a half-written one; locking folders."""

import hashlib
import os
import re
import shutil
import socket
import stat
from contextlib import contextmanager, suppress
from pathlib import Path

from dan.errors import UserError

try:
    import fcntl
except ImportError:  # Windows: two trainings of one folder are not told from each other
    fcntl = None

PARTIAL = ".partial"


class InUseError(UserError):
    """A folder that another process holds."""


@contextmanager
def write_atomically(path):
    """A binary file to write `path` through: a temporary name beside it, flushed, then renamed.

    Makes the folder. Raises UserError, naming the file, if it cannot be written; an existing file
    then stays as it was.
    """
    temporary = path.with_name(f".{mark(path)}-{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with open(temporary, "xb") as file:  # never through a link that lies in wait there
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        flush_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path, content):
    """Write bytes to `path` at once, never in part; raises UserError as `write_atomically` does."""
    with write_atomically(path) as file:
        file.write(content)


def cannot_write(path, error):
    """The UserError for an OSError: the file, what the system says, and the free space."""
    place = next(parent for parent in path.resolve().parents if parent.exists())
    free = shutil.disk_usage(place).free
    return UserError(f"cannot write {path}: {error.strerror or error} ({free:,} bytes are free on the disk)")


def flush_folder(folder):
    """Have the names in a folder written to the disk, so that a rename outlasts a power cut."""
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some file systems cannot do this
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def mark(path):
    """The common part of this file's temporary names on this machine; short for any name."""
    name = os.fsencode(path.name) + b"/" + os.fsencode(socket.gethostname())
    return hashlib.sha256(name).hexdigest()[:16]


def remove_leftovers(path):
    """Remove partial copies of this file left by killed processes of this machine."""
    pattern = re.compile(rf"\.{mark(path)}-([0-9]+){re.escape(PARTIAL)}")
    for name in os.listdir(path.parent):
        leftover = pattern.fullmatch(name)
        # One of this process's own number is of an earlier process that had the same number.
        if leftover and (int(leftover[1]) == os.getpid() or not is_alive(int(leftover[1]))):
            path.with_name(name).unlink(missing_ok=True)


def is_alive(process):
    """Whether there is a process of that number."""
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def check_regular(path):
    """Raise UserError unless there is a regular file: opening a pipe would wait for ever."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path} is missing")
    if not path.is_file():
        raise UserError(f"{path} is unreadable (not a regular file)")


@contextmanager
def locked(folder, waits=False):
    """Hold the folder for this process alone; the system lets go when the process dies.

    Raises InUseError if another process holds it, or waits for that one to let go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise UserError(f"{path} is not a regular file; remove it")
    with open(path, "ab") as file:  # nothing is written: a text of a person stays as it is
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InUseError(f"{folder} is in use by another process; wait for it, or choose another folder") from None
        except OSError as error:
            raise cannot_write(path, error) from error
        yield

"""Writing files so that a reader, or a crash, never meets a half-written one; locking folders."""

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
from contextlib import contextmanager
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
def write_atomically(path, size=None):
    """A binary file to write `path` through: a temporary name beside it, flushed, then renamed.

    Makes the folder. size: the bytes that there are to write, where that is known. Raises
    UserError, naming the file and what is missing, if it cannot be written; an existing file then
    stays as it was.
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
        raise cannot_write(path, error, temporary, size) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path, content):
    """Write bytes to `path` at once, never in part; raises UserError as `write_atomically` does."""
    with write_atomically(path, len(content)) as file:
        file.write(content)


def cannot_write(path, error, written_to, size=None):
    """The UserError for an OSError: the file, what the system says, and how much was missing."""
    written = written_to.stat().st_size if written_to.exists() else 0
    place = next(parent for parent in path.resolve().parents if parent.exists())
    amount = f"{written:,} of {size:,}" if size else f"{written:,}"
    return UserError(
        f"cannot write {path}: {error.strerror or error} ({amount} bytes written, "
        f"{shutil.disk_usage(place).free:,} free on the disk)"
    )


def flush_folder(folder):
    """Have the names in a folder written to the disk, so that a rename outlasts a power cut."""
    if os.name == "nt":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems know no such thing
            raise
    finally:
        os.close(descriptor)


def mark(path):
    """What the temporary names of this file on this machine have in common, however long its own."""
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
        raise UserError(f"{path} is unreadable (no regular file)")


@contextmanager
def locked(folder, waits=False):
    """Hold the folder for this process alone; the system lets go when the process dies.

    Raises InUseError, naming the process that holds it, or waits for that one to let go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise UserError(f"{path} is not a regular file; remove it")
    with open(path, "a+b", opener=open_no_link) as file:
        try:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            if process_in(file) is not None:  # a text that a person wrote stays as it is
                file.truncate(0)
                file.write(str(os.getpid()).encode())
                file.flush()
        except BlockingIOError:
            raise InUseError(
                f"{folder} is in use by process {process_in(file) or 'unknown'}; wait for it, or choose another folder"
            ) from None
        except OSError as error:
            raise cannot_write(path, error, path) from error
        yield


def open_no_link(path, flags):
    """Open a file as `open` does, but none that a link leads to, where the system can tell."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def process_in(file):
    """The process number that is all of a file, "" if it is empty; otherwise None."""
    file.seek(0)
    text = file.read(30)
    return text.decode() if re.fullmatch(rb"[0-9]{0,20}", text) else None

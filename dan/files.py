"""Writing files so that a reader, or a crash, never meets a half-written one; locking folders."""

import errno
import os
import re
import shutil
import socket
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
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}-{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path)
        with open(temporary, "wb") as file:
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
    return UserError(f"cannot write {path}: {error.strerror or error} ({amount} bytes written, "
                 f"{shutil.disk_usage(place).free:,} free on the disk)")


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


def remove_leftovers(path):
    """Remove what processes of this machine that were killed left half-written of this very file.
    """
    host = re.escape(socket.gethostname())
    pattern = re.compile(rf"\.{re.escape(path.name)}\.{host}-([0-9]+){re.escape(PARTIAL)}")
    for name in os.listdir(path.parent):
        leftover = pattern.fullmatch(name)
        if leftover and not is_alive(int(leftover[1])):
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
    if path.exists():
        check_regular(path)
    with open(path, "a+", encoding="utf-8") as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            except BlockingIOError:
                file.seek(0)
                raise InUseError(f"{folder} is in use by process {file.read() or 'unknown'}; "
                            "wait for it, or choose another folder") from None
        try:
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
        except OSError as error:
            raise cannot_write(path, error, path) from error
        yield

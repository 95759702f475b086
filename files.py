"""Writing files so that a reader, or a crash, never meets a half-written one."""

import os
from contextlib import contextmanager

from faults import Fault


@contextmanager
def write_atomically(path):
    """A binary file to write `path` through: a temporary name beside it, flushed, then renamed.

    Makes the folder. Raises Fault, naming the file, if it cannot be written; an existing file
    then stays as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise Fault(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)

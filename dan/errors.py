"""Errors that a person can mend: one line on standard error and an exit code, never a traceback.

Exit codes of every script: 0 done, 1 a fault in files or data, 2 a fault in the configuration or
on the command line, 130 stopped by Ctrl-C, 143 stopped by SIGTERM. A bug keeps its traceback.
"""

import os
import signal
import sys
from contextlib import contextmanager, suppress


class UserError(Exception):
    """Something a user can mend. The message names the thing and the cure, in one line."""

    exit_code = 1


class ConfigurationError(UserError):
    """A wrong key, value, preset or option."""

    exit_code = 2


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a script as cleanly as Ctrl-C does."""


def run(main):
    """Call `main()`; a `UserError` ends the process with one line, a bug with a traceback."""
    signal.signal(signal.SIGTERM, terminate)
    prepare_streams()
    try:
        main()
        sys.stdout.flush()
        ignore_signals()
    except UserError as error:
        end(error, error.exit_code)
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        end("not enough memory; make the data, the batch or the network smaller", 1)
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        silence(sys.stdout)
        sys.exit(1)
    except OSError as error:
        # The file system says no (missing folder, no permission, a full disk): not a bug.
        if error.filename is None:
            silence(sys.stdout)
        end(error, 1)
    except KeyboardInterrupt as stop:
        end(str(stop) or stopped_by(stop), 143 if isinstance(stop, Terminated) else 130)


def end(message, exit_code):
    """End the process with one line on standard error."""
    ignore_signals()
    print(in_words(message), file=sys.stderr)
    sys.exit(exit_code)


def is_lack_of_memory(error):
    """Whether an error says so; torch has no error of its own for it on a CPU."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error)


def ignore_signals():
    """All is done and said: a Ctrl-C while Python ends would end it in another way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def in_words(error):
    """The line that is printed for a UserError, an OSError, or a message."""
    if isinstance(error, OSError):
        error = f"{error.filename or 'standard output'}: {error.strerror or error}"
    return " ".join(f"error: {error}".split())


def prepare_streams():
    """Let a script print where the terminal lacks characters, or where a stream is closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # the next file that is opened would get its number
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def silence(stream):
    """Send what is left in a stream that nobody takes to nowhere, or Python's exit would fail."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def terminate(*_):
    raise Terminated


def stopped_by(stop):
    """The cause of a script's end, in words."""
    return "stopped by SIGTERM" if isinstance(stop, Terminated) else "stopped by Ctrl-C"


@contextmanager
def uninterrupted():
    """Hold Ctrl-C and SIGTERM back until the end of the block."""
    received, handlers = [], {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handlers[number] = signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])

"""Faults that a user can mend: one line on standard error and an exit code, never a traceback.

Exit codes of every script: 0 done, 1 a fault in files or data, 2 a fault in the
configuration or on the command line, 130 stopped by Ctrl-C.
"""

import sys


class Fault(Exception):
    """Something a user can mend. The message names the thing and the cure, in one line."""

    exit_code = 1


class ConfigurationFault(Fault):
    """A wrong key, value, preset or option."""

    exit_code = 2


def run(main):
    """Call `main()`; end the process with one line for a `Fault`, with a traceback for a bug."""
    try:
        main()
    except Fault as fault:
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(fault.exit_code)
    except OSError as error:
        if error.filename is None:
            raise
        # The file system says no (missing folder, no permission, a full disk): not a bug.
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(Fault.exit_code)
    except KeyboardInterrupt as stop:
        print(f"error: {stop or 'stopped by Ctrl-C'}", file=sys.stderr)
        sys.exit(130)

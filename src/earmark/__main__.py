"""Runs the command line: ``python -m earmark``, and the program ``earmark``. It imports next to nothing: signals come first."""

import os
import signal
import sys

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    # Ctrl-C while the libraries are loaded has nothing to save. A shell starts what runs in the background deaf to it, which stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)
    from earmark.cli import run

    status = 128 + signal.SIGINT
    try:
        status = run(sys.argv[1:], own_process=True)
    except KeyboardInterrupt:  # once more, while the first was dealt with
        pass
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)  # the interpreter's end saves nothing: it may be cut short, without a traceback
    if status > 128:
        if (util := sys.modules.get("multiprocessing.util")) is not None:  # gives locks between processes back: else Python's
            util._run_finalizers(0)  # tracker of them prints that they have leaked
        # At once: threads of libraries that are still at work would be torn down under them, which may abort.
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):  # nobody reads it
                pass
        os._exit(status)
    sys.exit(status)


def _stop(*_: object) -> None:
    try:
        os.write(2, b"stopped\n")
    except OSError:  # nobody reads it
        pass
    os._exit(130)


if __name__ == "__main__":
    main()

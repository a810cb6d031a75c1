"""The command line: it registers the commands, and turns errors into one line and an exit status."""

import os
import warnings
from typing import Annotated

import typer

from earmark import __version__
from earmark.commands.apply_corrections import apply_corrections
from earmark.commands.audit import audit
from earmark.commands.compare import compare
from earmark.commands.corrupt import corrupt
from earmark.commands.demo import demo
from earmark.commands.evaluate import evaluate
from earmark.commands.export import export
from earmark.commands.info import info
from earmark.commands.label_studio import label_studio
from earmark.commands.noise import noise
from earmark.commands.prepare import prepare
from earmark.commands.review import review
from earmark.commands.shared import FAULT, INTERRUPTED, OK, UNUSABLE
from earmark.commands.tag import tag
from earmark.commands.train import train
from earmark.console import escape_what_cannot_be_shown, lost_output, open_missing, say, tell, tell_traceback
from earmark.errors import EarmarkError, EarmarkWarning
from earmark.interrupts import Interrupts
from earmark.machine import share_the_cores
from earmark.progress_lines import tell_progress
from earmark.quiet import show_libraries

COMPLETION = "_EARMARK_COMPLETE"  # set by a shell that asks what may stand where Tab was pressed
RESUMED = ("demo", "noise", "prepare", "tag", "train")  # commands that go on where they were, if they were stopped

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train sound taggers on labels you cannot fully trust.",
)
app.command()(demo)
data_app = typer.Typer(rich_markup_mode=None, help="Make and change data sets.")
app.add_typer(data_app, name="data")
data_app.command()(corrupt)
data_app.command()(label_studio)
for command in (prepare, train, evaluate, compare, audit, review, apply_corrections, noise, export, tag, info):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        say(f"earmark {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of a fault.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass  # `run` looks for --debug itself, since it must know even if the options cannot be parsed


def run(arguments: list[str], own_process: bool = False) -> int:
    """Runs one command.

    Args:
        arguments: the command line without the program's name.
        own_process: whether the process is there for this command alone: then its signals and its streams are set up.

    Returns:
        The exit status; an error is printed as one line on stderr.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]  # at any place
    interrupts = Interrupts()
    lost_output()  # what an earlier call in this process has lost is none of this one's
    tell_progress()
    if own_process:
        open_missing()
        escape_what_cannot_be_shown()
        interrupts.listen()
    if debug:
        show_libraries()
    share_the_cores()  # before a command loads torch
    warnings.simplefilter("default" if debug else "ignore")
    warnings.simplefilter("always", EarmarkWarning)
    warnings.showwarning = lambda message, *_, **__: tell(f"warning: {message}")
    try:
        result = typer.main.get_command(app)(arguments or ["--help"], prog_name="earmark", standalone_mode=False)
        status = result if isinstance(result, int) else OK
        if status == INTERRUPTED:  # typer has caught the exception
            raise KeyboardInterrupt
        if status == FAULT:  # typer's own status of --install-completion
            raise EarmarkError(
                "completion can be had in bash, zsh, fish and PowerShell, and earmark was not started from any of them"
            )
        if (reason := lost_output()) is not None:
            tell(f"error: {reason}; the work itself is done")
            return UNUSABLE
        return status
    except typer.TyperException as error:
        tell(f"error: {' '.join(error.format_message().split())}")
        return UNUSABLE
    except EarmarkError as error:
        if debug:
            tell_traceback()
        tell(f"error: {error}")
        return UNUSABLE
    except (KeyboardInterrupt, typer.Abort):
        return _stopped(arguments, interrupts)
    except SystemExit as error:  # typer's own: the answer to a shell; else nobody reads its help any more
        return int(bool(error.code)) if COMPLETION in os.environ else OK
    except Exception as error:
        if interrupts.number is not None:  # a library has made an error of the interrupt
            return _stopped(arguments, interrupts)
        if debug:
            tell_traceback()
        reason = _fault_of_the_system(error)
        if reason is None:
            reason = f"a fault of earmark's own ({type(error).__name__}: {' '.join(str(error).split())}); --debug shows where"
            tell(f"error: {reason}")
            return FAULT
        tell(f"error: {reason}")
        return UNUSABLE


def _stopped(arguments: list[str], interrupts: Interrupts) -> int:
    # Tags on stdout are not kept.
    can_go_on = arguments and arguments[0] in RESUMED and (arguments[0] != "tag" or any(a.startswith("--out") for a in arguments))
    tell("stopped; what is done is kept, and the same command goes on from there" if can_go_on else "stopped")
    return interrupts.status


def _fault_of_the_system(error: Exception) -> str | None:
    """What the system lacks, if that is what an error is about: a file, room, memory, a library; else None."""
    match error:
        case ModuleNotFoundError() if not (error.name or "").startswith("earmark"):
            return f"this needs {error.name}, which is not installed; pip install 'earmark[train]' brings it"
        case ModuleNotFoundError():
            return None
        case ImportError():  # no memory or no file number left for a library
            return f"a library cannot be loaded: {' '.join(str(error).split())}"
        case MemoryError() | SystemError():  # SystemError: a library in C that did not say that it got no memory
            return "not enough memory"
        case OSError():  # an error of the file system at any place
            where = error.filename2 or error.filename
            return f"{f'{where}: ' if where else ''}{error.strerror or error}"
    return None

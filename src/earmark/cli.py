"""The command line: it registers the commands, and turns errors into one line and an exit status."""

import os
import sys
import traceback
import warnings
from typing import Annotated

import typer

from earmark import __version__
from earmark.commands.corrupt import corrupt
from earmark.commands.demo import demo
from earmark.commands.evaluate import evaluate
from earmark.commands.info import info
from earmark.commands.prepare import prepare
from earmark.commands.shared import FAULT, INTERRUPTED, OK, UNUSABLE, say, tell
from earmark.commands.tag import tag
from earmark.commands.train import train
from earmark.errors import EarmarkError, EarmarkWarning, one_line
from earmark.machine import share_the_cores

RESUMED = ("demo", "prepare", "train")  # commands that go on where they were, if they were stopped

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train sound taggers on labels you cannot fully trust.",
)
app.command()(demo)
data_app = typer.Typer(rich_markup_mode=None, help="Make and change data sets.")
app.add_typer(data_app, name="data")
data_app.command()(corrupt)
for command in (prepare, train, evaluate, tag, info):
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


def main() -> None:
    """Runs the command line and ends the process with its exit status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit status; an error is printed as one line on stderr.
    """
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]  # at any place
    share_the_cores()  # before a command loads torch
    warnings.simplefilter("default" if debug else "ignore")
    warnings.simplefilter("always", EarmarkWarning)
    warnings.showwarning = lambda message, *_, **__: tell(f"warning: {one_line(str(message))}")
    try:
        result = typer.main.get_command(app)(arguments or ["--help"], prog_name="earmark", standalone_mode=False)
        status = result if isinstance(result, int) else OK
        if status == INTERRUPTED:  # typer has caught the exception
            raise KeyboardInterrupt
        return status
    except typer.TyperException as error:
        tell(f"error: {' '.join(error.format_message().split())}")
        return UNUSABLE
    except EarmarkError as error:
        if debug:
            traceback.print_exc()
        tell(f"error: {one_line(str(error))}")
        return UNUSABLE
    except (KeyboardInterrupt, typer.Abort):
        can_go_on = arguments and arguments[0] in RESUMED
        tell("stopped; what is done is kept, and the same command goes on from there" if can_go_on else "stopped")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the output is closed; typer turns that into SystemExit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the interpreter's last flush cannot fail
        return OK
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("earmark"):
            raise
        tell(f"error: this needs {error.name}, which is not installed; pip install 'earmark[train]' brings it")
        return UNUSABLE
    except OSError as error:  # an error of the file system at any place
        if debug:
            traceback.print_exc()
        where = error.filename2 or error.filename
        tell(f"error: {one_line(f'{where}: ' if where else '')}{error.strerror or error}")
        return UNUSABLE
    except Exception as error:
        if debug:
            traceback.print_exc()
        tell(f"error: a fault of earmark's own ({type(error).__name__}: {' '.join(str(error).split())}); --debug shows where")
        return FAULT


if __name__ == "__main__":
    main()

"""``earmark data label-studio``."""

from pathlib import Path
from typing import Annotated

import typer

from earmark.console import say


def label_studio(
    audit: Annotated[Path, typer.Argument(help="Folder that `earmark audit` wrote.")],
    out: Annotated[Path, typer.Option(help="The tasks to write, .json; the labelling interface goes beside them, .xml.")],
    first: Annotated[
        int | None, typer.Option(min=1, help="Number of suspects, most doubtful first; by default as many as the audit proposes.")
    ] = None,
    audio_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="What stands before a file's name in the address of its sound; by default Label Studio's local files.",
        ),
    ] = None,
) -> None:
    """Write the suspects of an audit as tasks for Label Studio, with given and suggested labels as predictions."""
    from earmark.data.label_studio import write_tasks

    count, interface = write_tasks(audit, out, first, audio_url)
    say(f"{interface}: the labelling interface")
    say(f"{out}: {count:,} task{'' if count == 1 else 's'}; `earmark apply-corrections` reads what Label Studio exports as JSON")

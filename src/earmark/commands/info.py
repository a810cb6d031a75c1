"""``earmark info``."""

from typing import Annotated

import typer

from earmark.commands.shared import JsonOption
from earmark.console import say, say_data


def info(
    model: Annotated[str, typer.Argument(help="A bundle, a run directory, a recipe's name or file.")],
    classes: Annotated[
        int | None,
        typer.Option(min=2, help="Count a recipe's parameters for so many classes; by default as it was published with."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model or a recipe is: members, rates, parameters, labels, size, licence."""
    from earmark.assess.describe import describe

    description = describe(model, classes)
    if as_json:
        say_data(description)
        return
    for key, value in description.items():
        if key != "members":
            say(f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for member in description["members"]:
        say("  " + "  ".join(f"{key} {value:,}" if isinstance(value, int) else f"{key} {value}" for key, value in member.items()))

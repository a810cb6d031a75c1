"""``earmark info``."""

from typing import Annotated, Any

import typer

from earmark.commands.complete import complete_recipe
from earmark.commands.shared import JsonOption
from earmark.console import say, say_data
from earmark.errors import EarmarkError

FEW = 5  # labels that are named


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A bundle, a run directory, USER/MODEL of the Hugging Face Hub, a recipe's name or file; else the recipes are listed.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(min=2, help="Count a recipe's parameters for so many classes; by default as it was published with."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model or a recipe is: members, rates, parameters, labels, size, licence; or list the recipes."""
    from earmark.assess.describe import describe, list_recipes

    if model is None:
        if classes is not None:
            raise EarmarkError("--classes: say which recipe's parameters are to be counted; `earmark info` lists the recipes")
        recipes = list_recipes()
        if as_json:
            say_data({"kind": "recipes", "recipes": recipes})
        else:
            _show_recipes(recipes)
        return
    description = describe(model, classes)
    if as_json:
        say_data(description)
        return
    for key, value in description.items():
        if key in TOLD:
            say(f"{key}: {TOLD[key](value) if value else 'none'}")
        elif key != "members" and value not in ("", []):
            say(f"{key}: {_shown(value)}")
    for member in description["members"]:
        say("  " + "  ".join(f"{key} {_shown(value)}" for key, value in member.items() if value != ""))


def _show_recipes(recipes: list[dict[str, str]]) -> None:
    width = max(len(recipe["name"]) for recipe in recipes)
    for recipe in recipes:
        say(f"{recipe['name']:{width}}  {recipe['about']}")
    say("earmark info RECIPE shows more of one; earmark train RECIPE --store STORE --out RUN trains it")


def _calibration(values: dict[str, Any]) -> str:
    return f"temperature {values['temperature']:g}, fitted on {values['clips']:,} verified clips"


def _thresholds(values: dict[str, Any]) -> str:
    never = [f"{wish} never gives {_few(labels)}" for wish, labels in values["never_given"].items() if labels]
    return "; ".join([f"auto, precision:P; chosen on {values['clips']:,} verified clips", *never])


def _few(labels: list[str]) -> str:
    return ", ".join(labels[:FEW]) + (f" and {len(labels) - FEW:,} more" if len(labels) > FEW else "")


TOLD = {"calibration": _calibration, "thresholds": _thresholds}


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)

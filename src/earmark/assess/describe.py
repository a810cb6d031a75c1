"""The description of a model or of a recipe as plain data."""

from pathlib import Path
from typing import Any

from earmark.recipe import Recipe, built_in_recipes, load_recipe
from earmark.tagging.bundle import BundleConfig, read_bundle
from earmark.tagging.hub import hub_name, model_folder
from earmark.tagging.thresholds import out_of_reach

RECIPES = (".yaml", ".yml")  # endings of recipes' files
WISHES = (0.5, 0.7, 0.8, 0.9, 0.95)  # whose classes out of reach are told
CLASSES = 50  # if neither the user nor the recipe gives a number


def list_recipes() -> list[dict[str, str]]:
    """The recipes that come with earmark: of each ``name``, ``about`` (a sentence), ``title`` and ``source`` (may be empty)."""
    recipes = [load_recipe(name) for name in built_in_recipes()]
    return [{key: getattr(recipe, key) for key in ("name", "about", "title", "source")} for recipe in recipes]


def describe(model_or_recipe: str, classes: int | None = None) -> dict[str, Any]:
    """Describes a bundle or a recipe.

    Args:
        model_or_recipe: folder of a bundle, a run directory with a bundle, a model of the Hugging Face Hub (``USER/MODEL``), name of a
            built-in recipe, or a YAML file.
        classes: number of classes K of a recipe's nets; by default that of the data it was published with. Not used for a bundle.

    Returns:
        ``kind``, ``name``, ``parameters`` (the sum over all nets), ``members`` (name, sample_rate, window, parameters, weight …)
        and more; of a bundle also ``calibration`` and ``thresholds``, None where it has none.

    Raises:
        BundleError: a folder without a bundle, or a model of the Hub that cannot be had.
        RecipeError: anything else that is not a recipe.
    """
    path = Path(model_or_recipe)
    if path.is_dir() or (hub_name(model_or_recipe) and path.suffix not in RECIPES):
        folder = model_folder(model_or_recipe)
        return _describe_bundle(folder, read_bundle(folder))
    return _describe_recipe(load_recipe(model_or_recipe), classes)


def _describe_recipe(recipe: Recipe, asked_classes: int | None) -> dict[str, Any]:
    from earmark.nets.member import planned_net  # here, so that describing a bundle does not import torch
    from earmark.nets.tagnet import parameter_count

    classes = asked_classes or (recipe.published.classes if recipe.published else CLASSES)
    members = []
    ensemble = next(iter(recipe.ensembles))
    voters = recipe.voters(ensemble)
    for name, settings in recipe.members.items():
        net = planned_net(settings, classes)
        members.append(
            {
                "name": name,
                "sample_rate": settings.input.sample_rate,
                "window": settings.input.window,
                "parameters": parameter_count(net),
                "trunk": parameter_count(net) - parameter_count(net.head),
                "head": parameter_count(net.head) // len(net.head.tasks),  # of one task: all tasks have equal parts
                "schedule": settings.schedule_words,
                "weight": voters[name].weight if name in voters else 0.0,
            }
        )
    return {
        "kind": "recipe",
        "name": recipe.name,
        "title": recipe.title,
        "about": recipe.about,
        "source": recipe.source,
        "classes": classes,
        "rule": recipe.ensembles[ensemble].rule,
        "parameters": sum(member["parameters"] for member in members),
        "fingerprint": recipe.fingerprint(),
        "members": members,
    }


def _describe_bundle(folder: Path, config: BundleConfig) -> dict[str, Any]:
    members = [
        {
            "name": member.name,
            "fold": member.fold,
            "sample_rate": member.input.sample_rate,
            "window": member.input.window,
            "parameters": member.parameters,
            "weight": member.weight,
        }
        for member in config.members
    ]
    return {
        "kind": "bundle",
        "name": config.recipe,
        "earmark": config.earmark,
        "classes": len(config.labels),
        "labels": config.labels,
        "rule": config.rule,
        "parameters": sum(member.parameters for member in config.members),
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "data": config.data.source,
        "licence": config.licence,
        "fingerprint": config.fingerprint,
        "calibration": config.calibration.model_dump() if config.calibration else None,
        "thresholds": _thresholds(config) if config.thresholds else None,
        "members": members,
    }


def _thresholds(config: BundleConfig) -> dict[str, Any]:
    """On how many clips the thresholds were chosen, and which classes are never given with which wish."""
    assert config.thresholds is not None
    wishes = [f"precision:{precision}" for precision in WISHES]
    return {"clips": config.thresholds.clips, "never_given": {wish: out_of_reach(config, wish) for wish in wishes}}

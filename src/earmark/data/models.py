"""The pre-trained models that a recipe's members stand on: what their files say goes into the recipe."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from earmark.embedding.embedder import Embedder
from earmark.embedding.onnx_model import OnnxModel
from earmark.embedding.opened import BUILT_IN, open_embedder
from earmark.errors import EmbeddingError, NoRateError
from earmark.recipe import MemberSettings, Part, Recipe


def sample_rates(recipes: Sequence[Recipe], file: Path | None = None, sample_rate: int | None = None) -> set[int]:
    """The sample rates, in Hz, that a store must have for recipes to be trained on it.

    Args:
        recipes: the recipes, at least one.
        file: an ONNX model that takes the place of those that the recipes name.
        sample_rate: of the file's model in Hz, if the file does not say it.

    Raises:
        EmbeddingError: as `resolve_models`; of several recipes, only some need members that stand on a model.
    """
    of_model = [any(member.frontend.name == "embedding" for member in recipe.members.values()) for recipe in recipes]
    resolved = [
        resolve_models(recipe, file, sample_rate) if stands_on_model or not any(of_model) else recipe
        for recipe, stands_on_model in zip(recipes, of_model, strict=True)
    ]
    return {member.input.sample_rate for recipe in resolved for member in recipe.members.values()}


def resolve_models(recipe: Recipe, file: Path | None = None, sample_rate: int | None = None) -> Recipe:
    """A recipe whose members with the front end ``embedding`` say all about their models: file, hash, size, sample rate, window.

    Args:
        recipe: the recipe.
        file: an ONNX model that takes the place of the models that the recipe names.
        sample_rate: of the file's model in Hz, if the file does not say it. Of a model that the recipe names, the member says it then.

    Raises:
        EmbeddingError: a model cannot be used, no member of the recipe stands on one, or there is a rate without a file.
    """
    if sample_rate is not None and file is None:
        raise EmbeddingError("--embedding-rate is of the model that --embedding names")
    names = [name for name, member in recipe.members.items() if member.frontend.name == "embedding"]
    if file is not None and not names:
        raise EmbeddingError(f"--embedding: no member of recipe {recipe.name} has the front end embedding; quick has")
    opened: dict[str, Embedder] = {}
    members = dict(recipe.members)
    for name in names:
        arguments = recipe.members[name].frontend.arguments
        if file is not None:
            arguments = {**arguments, "model": str(file), "sha256": None}
        key = str(sorted(arguments.items()))
        if key not in opened:
            rate = sample_rate
            if rate is None and arguments.get("sha256") is not None:  # a run's own recipe: it is resolved, and stays as it is
                rate = recipe.members[name].input.sample_rate
            try:
                opened[key] = open_embedder(arguments, rate)
            except NoRateError:
                if file is not None:
                    raise
                opened[key] = open_embedder(arguments, recipe.members[name].input.sample_rate)
        members[name] = _resolved(recipe.members[name], arguments, opened[key])
    return recipe.model_copy(update={"members": members})


def _resolved(member: MemberSettings, arguments: Mapping[str, Any], embedder: Embedder) -> MemberSettings:
    model = {"model": BUILT_IN, "sha256": None}
    if isinstance(embedder, OnnxModel):
        model = {"model": str(embedder.path.resolve()), "sha256": embedder.sha256}
    frontend = Part.model_validate({"name": "embedding", **arguments, **model, "size": embedder.size})
    window = embedder.window or embedder.sample_rate
    input = member.input.model_copy(update={"sample_rate": embedder.sample_rate, "window": window})
    return member.model_copy(update={"frontend": frontend, "input": input})

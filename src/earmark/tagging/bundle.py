"""The bundle: a finished model in a folder, an ensemble of one or more nets. JSON and safetensors only: no code in it can run.

``config.json`` describes the nets (rate, file, activation, weight, views …), the rule that combines their scores, the labels
and the training data. Beside it are one ``.safetensors`` file for each net, and ``README.md``, the model card.
"""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from earmark import files
from earmark.errors import BundleError
from earmark.recipe import InputSettings, Part, View

VERSION = 1
CONFIG = "config.json"


def _all_different(labels: list[str]) -> list[str]:
    if len(set(labels)) < len(labels):
        raise ValueError("a label stands twice")
    return labels


class BundleMember(BaseModel):
    """One trained net of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str  # of the member in the recipe
    fold: int  # the fold that the net was not trained on
    snapshot: str = "last"  # name of the weights: best, last, or a snapshot's number
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$")]  # in the bundle's folder
    input: InputSettings
    frontend: Part
    backbone: Part
    head: Part
    activation: Literal["softmax", "sigmoid"]
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # in the ensemble's mean, all views together
    views: Annotated[list[View], Field(min_length=1)]  # versions of a clip that are scored; they share the weight equally
    parameters: int


class BundleData(BaseModel):
    """The data that a model was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str  # kind of data set
    clips: int  # how many
    fingerprint: str  # of the store


class BundleConfig(BaseModel):
    """The content of ``config.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["earmark-bundle"] = "earmark-bundle"
    version: int = VERSION
    earmark: str
    recipe: str
    fingerprint: str  # of the recipe
    labels: Annotated[list[str], Field(min_length=1), AfterValidator(_all_different)]
    rule: Literal["geometric_mean", "arithmetic_mean"]
    members: Annotated[list[BundleMember], Field(min_length=1)]
    data: BundleData
    licence: str


def read_bundle(path: Path) -> BundleConfig:
    """Reads and checks a bundle's ``config.json``; the weights are not opened.

    Raises:
        BundleError: the folder is no bundle, its version is newer than this earmark, or something in it is wrong or missing.
    """
    try:
        data = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("format") != "earmark-bundle":
            raise ValueError("it says nothing of an earmark bundle")
    except PermissionError:
        raise BundleError(f"{path / CONFIG}: no permission to read it") from None
    except OSError:
        raise BundleError(f"{path} is no model: no {CONFIG} in it; a finished run has one in RUN/bundle") from None
    except ValueError as error:
        raise BundleError(f"{path / CONFIG} is no bundle's: {error}") from None
    if isinstance(version := data.get("version"), int) and version > VERSION:
        maker = data.get("earmark", "a newer one")
        raise BundleError(
            f"{path} is a bundle of version {version}, made by earmark {maker}; this one reads up to version {VERSION}"
        )
    try:
        config = BundleConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise BundleError(f"{path / CONFIG}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if missing := [member.file for member in config.members if not (path / member.file).is_file()]:
        raise BundleError(f"{path}: {', '.join(missing)} is missing")
    return config


def bundle_folder(path: Path) -> Path:
    """The folder of a bundle; ``path`` is that folder, or the run directory that contains it."""
    inner = path / "bundle"
    return inner if (inner / CONFIG).is_file() and not (path / CONFIG).is_file() else path


def write_card(path: Path, config: BundleConfig, lines: list[str]) -> None:
    """Writes the model card ``README.md``: what the model is, what it was trained on, how good it is.

    Args:
        path: the bundle's folder.
        config: the bundle's configuration.
        lines: further lines of the list, such as the model's figures.
    """
    rates = ", ".join(f"{rate:,} Hz" for rate in sorted({member.input.sample_rate for member in config.members}))
    text = [
        f"# {config.recipe}",
        "",
        f"A sound tagger of {len(config.labels)} classes, trained with earmark {config.earmark}.",
        "",
        f"- {len(config.members)} nets, {sum(member.parameters for member in config.members):,} parameters in all, at {rates}; "
        f"combined by the {config.rule.replace('_', ' ')} of their scores",
        f"- trained on {config.data.source}: {config.data.clips:,} clips; licence of the data: {config.licence or 'not known'}",
        f"- recipe fingerprint `{config.fingerprint}`",
        *(f"- {line}" for line in lines),
        "",
        "```",
        "earmark tag sounds/ --model THIS_FOLDER",
        "```",
        "",
        "Classes: " + ", ".join(config.labels),
        "",
    ]
    files.write_text(path / "README.md", "\n".join(text))

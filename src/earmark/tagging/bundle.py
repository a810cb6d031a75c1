"""The bundle: a finished model in a folder, an ensemble of one or more nets. JSON and safetensors only: no code in it can run.

``config.json`` describes the nets (rate, file, activation, weight, views …), the rule that combines their scores, the labels,
the training data, and how far scores are to be trusted (calibration, thresholds). Beside it are a ``.safetensors`` file, an ``.onnx``
file or both for each net, and ``README.md``, the model card. Version 1 had neither ONNX files nor calibration nor thresholds.
"""

import re
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from earmark import files
from earmark.errors import BundleError
from earmark.recipe import InputSettings, Part, View
from earmark.recipe.basics import Chance, Real, Whole
from earmark.recipe.explain import words

VERSION = 2
CONFIG = "config.json"
MOST_BYTES = 16 * 2**20  # of config.json: 20,000 labels with their thresholds and 1,000 nets have room
LONGEST_LABEL = 1000  # characters
MODEL = re.compile(r"[0-9a-f]{12}\.onnx")  # a copy of a pre-trained model
CONTROL = ("Cc", "Zl", "Zp")  # kinds of characters that break a line, or that a terminal obeys

Number = Annotated[Whole, Field(ge=0, lt=2**63)]  # of clips, of parameters, of a fold


class Proof(BaseModel):
    """What was measured when a net was written as ONNX, before its file was kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sounds: Number  # that both gave scores of
    source: Annotated[str, Field(max_length=LONGEST_LABEL)]  # where the sounds are from
    difference: Annotated[Real, Field(ge=0)]  # between the scores of PyTorch and of ONNX Runtime, at most
    bytes: Number  # of the ONNX file
    seconds: Annotated[Real, Field(ge=0)]  # length of the sound that was timed
    torch_ms: Annotated[Real, Field(ge=0)]  # for that sound, on one thread
    onnx_ms: Annotated[Real, Field(ge=0)]
    bits: Literal[8, 32] = 32  # of the weights; `difference` is that of the net with 32
    points: Real | None = None  # of accuracy (lwlrap for several labels) that 8 bits cost on clips that the net was not trained on
    clips: Number | None = None  # how many these are


class BundleMember(BaseModel):
    """One trained net of a bundle."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str  # of the member in the recipe
    fold: Number  # the fold that the net was not trained on
    snapshot: str = "last"  # name of the weights: best, last, or a snapshot's number
    # Files in the bundle's folder: the weights for PyTorch, and the whole net for ONNX Runtime. One of them may be missing.
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$")] | None = None
    onnx: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$")] | None = None
    input: InputSettings
    frontend: Part
    backbone: Part
    head: Part
    activation: Literal["softmax", "sigmoid"]
    proof: Proof | None = None  # of the ONNX file
    weight: Annotated[Real, Field(ge=1e-15, le=1e6)]  # in the ensemble's mean, all views together
    views: Annotated[
        list[View], Field(min_length=1, max_length=100)
    ]  # versions of a clip that are scored; they share the weight equally
    parameters: Number

    @property
    def files(self) -> list[str]:
        """The names of the net's files."""
        return [name for name in (self.file, self.onnx) if name is not None]


def _own_files(members: list[BundleMember]) -> list[BundleMember]:
    names = [name for member in members for name in member.files]
    if len(set(names)) < len(names):
        raise ValueError("two nets have the same file")
    if not all(member.files for member in members):
        raise ValueError("a net has neither file nor onnx")
    return members


class BundleData(BaseModel):
    """The data that a model was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str  # kind of data set
    clips: Number  # how many
    verified: Number | None = None  # how many of them a person checked
    fingerprint: str  # of the store


class Calibration(BaseModel):
    """How much surer the scores are than they are right."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    temperature: Annotated[Real, Field(ge=0.05, le=20)]  # above 1: the scores are too sure
    clips: Number  # verified clips that it was fitted on


class Thresholds(BaseModel):
    """The calibrated scores from which on a label is to be given."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    clips: Number  # verified clips that they were chosen on
    f1: list[Chance]  # [K]: where a class's F1 is highest
    precisions: Annotated[list[Chance], Field(max_length=100)]  # rising; G precisions to wish for
    scores: list[list[Chance | None]]  # [K][G]: where a class reaches them; None: nowhere

    @model_validator(mode="after")
    def _curves(self) -> Self:
        if any(low >= high for low, high in pairwise(self.precisions)):
            raise ValueError("the precisions do not rise")
        if len(self.scores) != len(self.f1) or any(len(row) != len(self.precisions) for row in self.scores):
            raise ValueError("every class needs a threshold for F1, and one for every precision")
        if any(_rank(low) > _rank(high) for row in self.scores for low, high in pairwise(row)):
            raise ValueError("a higher precision has a lower threshold")
        return self


def _rank(score: float | None) -> float:
    return 2.0 if score is None else score


class BundleConfig(BaseModel):
    """The content of ``config.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["earmark-bundle"] = "earmark-bundle"
    version: Annotated[Whole, Field(ge=1)] = VERSION
    earmark: str
    recipe: str
    fingerprint: str  # of the recipe
    labels: Annotated[list[str], Field(min_length=1, max_length=100_000)]
    rule: Literal["geometric_mean", "arithmetic_mean"]
    members: Annotated[list[BundleMember], Field(min_length=1), AfterValidator(_own_files)]
    data: BundleData
    licence: str
    calibration: Calibration | None = None  # None: the scores are as the nets give them
    thresholds: Thresholds | None = None  # None: none were chosen

    @model_validator(mode="after")
    def _thresholds_of_the_labels(self) -> Self:
        if self.thresholds is not None and len(self.thresholds.f1) != len(self.labels):
            raise ValueError(f"thresholds of {len(self.thresholds.f1):,} classes, and there are {len(self.labels):,} labels")
        return self

    @property
    def file_names(self) -> list[str]:
        """Names of all the nets' files, which lie in the bundle's folder."""
        return [name for member in self.members for name in member.files]

    @property
    def model_names(self) -> list[str]:
        """Names of the pre-trained models, in the bundle's folder too, that its nets stand on, as earmark names their copies."""
        models = {str(member.frontend.arguments.get("model")) for member in self.members if member.frontend.name == "embedding"}
        return sorted(filter(MODEL.fullmatch, models))


def read_bundle(path: Path) -> BundleConfig:
    """Reads and checks a bundle's ``config.json``; the weights are not opened.

    Raises:
        BundleError: the folder is no bundle, its version is newer than this earmark, or something in it is wrong or missing.
    """
    config = read_config(path)
    if missing := [name for name in config.file_names if not (path / name).exists()]:
        raise BundleError(f"{path}: {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''} is missing")
    if odd := [name for name in config.file_names if not (path / name).is_file()]:
        raise BundleError(f"{path / odd[0]}: no regular file")
    return config


def read_config(path: Path) -> BundleConfig:
    """Reads and checks ``config.json`` alone, whose bundle may have no other file yet; see `read_bundle`."""
    try:
        data = files.read_json(path / CONFIG, MOST_BYTES)
        if not isinstance(data, dict) or data.get("format") != "earmark-bundle":
            raise ValueError("it says nothing of an earmark bundle")
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path} is no model: no {CONFIG} in it; a finished run has one in RUN/bundle") from None
    except PermissionError:
        raise BundleError(f"{path / CONFIG}: no permission to read it") from None
    except OSError as error:
        raise BundleError(f"{path / CONFIG}: {error.strerror}") from None
    except ValueError as error:
        raise BundleError(f"{path / CONFIG} is no bundle's: {error}") from None
    if isinstance(version := data.get("version"), int) and version > VERSION:
        maker = str(data.get("earmark", "a newer one"))[:100]
        raise BundleError(
            f"{path} is a bundle of version {str(version)[:20]}, made by earmark {maker}; this one reads up to version {VERSION}"
        )
    try:
        config = BundleConfig.model_validate(data)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        raise BundleError(f"{path / CONFIG}: {'.'.join(str(part)[:100] for part in first['loc'])}: {words(first)}") from None
    if (fault := _fault_of(config.labels)) is not None:
        raise BundleError(f"{path / CONFIG}: labels: {fault}")
    return config


def _fault_of(labels: list[str]) -> str | None:
    """What is wrong with the labels; None if nothing is. Tables and terminals must be able to show them, each as another one."""
    for label in labels:
        if not label.strip() or len(label) > LONGEST_LABEL or any(unicodedata.category(char) in CONTROL for char in label):
            return f"{label[:100]!r} is blank, has control characters, or is longer than {LONGEST_LABEL:,} characters"
    forms = Counter(unicodedata.normalize("NFC", label) for label in labels)
    return next((f"{label!r} stands twice" for label, count in forms.items() if count > 1), None)


def bundle_folder(path: Path) -> Path:
    """The folder of a bundle; ``path`` is that folder, or the run directory that contains it."""
    inner = path / "bundle"
    return inner if (inner / CONFIG).is_file() and not (path / CONFIG).is_file() else path

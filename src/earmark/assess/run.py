"""The run directory: where everything of a run lies, and what of it is finished.

``recipe.yaml``, ``run.json`` (what it was trained on and with), ``members/MEMBER/foldK/`` (``checkpoint.safetensors`` while
it trains, ``best.`` and ``last.safetensors``, ``metrics.csv``, ``oof.parquet`` at its end), and for the whole run
``oof.parquet``, ``metrics.json``, ``report.html``, ``bundle/``.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from earmark import files
from earmark.errors import RunError
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe

RUN_NAMES = ("run.json", "members", "oof.parquet", "metrics.json", "report.html", "bundle")  # besides recipe.yaml


@dataclass(frozen=True)
class RunInfo:
    """What a run depends on besides its recipe; fixed at its first start.

    Attributes:
        earmark: the version that started it.
        store: the store's folder, absolute.
        store_fingerprint: of its inputs.
        device: ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``, as chosen on the machine.
        threads: of the CPU's arithmetic; results are bit-equal only for the same number.
    """

    earmark: str
    store: str
    store_fingerprint: str
    device: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Predictions:
    """Scores of clips by one member's nets.

    Attributes:
        clip_id: str ``[N]``.
        scores: float32 ``[N, K]``.
        labels: the K classes that the scores are of.
    """

    clip_id: NDArray[np.str_]
    scores: NDArray[np.float32]
    labels: LabelSet


@dataclass(frozen=True)
class Run:
    """A run directory and its recipe."""

    path: Path
    recipe: Recipe

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Opens an existing run.

        Raises:
            RunError: there is none.
        """
        if not (path / "recipe.yaml").is_file():
            raise RunError(f"{path} is no run directory; `earmark train RECIPE --store STORE --out {path}` makes one")
        return cls(path, load_recipe(str(path / "recipe.yaml")))

    @property
    def info(self) -> RunInfo | None:
        """None before the first start has come as far."""
        try:
            return RunInfo(**json.loads((self.path / "run.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError):
            raise RunError(f"{self.path / 'run.json'} is damaged, or of another version") from None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Two processes in one run directory would spoil each other's work.

        Raises:
            EarmarkError: another one is in it, or it cannot be written.
        """
        with files.locked(self.path / ".lock", self.path):
            yield

    def write_info(self, info: RunInfo) -> None:
        files.write_text(self.path / "run.json", json.dumps(asdict(info), indent=1) + "\n")

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    def piece(self, member: str, fold: int) -> Path:
        """The folder of one member's net of one fold."""
        return self.path / "members" / member / f"fold{fold}"

    def is_finished(self, member: str, fold: int) -> bool:
        """Its scores are the last thing that a piece writes."""
        return (self.piece(member, fold) / "oof.parquet").is_file()

    def finished(self) -> dict[str, list[int]]:
        """The folds that are finished, by member, in the recipe's order; members without any are left out."""
        found = {}
        for member in self.recipe.members:
            folders = (self.path / "members" / member).glob("fold*")
            folds = sorted(int(folder.name[4:]) for folder in folders if folder.name[4:].isdigit())
            if done := [fold for fold in folds if self.is_finished(member, fold)]:
                found[member] = done
        return found

    def counted_weights(self, member: str, fold: int) -> Path:
        """The weights that count: the recipe says whether the best or the last ones."""
        return self.piece(member, fold) / f"{self.recipe.members[member].validation.keep}.safetensors"

    def predictions(self) -> dict[str, Predictions]:
        """The finished out-of-fold scores, by member."""
        return {
            member: read_predictions([self.piece(member, fold) / "oof.parquet" for fold in folds])
            for member, folds in self.finished().items()
        }

    def gather(self) -> None:
        """Joins the finished pieces' scores, which `predictions` has read well, into the run's own ``oof.parquet``."""
        paths = [self.piece(member, fold) / "oof.parquet" for member, folds in self.finished().items() for fold in folds]
        table = pyarrow.concat_tables([pyarrow.parquet.read_table(path) for path in paths])
        with files.replacing(self.path / "oof.parquet") as partial:
            pyarrow.parquet.write_table(table, partial)


def write_predictions(
    path: Path,
    labels: LabelSet,
    clip_id: Sequence[str],
    scores: NDArray[np.float32],
    *,
    member: str,
    fold: int,
    snapshot: str,
    view: str = "whole",
) -> None:
    """Writes scores ``[N, K]`` in the format of ``oof.parquet``."""
    count, classes = scores.shape
    columns: dict[str, Any] = {
        "clip_id": pyarrow.array([str(c) for c in clip_id], pyarrow.string()),
        "member": pyarrow.array([member] * count, pyarrow.string()),
        "fold": pyarrow.array([fold] * count, pyarrow.int64()),
        "snapshot": pyarrow.array([snapshot] * count, pyarrow.string()),
        "view": pyarrow.array([view] * count, pyarrow.string()),
        "scores": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(scores.reshape(-1), pyarrow.float32()), classes),
    }
    table = pyarrow.table(columns).replace_schema_metadata({"labels": json.dumps(labels.names, ensure_ascii=False)})
    with files.replacing(path) as partial:
        pyarrow.parquet.write_table(table, partial)


def read_predictions(paths: Sequence[Path]) -> Predictions:
    """Reads files of `write_predictions`, one after the other.

    Raises:
        RunError: one is damaged.
    """
    tables = []
    for path in paths:
        try:
            tables.append(pyarrow.parquet.read_table(path))
        except (pyarrow.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path} is damaged ({reason}); remove it, and `earmark train` makes it anew") from None
    table = pyarrow.concat_tables(tables)
    flat = table["scores"].combine_chunks().flatten().to_numpy()
    labels = LabelSet(tuple(json.loads(table.schema.metadata[b"labels"])))
    return Predictions(table["clip_id"].to_numpy().astype(np.str_), flat.reshape(table.num_rows, -1), labels)


def read_metrics_log(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds")]  # the last may have been cut off

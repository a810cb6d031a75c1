"""The run directory: where everything of a run lies, and what of it is finished.

``recipe.yaml``, ``run.json`` (what it was trained on and with), ``members/MEMBER/foldK/`` (``checkpoint.safetensors`` while
it trains, ``best.`` and ``last.safetensors``, ``snapshotN.safetensors``, ``metrics.csv``, ``oof.parquet`` at its end),
``pseudo/NAME/foldK/pseudo.parquet`` (guessed labels, for one fold; without ``foldK`` where they are for all), and for the
whole run ``oof.parquet``, ``metrics.json``, ``report.html``, ``bundle/``.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
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
from earmark.recipe import Recipe, VoiceSettings, load_recipe

RUN_NAMES = ("run.json", "members", "pseudo", "oof.parquet", "metrics.json", "report.html", "bundle")  # besides recipe.yaml


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
class Block:
    """Scores by one net on one view: rows of ``oof.parquet``.

    Attributes:
        clip_id: ``[N]``.
        scores: float32 ``[N, K]``.
        member: the recipe's.
        fold: that the net did not see.
        snapshot: which of its weights: ``best``, ``last``, or the snapshot's number.
        view: ``whole`` or ``padN``.
    """

    clip_id: Sequence[str]
    scores: NDArray[np.float32]
    member: str
    fold: int
    snapshot: str
    view: str


@dataclass(frozen=True)
class Predictions:
    """Scores of one member, over all its finished folds.

    Attributes:
        clip_id: str ``[N]``, a clip as often as there are snapshots and views.
        scores: float32 ``[N, K]``.
        labels: the K classes that the scores are of.
        snapshot: str ``[N]``.
        view: str ``[N]``.
    """

    clip_id: NDArray[np.str_]
    scores: NDArray[np.float32]
    labels: LabelSet
    snapshot: NDArray[np.str_]
    view: NDArray[np.str_]

    def chosen(self, snapshots: Sequence[str] | None = None, views: Sequence[str] | None = None) -> "list[Predictions]":
        """Split into one for each snapshot and view, all of them or those named; there each clip stands once."""
        found = []
        for snapshot in snapshots or list(dict.fromkeys(self.snapshot.tolist())):
            for view in views or list(dict.fromkeys(self.view.tolist())):
                at = (self.snapshot == snapshot) & (self.view == view)
                found.append(Predictions(self.clip_id[at], self.scores[at], self.labels, self.snapshot[at], self.view[at]))
        return found


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

    def weights(self, member: str, fold: int, counted: str) -> Path:
        """The file of some weights of a net: ``best``, ``last``, or a snapshot's number."""
        return self.piece(member, fold) / weights_name(counted)

    def pseudo_labels(self, name: str, fold: int | None) -> Path:
        """The file of the labels guessed for one fold, or (None) for all."""
        folder = self.path / "pseudo" / name
        return (folder if fold is None else folder / f"fold{fold}") / "pseudo.parquet"

    def labels(self) -> tuple[str, ...]:
        """The classes that its finished nets know.

        Raises:
            RunError: none is finished.
        """
        for member, folds in self.finished().items():
            return read_predictions([self.piece(member, folds[0]) / "oof.parquet"]).labels.names
        raise RunError(f"{self.path}: no net of it is finished; `earmark train` goes on with it")

    def ensembles(self) -> dict[str, dict[str, VoiceSettings]]:
        """The ensembles that there are scores for, each with its members.

        The run's own is the first, of whichever of its members are finished, or of all that are where none of its own is; the
        others are there once all their members have a finished fold in common.
        """
        finished = self.finished()
        found: dict[str, dict[str, VoiceSettings]] = {}
        for name in self.recipe.ensembles:
            voices = self.recipe.voices(name)
            there = {member: voice for member, voice in voices.items() if member in finished}
            if not found:
                found[name] = there or {member: VoiceSettings(views=self.recipe.members[member].views) for member in finished}
            elif len(there) == len(voices) and self.common_folds(voices):
                found[name] = voices
        return found

    def common_folds(self, members: Iterable[str]) -> list[int]:
        """The folds that all of some members are finished on: an ensemble has no others."""
        finished = self.finished()
        return sorted(set.intersection(*(set(finished.get(member, [])) for member in members)))

    def leaks(self, ensemble: str) -> bool:
        """Whether any of an ensemble's members was taught with leaking pseudo labels."""
        return any(map(self.recipe.leaks, self.ensembles()[ensemble]))

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


def weights_name(counted: str) -> str:
    """The file name of weights: ``best``, ``last``, or a snapshot's number.

    >>> weights_name("best"), weights_name("3")
    ('best.safetensors', 'snapshot3.safetensors')
    """
    return f"{counted}.safetensors" if counted in ("best", "last") else f"snapshot{counted}.safetensors"


def write_predictions(path: Path, labels: LabelSet, blocks: Sequence[Block]) -> None:
    """Writes scores in the format of ``oof.parquet``."""
    counts = [len(block.clip_id) for block in blocks]

    def repeated(name: str, kind: Any) -> Any:
        return pyarrow.array([getattr(b, name) for b, count in zip(blocks, counts, strict=True) for _ in range(count)], kind)

    flat = np.concatenate([block.scores.reshape(-1) for block in blocks])
    columns: dict[str, Any] = {
        "clip_id": pyarrow.array([str(c) for block in blocks for c in block.clip_id], pyarrow.string()),
        "member": repeated("member", pyarrow.string()),
        "fold": repeated("fold", pyarrow.int64()),
        "snapshot": repeated("snapshot", pyarrow.string()),
        "view": repeated("view", pyarrow.string()),
        "scores": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat, pyarrow.float32()), len(labels)),
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
    names = {name: table[name].to_numpy().astype(np.str_) for name in ("clip_id", "snapshot", "view")}
    return Predictions(names["clip_id"], flat.reshape(table.num_rows, -1), labels, names["snapshot"], names["view"])


def read_metrics_log(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds")]  # the last may have been cut off

"""The run directory: where each file of a run is, and which nets are finished.

A run directory has:

- ``recipe.yaml``;
- ``run.json``: the store and the machine that the run was started with;
- ``members/MEMBER/foldK/`` for each net: ``checkpoint.safetensors`` during the training, ``best.safetensors``,
  ``last.safetensors``, ``snapshotN.safetensors``, ``metrics.csv``, and at the end ``oof.parquet``;
- ``pseudo/NAME/foldK/pseudo.parquet``: pseudo labels for one fold; without ``foldK`` if all folds share them;
- ``agreements/NAME/foldK/agreement.parquet``: what labels probably are, and how far the given ones are agreed with;
- ``members/MEMBER/foldK-partP/``: a net that judges the labels of part P of the clips for an agreement, trained without them;
- for the whole run ``oof.parquet``, ``floor.parquet``, ``metrics.json``, ``report.html`` and ``bundle/``.
"""

import csv
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from earmark import files
from earmark.errors import RunError, listed, one_line
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, join_predictions, read_predictions
from earmark.runs.votes import Vote, ensemble_votes

MAX_THREADS = 1024  # more than any machine has; PyTorch ends the whole process where the system cannot make so many


@dataclass(frozen=True)
class RunInfo:
    """Everything but the recipe that the results of a run depend on; fixed when the run is first started.

    Attributes:
        earmark: the version of earmark that started the run.
        store: absolute path of the store's folder.
        store_fingerprint: changes with the data that the store was made from.
        device: ``cpu`` or ``cuda``.
        precision: ``float32`` or ``bfloat16``, as chosen on the machine.
        threads: CPU threads that compute; results are bit-equal only for the same number.
        store_clips: number of clips in the store; None in runs of earlier versions.
    """

    earmark: str
    store: str
    store_fingerprint: str
    device: str
    precision: str
    threads: int
    store_clips: int | None = None

    @classmethod
    def of(cls, data: Any) -> Self:
        """The content of a ``run.json``.

        Raises:
            ValueError: something in it is wrong, missing or not known.
        """
        if not isinstance(data, dict) or (unknown := set(data) - {field.name for field in fields(cls)}):
            raise ValueError("it is no mapping" if not isinstance(data, dict) else f"it has {listed(map(repr, unknown))}")
        for name in ("earmark", "store", "store_fingerprint"):
            if not isinstance(value := data.get(name), str) or not value or "\0" in value:
                raise ValueError(f"{name} is no text")
        for name, choices in (("device", ("cpu", "cuda")), ("precision", ("float32", "bfloat16"))):
            if data.get(name) not in choices:
                raise ValueError(f"{name} is not {' or '.join(choices)}")
        for name, lowest, highest in (("threads", 1, MAX_THREADS), ("store_clips", 0, 2**63)):
            value = data.get(name)
            if name == "store_clips" and value is None:
                continue
            if type(value) is not int or not lowest <= value <= highest:
                raise ValueError(f"{name} is no whole number from {lowest} to {highest}")
        return cls(**data)


def refuse_special_in(path: Path) -> None:
    """Refuses a run directory in which a pipe or a device stands for a file: reading it would never end.

    Raises:
        RunError: there is one.
    """
    try:
        files.refuse_special_in(path)
    except OSError as error:
        raise RunError(f"{path}: {error.filename}: {error.strerror}; take it out of the run directory") from None


@dataclass(frozen=True)
class Run:
    """A run directory and its recipe."""

    path: Path
    recipe: Recipe

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Opens an existing run directory.

        Raises:
            RunError: it is not a run directory.
        """
        if not (path / "recipe.yaml").is_file():
            raise RunError(f"{path} is no run directory; `earmark train RECIPE --store STORE --out {path}` makes one")
        refuse_special_in(path)
        return cls(path, load_recipe(str(path / "recipe.yaml")))

    @property
    def info(self) -> RunInfo | None:
        """What ``run.json`` says; None if it is not written yet.

        Raises:
            RunError: the file is damaged.
        """
        try:
            return RunInfo.of(json.loads((self.path / "run.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            reason = f"{error.strerror or error}" if isinstance(error, OSError) else one_line(str(error)[:200])
            raise RunError(
                f"{self.path / 'run.json'} is damaged, or of another version ({reason}); put back an earlier copy of it, or train "
                "into another --out"
            ) from None

    def started(self) -> RunInfo:
        """What ``run.json`` says.

        Raises:
            RunError: the run was never started, or the file is missing or damaged.
        """
        if (info := self.info) is not None:
            return info
        if self.has_results:
            raise RunError(
                f"{self.path / 'run.json'} is missing, which says what the run learns from; put back a copy of it, or train into "
                "another --out"
            )
        raise RunError(f"{self.path}: it has not been started; `earmark train` starts it")

    @property
    def has_results(self) -> bool:
        """Whether there are nets or pseudo labels of the run, finished or begun."""
        return any((self.path / name).exists() for name in ("members", "pseudo", "agreements"))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out of the run directory while the block runs.

        Raises:
            EarmarkError: another process uses the directory, or it cannot be written to.
        """
        with files.locked(self.path / ".lock", self.path):
            yield

    def write_info(self, info: RunInfo) -> None:
        """Writes ``run.json``."""
        files.write_text(self.path / "run.json", json.dumps(asdict(info), indent=1) + "\n")

    @property
    def bundle(self) -> Path:
        """The folder of the run's bundle."""
        return self.path / "bundle"

    def net_folder(self, member: str, fold: int, part: int | None = None) -> Path:
        """The folder of a member's net for one fold; with a part, of the net that judges this part of the labels."""
        return self.path / "members" / member / (f"fold{fold}" if part is None else f"fold{fold}-part{part}")

    def is_finished(self, member: str, fold: int) -> bool:
        """Whether a net is trained and has its out-of-fold scores, the last file to be written."""
        return self.scores_file(member, fold).exists()  # whatever it is: `read_predictions` says what is wrong with it

    def scores_file(self, member: str, fold: int) -> Path:
        """The file of a net's out-of-fold scores."""
        return self.net_folder(member, fold) / "oof.parquet"

    def finished(self) -> dict[str, list[int]]:
        """The finished folds of each member, in the recipe's order; members with no finished fold are left out."""
        finished = {}
        for member in self.recipe.members:
            folders = (self.path / "members" / member).glob("fold*")
            folds = sorted(int(folder.name[4:]) for folder in folders if folder.name[4:].isascii() and folder.name[4:].isdigit())
            if finished_folds := [fold for fold in folds if self.is_finished(member, fold)]:
                finished[member] = finished_folds
        return finished

    def weights(self, member: str, fold: int, weights: str, part: int | None = None) -> Path:
        """The file of a net's weights, named ``best``, ``last``, or by a snapshot's number."""
        return self.net_folder(member, fold, part) / weights_name(weights)

    def pseudo_labels(self, name: str, fold: int | None) -> Path:
        """The file of the pseudo labels for one fold, or (None) for all folds."""
        folder = self.path / "pseudo" / name
        return (folder if fold is None else folder / f"fold{fold}") / "pseudo.parquet"

    def agreement(self, name: str, fold: int) -> Path:
        """The file of an agreement for one fold."""
        return self.path / "agreements" / name / f"fold{fold}" / "agreement.parquet"

    def labels(self) -> LabelSet:
        """The classes that the finished nets know.

        Raises:
            RunError: no net is finished.
        """
        for member, folds in self.finished().items():
            return read_predictions(self.scores_file(member, folds[0]))[0]
        raise self.unfinished_error()

    def unfinished_error(self) -> RunError:
        """The error to raise when no net is finished, so that there is nothing to evaluate."""
        return RunError(f"{self.path}: no net of it is finished; `earmark train` goes on with it")

    def votes(self) -> dict[str, list[Vote]]:
        """The votes of each ensemble that can be scored now, by the ensemble's name.

        The recipe's first ensemble, the run's own, comes first. It takes those of its members that are finished, or all finished
        members if none of its own is. Any other ensemble is left out until all its members have a finished fold in common.

        Raises:
            RunError: the members of the run's own ensemble have no finished fold in common.
        """
        finished = self.finished()
        votes: dict[str, list[Vote]] = {}
        for name in self.recipe.ensembles:
            voters = list(self.recipe.voters(name))
            members = [member for member in voters if member in finished]
            if not votes:
                members = members or list(finished)
            elif members != voters:
                continue
            if folds := sorted(set.intersection(*(set(finished[member]) for member in members))):
                votes[name] = ensemble_votes(self.recipe, name, members, folds)
            elif not votes:
                raise RunError(f"{self.path}: its members share no clip; train the same folds of each")
        return votes

    def predictions(self) -> tuple[LabelSet, dict[str, list[Block]]]:
        """The out-of-fold scores of all finished nets.

        Returns:
            The classes, and for each member the blocks of all its folds.

        Raises:
            RunError: no net is finished, or a file is damaged.
        """
        finished = self.finished()
        labels = self.labels()
        blocks = {
            member: [block for fold in folds for block in read_predictions(self.scores_file(member, fold))[1]]
            for member, folds in finished.items()
        }
        return labels, blocks

    def join_scores(self) -> None:
        """Joins the out-of-fold scores of all finished nets into the run's ``oof.parquet``."""
        paths = [self.scores_file(member, fold) for member, folds in self.finished().items() for fold in folds]
        join_predictions(paths, self.path / "oof.parquet")


def weights_name(weights: str) -> str:
    """The file name of weights: ``best``, ``last``, or a snapshot's number.

    >>> weights_name("best"), weights_name("3")
    ('best.safetensors', 'snapshot3.safetensors')
    """
    return f"{weights}.safetensors" if weights in ("best", "last") else f"snapshot{weights}.safetensors"


def read_metrics_log(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv`` that can be read, each with all its columns; none if there is no such file.

    A kill may cut the last row off. A row that is damaged in another way is left out too: nothing is computed from the log.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    rows: list[dict[str, str]] = []
    try:
        rows.extend(row for row in csv.DictReader(text[: text.rfind("\n") + 1].splitlines()) if _is_whole(row))
    except csv.Error:  # what follows cannot be told apart any more
        pass
    return rows


def _is_whole(row: dict[str, Any]) -> bool:
    """Whether a row of ``metrics.csv`` has numbers in all columns that it has, and those that every row has."""
    if None in row or None in row.values() or not row.get("batch") or not row.get("seconds"):
        return False
    try:
        return 0 < int(row["batch"]) < 2**53 and all(not value or math.isfinite(float(value)) for value in row.values())
    except ValueError:
        return False

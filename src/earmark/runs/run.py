"""The run directory: where everything of a run lies, and what of it is finished.

``recipe.yaml``, ``run.json`` (what it was trained on and with), ``members/MEMBER/foldK/`` (``checkpoint.safetensors`` while
it trains, ``best.`` and ``last.safetensors``, ``snapshotN.safetensors``, ``metrics.csv``, ``oof.parquet`` at its end),
``pseudo/NAME/foldK/pseudo.parquet`` (guessed labels, for one fold; without ``foldK`` where they are for all), and for the
whole run ``oof.parquet``, ``metrics.json``, ``report.html``, ``bundle/``.
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from earmark import files
from earmark.errors import RunError
from earmark.labels import LabelSet
from earmark.recipe import Recipe, load_recipe
from earmark.runs.predictions import Block, join_predictions, read_predictions
from earmark.runs.votes import Vote, ensemble_votes

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
        return self.scores_file(member, fold).is_file()

    def scores_file(self, member: str, fold: int) -> Path:
        """The file of a net's out-of-fold scores."""
        return self.piece(member, fold) / "oof.parquet"

    def finished(self) -> dict[str, list[int]]:
        """The folds that are finished, by member, in the recipe's order; members without any are left out."""
        found = {}
        for member in self.recipe.members:
            folders = (self.path / "members" / member).glob("fold*")
            folds = sorted(int(folder.name[4:]) for folder in folders if folder.name[4:].isdigit())
            if done := [fold for fold in folds if self.is_finished(member, fold)]:
                found[member] = done
        return found

    def weights(self, member: str, fold: int, weights: str) -> Path:
        """The file of some weights of a net: ``best``, ``last``, or a snapshot's number."""
        return self.piece(member, fold) / weights_name(weights)

    def pseudo_labels(self, name: str, fold: int | None) -> Path:
        """The file of the labels guessed for one fold, or (None) for all."""
        folder = self.path / "pseudo" / name
        return (folder if fold is None else folder / f"fold{fold}") / "pseudo.parquet"

    def labels(self) -> LabelSet:
        """The classes that its finished nets know.

        Raises:
            RunError: none is finished.
        """
        for member, folds in self.finished().items():
            return read_predictions(self.scores_file(member, folds[0]))[0]
        raise self.unfinished()

    def unfinished(self) -> RunError:
        """The error of a run that has nothing to evaluate yet."""
        return RunError(f"{self.path}: no net of it is finished; `earmark train` goes on with it")

    def votes(self) -> dict[str, list[Vote]]:
        """The ensembles that there are scores for, each with its votes.

        The run's own is the first, of whichever of its members are finished, or of all that are where none of its own is; the
        others follow once all their members have a finished fold in common.
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

    def leaks(self, ensemble: str) -> bool:
        """Whether any of an ensemble's members was taught with leaking pseudo labels."""
        return any(self.recipe.leaks(member) for member in dict.fromkeys(vote.member for vote in self.votes()[ensemble]))

    def predictions(self) -> tuple[LabelSet, dict[str, list[Block]]]:
        """The finished out-of-fold scores: the classes, and by member the blocks of all its folds.

        Raises:
            RunError: nothing is finished, or a file is damaged.
        """
        finished = self.finished()
        labels = self.labels()
        blocks = {
            member: [block for fold in folds for block in read_predictions(self.scores_file(member, fold))[1]]
            for member, folds in finished.items()
        }
        return labels, blocks

    def gather(self) -> None:
        """Joins the scores of all finished nets into the run's own ``oof.parquet``."""
        paths = [self.scores_file(member, fold) for member, folds in self.finished().items() for fold in folds]
        join_predictions(paths, self.path / "oof.parquet")


def weights_name(weights: str) -> str:
    """The file name of weights: ``best``, ``last``, or a snapshot's number.

    >>> weights_name("best"), weights_name("3")
    ('best.safetensors', 'snapshot3.safetensors')
    """
    return f"{weights}.safetensors" if weights in ("best", "last") else f"snapshot{weights}.safetensors"


def read_metrics_log(path: Path) -> list[dict[str, str]]:
    """The rows of a ``metrics.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("seconds")]  # the last may have been cut off

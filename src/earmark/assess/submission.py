"""The file that a competition asked for: scores of its test clips, in its own layout."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from earmark import files
from earmark.assess.evaluate import ensemble_name
from earmark.data.manifest import SubmissionLayout
from earmark.data.sources import submission_layout
from earmark.data.store import Store
from earmark.errors import RunError
from earmark.labels import LabelSet
from earmark.runs.predictions import read_predictions
from earmark.runs.run import Run

BEST = 3  # labels a clip, in the 2018 layout


def write_submission(run: Run, store: Store, path: Path, ensemble: str | None = None) -> int:
    """Writes an ensemble's scores of the test split as the data set's competition asked for them.

    A clip that there are no scores of, because its file was bad, gets the same score for every class, as the released code of
    2018 answered.

    Args:
        run: its test split is scored: `evaluate_test` has written ``test.parquet``.
        store: that was scored; its data set's tables are where they were when it was prepared.
        path: the CSV file.
        ensemble: whose scores; the run's own by default.

    Returns:
        The number of clips without scores.

    Raises:
        RunError: no such ensemble is scored.
        ManifestError: the data set had no competition, or its tables are not there any more.
    """
    labels, blocks = read_predictions(run.path / "test.parquet")
    scored = {block.member: block for block in blocks}
    wanted = ensemble_name(ensemble or next(iter(run.votes())))
    if wanted not in scored:
        names = ", ".join(name.removeprefix(ensemble_name("")) for name in scored)
        raise RunError(f"{run.path}: no scores of an ensemble {ensemble!r}; the ensembles with scores are {names}")
    layout = submission_layout(store.source, Path(store.root))
    block = scored[wanted]
    row = {clip.rpartition("/")[2]: number for number, clip in enumerate(block.clip_id.tolist())}
    uniform = np.full(len(labels), 1 / len(labels), np.float32)
    scores = [block.scores[row[name]] if name in row else uniform for name in layout.file_names]
    text = io.StringIO()
    files.write_rows(text, _rows(layout, labels, scores))
    files.write_text(path, text.getvalue())
    return sum(name not in row for name in layout.file_names)


def _rows(layout: SubmissionLayout, labels: LabelSet, scores: Sequence[NDArray[np.float32]]) -> list[list[str]]:
    if layout.kind == "best_labels":
        best = [" ".join(label for label, _ in labels.decode(clip, BEST)) for clip in scores]
        return [["fname", "label"], *([name, three] for name, three in zip(layout.file_names, best, strict=True))]
    if unknown := [name for name in layout.classes if name not in labels.names]:
        raise RunError(
            f"the model does not know the class {', '.join(map(repr, unknown[:5]))}, which the submission has a column for"
        )
    order = [labels.names.index(name) for name in layout.classes]
    # 9 digits: as many as float32 has, so that the file's order of classes is that of the scores.
    numbers = [[f"{clip[number]:.9g}" for number in order] for clip in scores]
    return [["fname", *layout.classes], *([name, *row] for name, row in zip(layout.file_names, numbers, strict=True))]

"""The submission file of a competition: scores of its test clips, in the layout that it asked for."""

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

BEST = 3  # labels for each clip, in the layout of 2018


def write_submission(run: Run, store: Store, path: Path, ensemble: str | None = None) -> int:
    """Writes an ensemble's scores of the test split as the file that the data set's competition asked for.

    A clip without scores, because its file was bad, gets the same score for every class, as in the released code of 2018.

    Args:
        run: a run for which `evaluate_test` has written ``test.parquet``.
        store: the store that was scored; the tables of its data set must still be where they were when it was prepared.
        path: the CSV file to write.
        ensemble: name of the ensemble; by default the run's own.

    Returns:
        The number of clips without scores.

    Raises:
        RunError: the ensemble has no scores, the model does not know a class that the file needs, or a label has a space where
            the file has spaces between labels.
        ManifestError: the data set had no competition, or its tables are gone.
    """
    labels, blocks = read_predictions(run.path / "test.parquet")
    block_of = {block.member: block for block in blocks}
    member = ensemble_name(ensemble or next(iter(run.votes())))
    if member not in block_of:
        names = ", ".join(name.removeprefix(ensemble_name("")) for name in block_of)
        raise RunError(f"{run.path}: no scores of an ensemble {ensemble!r}; the ensembles with scores are {names}")
    layout = submission_layout(store.source, Path(store.root))
    block = block_of[member]
    row_of = {clip_id.rpartition("/")[2]: row for row, clip_id in enumerate(block.clip_id.tolist())}
    uniform = np.full(len(labels), 1 / len(labels), np.float32)
    scores = [block.scores[row_of[name]] if name in row_of else uniform for name in layout.file_names]
    text = io.StringIO()
    files.write_rows(text, _rows(layout, labels, scores))
    files.write_text(path, text.getvalue())
    return sum(name not in row_of for name in layout.file_names)


def _rows(layout: SubmissionLayout, labels: LabelSet, scores: Sequence[NDArray[np.float32]]) -> list[list[str]]:
    if layout.kind == "best_labels":
        if spaced := [name for name in labels.names if " " in name]:
            raise RunError(f"the submission has spaces between labels, so that the label {spaced[0]!r} would become several")
        best_labels = [" ".join(label for label, _ in labels.decode(clip_scores, BEST)) for clip_scores in scores]
        return [["fname", "label"], *([name, best] for name, best in zip(layout.file_names, best_labels, strict=True))]
    if unknown := [name for name in layout.classes if name not in labels.names]:
        raise RunError(
            f"the model does not know the class {', '.join(map(repr, unknown[:5]))}, which the submission has a column for"
        )
    order = [labels.names.index(name) for name in layout.classes]
    # 9 digits, as many as float32 needs, so that scores that differ also differ in the file.
    numbers = [[f"{clip_scores[column]:.9g}" for column in order] for clip_scores in scores]
    return [["fname", *layout.classes], *([name, *row] for name, row in zip(layout.file_names, numbers, strict=True))]

"""What nets that never heard a clip think of it: ``guesses.parquet`` of an audit, read in the background."""

import json
import threading
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute
from numpy.typing import NDArray

from earmark.data.parquet import read_parquet
from earmark.errors import EarmarkError, one_line
from earmark.labels import LabelSet
from earmark.web.columns import whole_column

Scores = NDArray[np.float32]


class Guesses:
    """The scores of the clips of a list. They are read in a thread of its own, and whoever asks earlier waits.

    Args:
        path: the file.
        labels: the K classes that it must have.
        clip_id: names of the N clips.
    """

    def __init__(self, path: Path, labels: LabelSet, clip_id: pyarrow.Array) -> None:
        self._path = path
        self._scores: Scores | None = None
        self._row: NDArray[np.int64] | None = None
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._read, args=(labels, clip_id), name="guesses", daemon=True)
        self._thread.start()

    def of(self, clip: int) -> Scores | None:
        """The scores of a clip, float32 ``[K]``; None if there are none."""
        self._thread.join()
        if self._scores is None or self._row is None or self._row[clip] < 0:
            return None
        return self._scores[self._row[clip]]

    def some(self, clips: NDArray[np.int64]) -> Scores:
        """The scores of some clips, float32 ``[clips, K]``; zeros where there are none. Only if there are `any`."""
        self._thread.join()
        assert self._scores is not None and self._row is not None
        rows = self._row[clips]
        return np.where((rows >= 0)[:, None], self._scores[rows], np.float32(0))

    def any(self) -> bool:
        """Whether there are scores."""
        self._thread.join()
        return self._scores is not None and len(self._scores) > 0

    def fault(self) -> str | None:
        """Why there are no scores; None if there are, or they are still being read."""
        return None if self._thread.is_alive() else self._fault

    def _read(self, labels: LabelSet, clip_id: pyarrow.Array) -> None:
        try:
            table = read_parquet(self._path, ["clip_id", "scores"]).combine_chunks()
            if tuple(json.loads(table.schema.metadata[b"labels"])) != labels.names:
                raise ValueError("it has other labels than the audit")
            flat = whole_column(table, "scores").flatten().to_numpy().reshape(table.num_rows, len(labels))
            if not np.isfinite(flat).all():
                raise ValueError("some scores are not finite")
            self._row = (
                pyarrow.compute.index_in(clip_id, value_set=whole_column(table, "clip_id"))
                .fill_null(-1)
                .to_numpy()
                .astype(np.int64)
            )
            self._scores = flat
        except (EarmarkError, pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            self._fault = f"no scores are shown: {self._path.name} cannot be used ({one_line(reason)})"

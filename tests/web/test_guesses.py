from pathlib import Path

import numpy as np
import pyarrow
import pytest

from earmark.labels import LabelSet
from earmark.runs.predictions import Block, write_predictions
from earmark.web.guesses import Guesses

LABELS = LabelSet(("a", "b"))


def written(path: Path, clips: list[str], scores: np.ndarray) -> Path:
    write_predictions(path, LABELS, [Block(np.array(clips), scores.astype(np.float32), "audit", 0, "last", "whole")])
    return path


def test_scores_by_clip_in_any_order(tmp_path: Path) -> None:
    scores = np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]], np.float32)
    guesses = Guesses(written(tmp_path / "g.parquet", ["x", "y", "z"], scores), LABELS, pyarrow.array(["z", "nobody", "x"]))
    assert guesses.any()
    assert guesses.fault() is None
    assert (guesses.of(0) == scores[2]).all() and (guesses.of(2) == scores[0]).all() and guesses.of(1) is None
    assert (guesses.some(np.array([2, 1, 0])) == [scores[0], [0, 0], scores[2]]).all()


@pytest.mark.parametrize("content", [None, b"", b"PAR1 and no more", b"x" * 1000])
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "g.parquet").write_bytes(content)
    guesses = Guesses(tmp_path / "g.parquet", LABELS, pyarrow.array(["x"]))
    assert guesses.of(0) is None
    assert not guesses.any()
    assert str(guesses.fault()).startswith("no scores are shown: g.parquet cannot be used (")


def test_other_labels_and_numbers_that_are_none(tmp_path: Path) -> None:
    path = written(tmp_path / "g.parquet", ["x"], np.array([[0.5, 0.5]]))
    other = Guesses(path, LabelSet(("b", "a")), pyarrow.array(["x"]))
    assert other.of(0) is None
    assert "other labels than the audit" in str(other.fault())
    broken = Guesses(written(path, ["x"], np.array([[0.5, np.nan]])), LABELS, pyarrow.array(["x"]))
    assert broken.of(0) is None
    assert "not finite" in str(broken.fault())

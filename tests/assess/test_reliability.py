"""Reliability diagrams and the calibration error, held against scikit-learn and the definition."""

from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from earmark.assess.reliability import BINS, Bin, calibration_error, draw_reliability, reliability


def scores_and_labels(clips: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.full(4, 0.5), clips).astype(np.float32)
    return scores, np.eye(4, dtype=bool)[rng.integers(4, size=clips)]


def test_bins_are_those_of_scikit_learn() -> None:
    scores, positive = scores_and_labels(100 * BINS)
    best = scores.argmax(axis=1)
    right, score = calibration_curve(positive[np.arange(len(best)), best], scores.max(axis=1), n_bins=BINS, strategy="quantile")
    bins = reliability(scores, positive)
    assert [part.score for part in bins] == pytest.approx(score, abs=2e-3)
    assert [part.right for part in bins] == pytest.approx(right, abs=0.02)
    assert [part.clips for part in bins] == [100] * BINS


def test_the_error_is_the_mean_distance_over_clips() -> None:
    assert calibration_error([Bin(0.9, 0.6, 10), Bin(0.5, 0.6, 30)]) == pytest.approx(0.15)
    scores, positive = scores_and_labels(5)
    assert sum(part.clips for part in reliability(scores, positive)) == 5


def test_diagrams_are_svg_with_a_point_a_bin_at_its_place() -> None:
    drawn = ElementTree.fromstring(
        draw_reliability({"before <b>": [Bin(0.0, 0.0, 1), Bin(1.0, 1.0, 1)], "after": [Bin(0.5, 0.25, 1)]})
    )
    names = "{http://www.w3.org/2000/svg}"
    frames = [box for box in drawn.findall(f"{names}rect") if box.get("fill") == "none"]
    left, top, side = (float(frames[0].get(key, "")) for key in ("x", "y", "width"))
    points = [(float(point.get("cx", "")), float(point.get("cy", ""))) for point in drawn.findall(f"{names}circle")]
    assert points[:2] == [(left, top + side), (left + side, top)]
    second = float(frames[1].get("x", ""))
    assert points[2] == (second + side / 2, top + side * 0.75)
    assert "before <b>" in [text.text for text in drawn.findall(f"{names}text")]

"""What a bundle's calibration and thresholds do to scores and labels, and what is said where there are none."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from earmark.errors import BundleError, EarmarkError
from earmark.tagging.bundle import BundleConfig, Calibration, Thresholds
from earmark.tagging.thresholds import Wish, calibrated, exclusive, out_of_reach, tempered, thresholds


@pytest.fixture
def config(finished_run: Path) -> BundleConfig:
    """The configuration of a bundle with ten classes, and with neither calibration nor thresholds."""
    data = json.loads((finished_run / "bundle/config.json").read_text())
    return BundleConfig.model_validate({**data, "calibration": None, "thresholds": None})


def with_thresholds(config: BundleConfig, **changes: Any) -> BundleConfig:
    values = {
        "clips": 99,
        "f1": [k / 10 for k in range(10)],
        "precisions": [0.5, 0.9],
        "scores": [[0.25, 0.75]] * 9 + [[0.5, None]],
    }
    return config.model_copy(update={"thresholds": Thresholds.model_validate(values | changes)})


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_a_temperature_divides_what_goes_into_the_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 7))
    for temperature in (0.5, 1.0, 3.0):
        given = tempered(softmax(logits).astype(np.float32), temperature, exclusive=True)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, softmax(logits / temperature), atol=1e-6)


def test_a_temperature_divides_the_log_odds_of_scores_that_do_not_exclude_each_other() -> None:
    odds = np.random.default_rng(0).normal(0, 4, (50, 7))
    given = tempered((1 / (1 + np.exp(-odds))).astype(np.float32), 2.0, exclusive=False)
    np.testing.assert_allclose(given, 1 / (1 + np.exp(-odds / 2)), atol=5e-6)  # float32 is coarse near 1
    ends = tempered(np.array([0.0, 0.5, 1.0], np.float32), 3.0, exclusive=False)
    assert ends.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("temperature", [0.05, 0.7, 20.0])
@pytest.mark.parametrize("together", [True, False])
def test_a_temperature_turns_no_two_classes_of_a_sound_round(temperature: float, together: bool) -> None:
    scores = softmax(np.random.default_rng(1).normal(0, 5, (200, 9))).astype(np.float32)
    given = tempered(scores, temperature, together)
    order = np.argsort(scores, axis=1)
    assert (np.diff(np.take_along_axis(given, order, axis=1), axis=1) >= 0).all()
    assert np.isfinite(given).all() and given.min() >= 0 and given.max() <= 1


def test_broken_scores_stay_broken_so_that_the_sound_is_refused() -> None:
    assert np.isnan(tempered(np.array([[np.nan, 0.5]], np.float32), 2.0, exclusive=True)).all()
    assert np.isnan(tempered(np.array([[np.nan, 0.5]], np.float32), 2.0, exclusive=False)[0, 0])


def test_a_bundles_scores_are_calibrated_by_its_own_rule(config: BundleConfig) -> None:
    scores = softmax(np.random.default_rng(2).normal(0, 2, (5, 10))).astype(np.float32)
    assert calibrated(scores, config) is scores
    warm = config.model_copy(update={"calibration": Calibration(temperature=2.0, clips=100)})
    assert exclusive(warm)
    np.testing.assert_array_equal(calibrated(scores, warm), tempered(scores, 2.0, exclusive=True))
    sigmoid = [member.model_copy(update={"activation": "sigmoid"}) for member in warm.members]
    of_sigmoid = warm.model_copy(update={"members": sigmoid, "rule": "arithmetic_mean"})
    assert not exclusive(of_sigmoid)
    np.testing.assert_array_equal(calibrated(scores, of_sigmoid), tempered(scores, 2.0, exclusive=False))


@pytest.mark.parametrize(
    ("wish", "read"),
    [
        ("auto", Wish()),
        ("precision:0.9", Wish(precision=0.9)),
        ("0.25", Wish(score=0.25)),
        (0.25, Wish(score=0.25)),
        (0, Wish(score=0.0)),
        ("1", Wish(score=1.0)),
    ],
)
def test_a_wish_is_read(wish: str | float, read: Wish) -> None:
    assert Wish.parse(wish) == read


@pytest.mark.parametrize(
    "wish", ["", "best", "precision", "precision:", "precision:0", "precision:1", "precision:x", "1.5", -0.1, "nan"]
)
def test_another_wish_is_refused_with_what_would_be_valid(wish: str | float) -> None:
    with pytest.raises(
        EarmarkError, match=r"^threshold '.*': a score from 0 to 1 is needed, auto, or precision:P .* such as precision:0\.9$"
    ):
        Wish.parse(wish)


def test_thresholds_are_those_of_the_next_higher_precision(config: BundleConfig) -> None:
    chosen = with_thresholds(config)
    assert thresholds(chosen, 0.3) == 0.3 and thresholds(config, "0.3") == 0.3
    np.testing.assert_array_equal(thresholds(chosen, "auto"), np.arange(10, dtype=np.float32) / 10)
    for wish, first, last in (("precision:0.2", 0.25, 0.5), ("precision:0.5", 0.25, 0.5), ("precision:0.51", 0.75, np.inf)):
        given = thresholds(chosen, wish)
        assert isinstance(given, np.ndarray) and given.dtype == np.float32
        assert given.tolist() == [first] * 9 + [last]
    assert np.isinf(thresholds(chosen, "precision:0.95")).all()


def test_classes_that_get_no_label_are_known(config: BundleConfig) -> None:
    chosen = with_thresholds(config)
    assert out_of_reach(chosen, "precision:0.9") == [config.labels[-1]]
    assert out_of_reach(chosen, "precision:0.5") == out_of_reach(chosen, "auto") == out_of_reach(chosen, 0.5) == []
    assert out_of_reach(chosen, "precision:0.99") == config.labels


@pytest.mark.parametrize("wish", ["auto", "precision:0.9"])
def test_a_bundle_without_thresholds_says_why(config: BundleConfig, wish: str) -> None:
    old = config.model_copy(update={"version": 1})
    with pytest.raises(
        BundleError, match=r"the bundle has no thresholds: it was made by an earlier earmark; `earmark evaluate RUN` makes a"
    ):
        thresholds(old, wish)
    with pytest.raises(BundleError, match="the bundle has no thresholds: too few verified clips were there to choose them on"):
        thresholds(config, wish)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"f1": [0.5] * 9}, "every class needs a threshold"),
        ({"scores": [[0.1, 0.2]] * 9 + [[0.1]]}, "every class needs a threshold"),
        ({"scores": [[0.3, 0.2]] * 10}, "a higher precision has a lower threshold"),
        ({"scores": [[None, 0.2]] * 10}, "a higher precision has a lower threshold"),
        ({"precisions": [0.9, 0.5]}, "the precisions do not rise"),
        ({"f1": [0.5] * 9 + [1.5]}, "less than or equal to 1"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(config: BundleConfig, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        with_thresholds(config, **changes)


def test_thresholds_belong_to_the_labels(config: BundleConfig) -> None:
    data = with_thresholds(config).model_dump()
    assert BundleConfig.model_validate(data).thresholds is not None
    with pytest.raises(ValueError, match="thresholds of 10 classes, and there are 9 labels"):
        BundleConfig.model_validate(data | {"labels": data["labels"][:9]})

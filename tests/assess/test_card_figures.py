"""What a run's metrics say on the card of its bundle."""

import json
from pathlib import Path
from typing import Any

import pytest

from earmark.assess.card_figures import card_figures
from earmark.assess.thresholds import Trust
from earmark.tagging.card import ClassCounts, Kept


@pytest.fixture
def metrics(finished_run: Path) -> Any:
    return json.loads((finished_run / "metrics.json").read_text())


def test_figures_and_what_thresholds_keep_go_on_the_card(metrics: Any) -> None:
    kept, classes = (Kept(None, 0.5, 0.5, 0.5, 0.5, 0),), (ClassCounts(1, 1, 1),)
    figures = card_figures(
        {**metrics, "map@3": {"value": 0.5, "low": 0.4, "high": 0.6, "clips": 1234}}, Trust(kept=kept, classes=classes)
    )
    assert figures.metrics[0] == "out-of-fold MAP@3 on 1,234 verified clips: 0.500 (95 % interval 0.400–0.600)"
    assert len(figures.metrics) == 3
    assert (figures.kept, figures.classes, figures.limits) == (kept, classes, [])
    assert card_figures({**metrics, "map@3": None, "accuracy": None, "lwlrap": None}, Trust()).metrics == []


def test_leaks_and_chosen_weights_are_limits(metrics: Any) -> None:
    leaking = card_figures({**metrics, "leaks": True}, Trust())
    assert [limit.partition(",")[0] for limit in leaking.limits] == ["validation labels leaked into the training"]
    ensembles = {name: {**values, "best_weights": True} for name, values in metrics["ensembles"].items()}
    chosen = card_figures({**metrics, "ensembles": ensembles}, Trust())
    assert [limit.partition(" on ")[0] for limit in chosen.limits] == ["some weights were chosen"]

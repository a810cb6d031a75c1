"""A run's figures for the card of its bundle."""

from earmark.assess.metrics import RunMetrics
from earmark.assess.thresholds import Trust
from earmark.tagging.card import Figures


def card_figures(metrics: RunMetrics, trust: Trust) -> Figures:
    """What a run's metrics and thresholds say of its bundle, and what they do not."""
    lines = []
    for title, figure in (("MAP@3", metrics["map@3"]), ("accuracy", metrics["accuracy"]), ("lwlrap", metrics["lwlrap"])):
        if figure is not None:
            interval = f"{figure['low']:.3f}–{figure['high']:.3f}"
            lines.append(
                f"out-of-fold {title} on {figure['clips']:,} verified clips: {figure['value']:.3f} (95 % interval {interval})"
            )
    limits = []
    if metrics["leaks"]:
        limits.append(
            "validation labels leaked into the training, through pseudo labels that nets of other folds guessed: all figures, the "
            "temperature and the thresholds are more hopeful than they should be"
        )
    if next(iter(metrics["ensembles"].values()))["best_weights"]:
        limits.append("some weights were chosen on the clips that the figures are of, which makes the figures a little too high")
    return Figures(lines, trust.kept, trust.classes, limits)

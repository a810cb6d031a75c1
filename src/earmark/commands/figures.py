"""A run's figures as lines."""

import json
from collections.abc import Iterator
from typing import Any

from earmark.commands.shared import say

METRICS = ("map@3", "accuracy", "lwlrap")  # as in `earmark.assess.metrics`, which takes long to import


def show_metrics(metrics: Any, as_json: bool, where: str) -> None:
    """Prints what ``metrics.json`` or ``metrics-test.json`` holds.

    Args:
        metrics: a `RunMetrics` or `TestMetrics`.
        as_json: as it is.
        where: the last line, for people: the files to look at.
    """
    if as_json:
        say(json.dumps(metrics, ensure_ascii=False))
        return
    for title, figures in _rows(metrics):
        values = [
            f"{name} {figures[name]['value']:.4f} ({figures[name]['low']:.4f}–{figures[name]['high']:.4f})"
            for name in METRICS
            if figures[name]
        ]
        count = f"{figures['map@3']['clips']:,} clips" if figures["map@3"] else "no clip to score"
        say(f"{title}: {', '.join([*values, count])}{_remarks(figures)}")
    say(where)


def _rows(metrics: Any) -> Iterator[tuple[str, Any]]:
    """Titles and figures: the run's own, by usage, by member, by ensemble."""
    yield "verified clips", metrics
    yield "all labelled clips", {**metrics["all"], "leaks": metrics.get("leaks")}
    for usage, figures in metrics.get("usage", {}).items():
        yield f"verified clips, {usage}", figures
    for part in ("members", "ensembles"):
        rows = metrics.get(part, {})
        for name, figures in rows.items() if len(rows) > 1 else ():
            title = f"{part.removesuffix('s')} {name}" + (f" ({figures['title']})" if figures.get("title") else "")
            yield f"{title}, verified", figures
            for usage, of_usage in figures.get("usage", {}).items():
                yield f"{title}, verified, {usage}", of_usage


def _remarks(figures: Any) -> str:
    remarks = []
    if (quoted := figures.get("quoted")) is not None:
        remarks.append(f"published: {quoted:.3f}")
    if figures.get("best_weights"):
        remarks.append("the weights were chosen on these clips")
    if figures.get("leaks"):
        remarks.append("leaks validation labels")
    return "".join(f" – {remark}" for remark in remarks)

"""Printing the metrics of a run."""

from collections.abc import Iterator
from typing import Any

from earmark.console import say, say_data

METRICS = ("map@3", "accuracy", "lwlrap")  # as in `earmark.assess.metrics`, which is slow to import


def show_metrics(metrics: Any, as_json: bool, where: str) -> None:
    """Prints the content of ``metrics.json`` or ``metrics-test.json``.

    Args:
        metrics: a `RunMetrics` or `TestMetrics`.
        as_json: print JSON instead of lines for people.
        where: the last of these lines, which names the files to look at.
    """
    if as_json:
        say_data(metrics)
        return
    for title, figures in _rows(metrics):
        values = [
            f"{name} {figures[name]['value']:.4f} ({figures[name]['low']:.4f}–{figures[name]['high']:.4f})"
            for name in METRICS
            if figures[name]
        ]
        count = f"{figures['map@3']['clips']:,} clips" if figures["map@3"] else "no clip to score"
        say(f"{title}: {', '.join([*values, count])}{_remarks(figures)}")
    if (reason := metrics.get("no_floor")) is not None:
        say(f"no floor: {reason}")
    say(where)


def _rows(metrics: Any) -> Iterator[tuple[str, Any]]:
    """The titles and figures to print: of the run's own ensemble, the floor, by usage, by member, by ensemble."""
    yield "verified clips", metrics
    yield "all labelled clips", {**metrics["all"], "leaks": metrics.get("leaks")}
    if floor := metrics.get("floor"):
        yield f"floor ({floor['title']})", floor
    for usage, figures in metrics.get("usage", {}).items():
        yield f"verified clips, {usage}", figures
    for part in ("members", "ensembles"):
        rows = metrics.get(part, {})
        for name, figures in rows.items() if len(rows) > 1 else ():
            title = f"{part.removesuffix('s')} {name}" + (f" ({figures['title']})" if figures.get("title") else "")
            yield f"{title}, verified", figures
            for usage, usage_figures in figures.get("usage", {}).items():
                yield f"{title}, verified, {usage}", usage_figures


def _remarks(figures: Any) -> str:
    remarks = []
    if (quoted := figures.get("quoted")) is not None:
        remarks.append(f"published: {quoted:.3f}")
    if figures.get("best_weights"):
        remarks.append("the weights were chosen on these clips")
    if figures.get("leaks"):
        remarks.append("leaks validation labels")
    return "".join(f" – {remark}" for remark in remarks)

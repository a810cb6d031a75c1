"""The figures of a run with many classes: how long they take, and from their definitions.

python benchmarks/metrics.py
"""

from collections.abc import Callable

import numpy as np
from measure import options, show, take_turns

from earmark.assess.joined import Joined
from earmark.assess.metrics import estimates, label_ranking_precision, per_class
from earmark.assess.pictures import confusion
from earmark.assess.report import PAIRS, _class_rows
from earmark.data.table import ClipTable
from earmark.labels import LabelSet


def make(clips: int, classes: int) -> Joined:
    """Clips with one label each, and random scores."""
    rng = np.random.default_rng(1)
    positive = np.zeros((clips, classes), np.bool_)
    positive[np.arange(clips), rng.integers(0, classes, clips)] = True
    yes, names = np.ones(clips, np.bool_), np.array([f"clip {i}" for i in range(clips)])
    labels = LabelSet(tuple(f"class {k}" for k in range(classes)))
    table = ClipTable(labels, names, positive, yes, np.zeros(clips, np.int64), ~yes, yes, names, np.full(clips, ""))
    return Joined(table, rng.random((clips, classes), np.float32))


def by_definition(joined: Joined) -> np.ndarray:
    """Lwlrap as defined: every class is compared with every other, a class at a time."""
    scores, positive = joined.scores, joined.clips.positive
    at_least, labels_at_least = np.zeros(scores.shape), np.zeros(scores.shape)
    for column in range(scores.shape[1]):
        reaches = scores[:, column, None] >= scores
        at_least += reaches
        labels_at_least += reaches & positive[:, column, None]
    return np.where(positive, labels_at_least / at_least, 0.0)


def main() -> None:
    given = options(__doc__).parse_args()
    sizes = [(40, 20)] if given.smoke else [(9400, 41), (20_000, 200), (4000, 2000)]
    rows = []
    for clips, classes in sizes:
        joined = make(clips, classes)
        contenders: dict[str, Callable[[], object]] = {
            "lwlrap of each label": lambda joined=joined: label_ranking_precision(joined.scores, joined.clips.positive),
            "by definition": lambda joined=joined: by_definition(joined),
            "all figures": lambda joined=joined: estimates(joined.scores, joined.clips.positive, joined.clips.group),
            "of each class": lambda joined=joined: per_class(joined.scores, joined.clips.positive),
            "confusion, table": lambda joined=joined: (confusion(joined, PAIRS), _class_rows(joined)),
        }
        if clips * classes**2 > 1e9:
            del contenders["by definition"]
        seconds = take_turns(contenders, given.runs, warm=False)
        times = seconds["by definition"] / seconds["lwlrap of each label"] if "by definition" in seconds else "–"
        kept = ("lwlrap of each label", "all figures", "of each class", "confusion, table")
        rows.append((f"{clips:,} clips, {classes:,} classes", *(seconds[name] for name in kept), times))
    columns = (
        "",
        "lwlrap of each label",
        "all figures, intervals",
        "figures of each class",
        "report's confusion and table",
        "lwlrap by definition / ours",
    )
    show("Figures, seconds", columns, rows)


if __name__ == "__main__":
    main()

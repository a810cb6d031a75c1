"""``report.html``: a run on one page; the file needs no other files."""

from pathlib import Path
from typing import Any

import numpy as np

from earmark.assess.advice import next_steps
from earmark.assess.heard import HeardTable
from earmark.assess.joined import Joined, RunScores
from earmark.assess.listening import disagreements, doubtful, mistakes
from earmark.assess.methods import MethodTable
from earmark.assess.metrics import RunMetrics, per_class
from earmark.assess.page import short, write_page
from earmark.assess.pictures import CONFUSED, PLOT, confusion, learning_curves
from earmark.assess.reliability import calibration_error, draw_reliability, reliability
from earmark.data.clips import ClipSet
from earmark.runs.run import Run
from earmark.tagging.bundle import CONFIG, read_bundle
from earmark.tagging.thresholds import calibrated

HEARD = 24  # clips in a list to listen to, at most
IN_SIGHT = 9  # of them, without unfolding the rest
PAIRS = 10  # mix-ups listed, at most
MATRIX_IN_SIGHT = 50  # classes of a matrix that is not folded away, at most
CLASS_ROWS = 500  # classes in the table, at most
WEAKEST = 15  # of them, likewise


def write_report(
    run: Run,
    sounds: ClipSet,
    scores: RunScores,
    metrics: RunMetrics,
    methods: MethodTable | None = None,
    heard: HeardTable | None = None,
) -> Path:
    """Writes the report of a run's out-of-fold scores.

    Args:
        run: the run.
        sounds: all clips of its store at one sample rate, for the sounds in the report.
        scores: the run's out-of-fold scores.
        metrics: the run's metrics, as in ``metrics.json``.
        methods: other ways to learn from the same clips, to show beside the run's own.
        heard: what it brought to hear some of the clips, to show likewise.

    Returns:
        The path of the report.
    """
    judgeable = scores.main.judgeable
    unverified = judgeable.chosen(~judgeable.clips.verified)
    verified = judgeable.chosen(judgeable.clips.verified)
    judged = verified if len(verified.clips) else judgeable  # without verified clips, the unverified labels are all there is
    in_doubt, wrong = doubtful(unverified), mistakes(verified)
    labelled = sounds.judgeable & ~sounds.test & ~sounds.verified
    charts, legend = learning_curves(run)
    matrix = confusion(judged, PAIRS)
    return write_page(
        run.path / "report.html",
        "report.html.jinja",
        recipe=run.recipe,
        info=run.info,
        folds=run.finished(),
        clip_count=len(sounds),
        verified_count=int(sounds.verified.sum()),
        class_count=len(sounds.labels),
        judged=judged,
        metrics=metrics,
        best_kept=sorted({vote.member for vote in next(iter(scores.votes.values())) if vote.weights == "best"}),
        leaking=any(row["leaks"] for row in (*metrics["members"].values(), *metrics["ensembles"].values())),
        methods=methods,
        heard_table=heard,
        rule=run.recipe.ensembles[next(iter(scores.ensembles))].rule.replace("_", " "),
        charts=charts,
        legend=legend,
        plot=PLOT,
        confusion=matrix,
        confused=CONFUSED,
        matrix_in_sight=MATRIX_IN_SIGHT,
        classes=_class_rows(judged),
        reliability=_reliability(run, verified),
        class_rows=CLASS_ROWS,
        weakest=WEAKEST,
        unverified_count=int(labelled.sum()),
        without_scores=int((labelled & ~np.isin(sounds.clip_id, unverified.clips.clip_id)).sum()),
        in_sight=IN_SIGHT,
        doubt_count=len(in_doubt),
        doubts=disagreements(unverified, in_doubt[:HEARD], sounds, weakest=True),
        mistake_count=len(wrong),
        mistakes=disagreements(verified, wrong[:HEARD], sounds, weakest=False),
        steps=next_steps(run, sounds, metrics, len(in_doubt), matrix.pairs),
    )


def _class_rows(judged: Joined) -> list[dict[str, Any]]:
    values = per_class(judged.scores, judged.clips.positive)
    rows = [
        {"label": short(label), **{name: float(column[k]) for name, column in values.items()}}
        for k, label in enumerate(judged.clips.labels.names)
        if values["clips"][k]
    ]
    return sorted(rows, key=lambda row: (row["lwlrap"], row["label"]))


def _reliability(run: Run, verified: Joined) -> str:
    """How sure the scores of verified clips are, before and after the calibration that the run's bundle has, as SVG; empty without one."""
    config = read_bundle(run.bundle) if (run.bundle / CONFIG).is_file() else None
    if config is None or config.calibration is None or not len(verified.clips):
        return ""
    scores, positive = verified.scores, verified.clips.positive
    bins = {"as the nets give them": reliability(scores, positive), "calibrated": reliability(calibrated(scores, config), positive)}
    return draw_reliability({f"{name}: error {calibration_error(of_name):.3f}": of_name for name, of_name in bins.items()})
